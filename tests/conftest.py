"""What many tests want: `pytestmark = pytest.mark.usefixtures("one_thread")`."""

from collections.abc import Iterator

import pytest

from support import small_run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are split among threads, so runs are only compared bit for bit at one count."""
    with small_run.one_thread():
        yield
