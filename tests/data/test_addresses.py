"""What is secret in an address is not shown."""

import pytest

from newfound.data.addresses import as_shown, in_words


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("s3://bucket/part-0.tar", "s3://bucket/part-0.tar"),
        ("ftp://me:secret@host/part-0.tar", "ftp://host/part-0.tar"),
        ("ftp://me:sec@ret@host/part@0.tar", "ftp://host/part@0.tar"),
        ("https://host/part-0.tar?sign=secret", "https://host/part-0.tar"),
    ],
)
def test_neither_in_the_address_nor_in_an_error_that_names_it(address: str, shown: str) -> None:
    assert as_shown(address) == shown
    assert in_words(OSError(f"no answer from {address}")) == f"no answer from {shown}"
