import multiprocessing
import os

import pytest
import torch

from newfound.errors import InputError
from newfound.machine.cores import choose_workers, compute_threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_workers_are_the_cores_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert choose_workers(None) == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert choose_workers(0) == 0


def test_a_worker_of_a_pool_decodes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_workers(3) == 3
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    assert choose_workers(None) == choose_workers(0) == 0
    with pytest.raises(InputError, match=r"workers is 3, and this process.*give workers=0"):
        choose_workers(3)


@pytest.mark.parametrize(
    ("wish", "width", "px", "expected"), [(None, 16, 32, 1), (None, 64, 32, 3), (2, 16, 32, 2)]
)
def test_a_small_network_computes_with_one_thread(
    wish: int | None, width: int, px: int, expected: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with compute_threads(wish, width, px):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
