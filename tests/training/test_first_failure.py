"""The step at which a loss was no number, on a CPU and on what computes while the host goes on."""

import math

import pytest
import torch

from newfound.training import first_failure
from newfound.training.first_failure import FirstFailure

CPU = torch.device("cpu")
GOOD, BAD = torch.tensor([1.0, 2.0]), torch.tensor([3.0, math.inf])


class Copying:
    """In place of a stream and its event: what was copied to the host may be read once waited for.

    On a CPU a copy is there at once, so the host's tensor is spoilt until then.
    """

    def __init__(self, failure: FirstFailure) -> None:
        self.failure = failure

    def record_event(self) -> "Copying":
        self.copied = self.failure._here.clone()
        self.failure._here.fill_(math.nan)
        return self

    def synchronize(self) -> None:
        self.failure._here.copy_(self.copied)


@pytest.fixture
def accelerated(monkeypatch: pytest.MonkeyPatch) -> FirstFailure:
    monkeypatch.setattr(first_failure, "STEPS_BETWEEN_GLANCES", 2)
    failure = FirstFailure(2, CPU)
    failure._waits = True
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda _: Copying(failure))
    return failure


@pytest.mark.parametrize("bad", [[math.nan, 1.0], [1.0, math.inf], [-math.inf, math.nan]])
def test_the_first_of_several_failures_stays(bad: list[float]) -> None:
    failure = FirstFailure(2, CPU)
    for step, terms in enumerate([GOOD, GOOD, torch.tensor(bad), GOOD, BAD]):
        assert (failure.glance(step) is None) == (step < 3)
        failure.note(step, terms)
    for seen in (failure.look(), failure.glance(7)):
        assert seen is not None
        assert seen[0] == 2
        assert seen[1] == pytest.approx(bad, nan_ok=True)


def test_a_glance_sees_what_was_so_at_the_glance_before(accelerated: FirstFailure) -> None:
    seen = []
    for step, terms in enumerate([GOOD, GOOD, BAD, GOOD, GOOD, GOOD]):
        accelerated.note(step, terms)
        seen.append(accelerated.glance(step + 1))
        assert (accelerated.look() is None) == (step < 2)
    # It looks after the second, fourth and sixth step; what failed is the third.
    assert seen == [None, None, None, None, None, (2, BAD.tolist())]
