"""The step at which a loss was no number, on a CPU and on what computes while the host goes on."""

import math

import pytest
import torch
from torch import Tensor

from newfound.first_failure import FirstFailure

CPU = torch.device("cpu")
GOOD, BAD = torch.tensor([1.0, 2.0]), torch.tensor([3.0, math.inf])


class Copying:
    """In place of `torch.Event`: a copy to the host that arrives when a test says so."""

    has_arrived = False

    def __init__(self, _device: torch.device) -> None:
        self.is_recorded = False

    def record(self) -> None:
        self.is_recorded = True

    def query(self) -> bool:
        assert self.is_recorded
        return Copying.has_arrived


@pytest.fixture
def accelerated(monkeypatch: pytest.MonkeyPatch) -> FirstFailure:
    monkeypatch.setattr(torch, "Event", Copying)
    monkeypatch.setattr(Copying, "has_arrived", False)
    failure = FirstFailure(2, CPU)
    failure._waits = True
    return failure


@pytest.mark.parametrize("bad", [[math.nan, 1.0], [1.0, math.inf], [-math.inf, math.nan]])
def test_the_first_of_several_failures_stays(bad: list[float]) -> None:
    failure = FirstFailure(2, CPU)
    for step, terms in enumerate([GOOD, GOOD, torch.tensor(bad), GOOD, BAD]):
        assert (failure.glance() is None) == (step < 3)
        failure.note(step, terms)
    for seen in (failure.look(), failure.glance()):
        assert seen is not None
        assert seen[0] == 2
        assert seen[1] == pytest.approx(bad, nan_ok=True)


def test_a_glance_sees_what_has_arrived_and_asks_for_more(accelerated: FirstFailure) -> None:
    def step(number: int, terms: Tensor) -> tuple[int, list[float]] | None:
        accelerated.note(number, terms)
        return accelerated.glance()

    assert step(0, GOOD) is None  # asks
    assert step(1, BAD) is None  # is not answered yet
    assert accelerated.look() == (1, BAD.tolist())  # waits
    Copying.has_arrived = True
    assert step(2, GOOD) is None  # the answer is of step 0; asks again
    assert step(3, GOOD) == (1, BAD.tolist())
