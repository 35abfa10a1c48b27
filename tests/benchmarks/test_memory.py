"""The peak of one operation: what it takes and gives back, not what it is given."""

import sys
from functools import partial

import pytest
import torch

from benchmarks import memory
from benchmarks.clock import Work
from benchmarks.memory import peak_mb, room

CPU = torch.device("cpu")


def doubled_twice(rows: int, keep: bool) -> Work:
    """Of `rows` quarters of a MB: a copy that is dropped, or kept, and another one."""
    scratch = [torch.ones(rows * 62_500) for _ in range(6)]
    given = sum(scratch, torch.zeros(()))
    del scratch  # which glibc would keep below `given`, for the next to come

    def work() -> torch.Tensor:
        first = given * 2
        second = first * 2
        return torch.stack([first, second]) if keep else second

    return work


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a single operation")
@pytest.mark.parametrize(("keep", "copies"), [(False, 2), (True, 4)])
def test_the_peak_is_what_an_operation_holds_at_once(keep: bool, copies: int) -> None:
    peak = peak_mb(partial(doubled_twice, keep=keep), 60, CPU)
    assert peak == pytest.approx(copies * 15, rel=0.05)


def test_a_quarter_of_what_is_free_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 4_003)
    assert room(CPU) == 1_000
