"""Time of what is to be compared, taken in turns."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Work = Callable[[], object]

_WARM_TURNS = 3
"""Caches are cold and allocators take their memory in the first few."""


@dataclass(frozen=True)
class Budget:
    """How long to measure: until `turns` are taken or `seconds` are over, but at least 3 turns.

    With fewer `turns` than 3 there are just those. Turns to warm up come first, and may take a
    third of the time again.
    """

    seconds: float
    turns: int


def seconds(work: Work, device: torch.device) -> float:
    """Time of one call, the device's work included.

    Of one thread of a CPU it is the CPU's time: what else the machine does counts little then.
    """
    one_thread = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if one_thread else time.perf_counter
    began = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began


def take_turns(works: Sequence[Work], device: torch.device, budget: Budget) -> list[list[float]]:
    """For each work its seconds in every turn; a turn is one call of each.

    So whatever else the machine does hits all of them alike.
    """
    _turns(works, device, Budget(budget.seconds / 3, _WARM_TURNS), at_least=1)
    turns = _turns(works, device, budget, at_least=min(3, budget.turns))
    return [list(of_work) for of_work in zip(*turns)]


def _turns(
    works: Sequence[Work], device: torch.device, budget: Budget, at_least: int
) -> list[list[float]]:
    until = time.monotonic() + budget.seconds
    turns: list[list[float]] = []
    while len(turns) < at_least or (len(turns) < budget.turns and time.monotonic() < until):
        turns.append([seconds(work, device) for work in works])
    return turns
