"""The peak of one operation: what it takes and gives back, not what it is given."""

import subprocess
import sys
from functools import partial
from pathlib import Path

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


HELD_BELOW_A_LIVE_BLOCK = """
import torch
from pathlib import Path
from benchmarks.memory import give_back_what_is_free
from newfound.machine.process import keep_freed_memory

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

keep_freed_memory()
before = resident_mb()
large = torch.ones(50_000_000)
live = torch.ones(1_000)
del large
kept = resident_mb() - before
give_back_what_is_free()
print(round(kept), round(resident_mb() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_what_is_free_is_given_back_from_below_what_is_not() -> None:
    told = subprocess.run(
        [sys.executable, "-c", HELD_BELOW_A_LIVE_BLOCK],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    kept, left = map(int, told.stdout.split())
    assert kept > 190 and left < 20


def test_a_quarter_of_what_is_free_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 4_003)
    assert room(CPU) == 1_000
