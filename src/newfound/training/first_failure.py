"""The first step whose loss was not finite, noticed without waiting for the device."""

import torch
from torch import Tensor

STEPS_BETWEEN_GLANCES = 20
"""How often the host glances at what an accelerator has found."""

NONE_YET = -1.0


class FirstFailure:
    """The step and its terms, kept on the device; the host learns of them in passing.

    terms: how many a step's loss has.
    """

    def __init__(self, terms: int, device: torch.device) -> None:
        self._waits = device.type != "cpu"
        self._there = torch.full((1 + terms,), NONE_YET, device=device)
        self._here = torch.full((1 + terms,), NONE_YET, pin_memory=self._waits)
        self._copied: torch.Event | None = None

    def note(self, step: int, terms: Tensor) -> None:
        """Keep the step, from 0, if it is the first one of which a term is not finite.

        terms: (terms,) float32 on the device, detached.
        """
        failed_now = ~terms.isfinite().all() & (self._there[0] == NONE_YET)
        failure = torch.cat([terms.new_full((1,), step), terms])
        self._there = torch.where(failed_now, failure, self._there)

    def look(self) -> tuple[int, list[float]] | None:
        """The first failure of all steps so far: its step and its terms. Waits for the device."""
        return _read(self._there)

    def glance(self, step: int) -> tuple[int, list[float]] | None:
        """The same, on an accelerator as it was at the glance before, which has long been copied.

        step: how many were taken. It alone decides what is seen, so that of several processes,
        whose losses are the same, all see a failure after the same step.
        """
        if not self._waits:
            return self.look()
        if step % STEPS_BETWEEN_GLANCES:
            return None
        known = None
        if self._copied is not None:
            self._copied.synchronize()
            known = _read(self._here)
        self._here.copy_(self._there, non_blocking=True)
        self._copied = torch.accelerator.current_stream(self._there.device).record_event()
        return known


def _read(failure: Tensor) -> tuple[int, list[float]] | None:
    step, *terms = failure.tolist()
    return None if step == NONE_YET else (int(step), terms)
