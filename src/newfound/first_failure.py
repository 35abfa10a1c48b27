"""The first step whose loss was not finite, noticed without waiting for the device."""

import torch
from torch import Tensor

NONE_YET = -1.0


class FirstFailure:
    """The step and its terms, kept on the device; the host learns of them in passing.

    terms: how many a step's loss has.
    """

    def __init__(self, terms: int, device: torch.device) -> None:
        self._waits = device.type != "cpu"
        self._there = torch.full((1 + terms,), NONE_YET, device=device)
        self._here = torch.empty_like(self._there, device="cpu", pin_memory=self._waits)
        self._copied: torch.Event | None = None

    @torch.no_grad()
    def note(self, step: int, terms: Tensor) -> None:
        """Keep the step, from 0, if it is the first one of which a term is not finite.

        terms: (terms,) float32 on the device.
        """
        failed_now = ~terms.isfinite().all() & (self._there[0] == NONE_YET)
        failure = torch.cat([terms.new_full((1,), step), terms])
        self._there = torch.where(failed_now, failure, self._there)

    def look(self) -> tuple[int, list[float]] | None:
        """The first failure of all steps so far: its step and its terms. Waits for the device."""
        return _read(self._there)

    def glance(self) -> tuple[int, list[float]] | None:
        """The same of the steps that the host knows of. On a CPU all, else it does not wait.

        What the device knows is copied behind its back; a later glance sees what has arrived.
        """
        if not self._waits:
            return self.look()
        known = None
        if self._copied is None or self._copied.query():
            if self._copied is not None:
                known = _read(self._here)
            self._here.copy_(self._there, non_blocking=True)
            self._copied = torch.Event(self._there.device)
            self._copied.record()
        return known


def _read(failure: Tensor) -> tuple[int, list[float]] | None:
    step, *terms = failure.tolist()
    return None if step == NONE_YET else (int(step), terms)
