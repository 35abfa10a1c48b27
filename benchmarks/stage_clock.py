"""Which stage of a training step takes how long, without a change to the program that is timed."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.trainings import objective_of
from newfound.training.train import Training

STAGES = ("decode", "transfer", "augment", "forward", "objective", "backward", "optimiser", "rest")
"""In the order of a step. `rest` is bookkeeping: generators, sums, the look for NaN."""


class StageClock:
    """Seconds by stage; a stage within another one stops the clock of the outer one.

    On a CUDA device it waits at every change of stage until the device is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = time.perf_counter()

    @contextmanager
    def within(self, stage: str) -> Iterator[None]:
        """Time spent inside belongs to this stage."""
        self.enter(stage)
        try:
            yield
        finally:
            self.leave()

    def enter(self, stage: str) -> None:
        """From now on time belongs to this stage, until `leave`."""
        self._account()
        self._open.append(stage)

    def leave(self) -> None:
        """Back to the stage outside."""
        self._account()
        self._open.pop()

    def _account(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    @contextmanager
    def watching(self, training: Training) -> Iterator[None]:
        """Within, the stages of the training's steps are told apart."""
        objective = objective_of(training)
        viewer, network, optimiser = objective.look.viewer, training.network, training.optimizer
        with ExitStack() as undo:
            for owner, name, stage in (
                (training, "take_step", "rest"),
                (objective, "losses", "objective"),
                (viewer, "two", "augment"),
                (torch.Tensor, "backward", "backward"),
            ):
                undo.enter_context(patch.object(owner, name, self._timed(owner, name, stage)))
            for handle in (
                network.register_forward_pre_hook(lambda *_: self.enter("forward")),
                network.register_forward_hook(lambda *_: self.leave()),
                optimiser.register_step_pre_hook(lambda *_: self.enter("optimiser")),
                optimiser.register_step_post_hook(lambda *_: self.leave()),
            ):
                undo.callback(handle.remove)
            yield

    def _timed(self, owner: Any, name: str, stage: str) -> Callable[..., Any]:
        original = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.within(stage):
                return original(*args, **kwargs)

        return timed
