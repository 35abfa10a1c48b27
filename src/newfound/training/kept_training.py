"""One training of a run: continued from its checkpoint, watched, kept and stopped on request."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from newfound.data.items import Items
from newfound.disk.checkpoint import load_checkpoint, save_checkpoint
from newfound.errors import CompilerError, InputError, NonFiniteLossError, RunFolderError
from newfound.machine.distributed import agreed, any_process, any_process_each
from newfound.machine.interrupt import stop_requested
from newfound.presets import QUICK, kind_of
from newfound.progress import Progress
from newfound.training.train import Training, train

SHOW_LOSS_EVERY_SECONDS = 1.0

STEPS_TO_MEASURE = 10
LONG_HOURS = 3.0
"""A run on a CPU that will take longer gets a word on how to shorten it."""


class KeptTraining:
    """A training with its checkpoint: loaded when made, written from time to time.

    title: of what is trained, for people.  data: fingerprint of the items that could be read.
    checkpoint_seconds: least time between two checkpoints.
    Raises RunFolderError when made if the checkpoint does not fit.
    """

    def __init__(
        self,
        training: Training,
        title: str,
        checkpoint: Path,
        data: str,
        checkpoint_seconds: float,
    ) -> None:
        self.training, self.title = training, title
        self.checkpoint, self.data = checkpoint, data
        self.checkpoint_seconds = checkpoint_seconds
        self._before = self._restore()
        self._first_step = training.step
        self._began = self._saved = self._shown = self._epoch_began = time.monotonic()
        self._epoch_first = training.step
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        """Time spent on it, by all the commands that worked on it."""
        until = time.monotonic() if self._ended is None else self._ended
        return self._before + until - self._began

    def run(
        self,
        items: Items,
        progress: Progress,
        log_epoch: Callable[[dict[str, Any], Tensor | None], None],
    ) -> bool:
        """Take the steps that are left; a checkpoint is written in the end, also of a stop.

        log_epoch gets each epoch's figures and `Training.categories`, and may add to the
        figures.  Returns False if the user asked to stop, if only at the last step.

        Raises NonFiniteLossError for losses or weights that are no numbers, RunFolderError if a
        checkpoint cannot be written, CompilerError where torch.compile does not work, and
        InputError for an item that cannot be read any more, with the steps before it kept.
        """
        training = self.training
        self._began = self._saved = self._shown = time.monotonic()
        self._epoch_began, self._epoch_first = self._began, training.step
        if 0 < training.step < training.total_steps:
            of_all = f"{training.step:,} of {training.total_steps:,}"
            progress.message(f"{self.title} goes on after step {of_all}")
        progress.stage(
            self.title,
            training.total_steps,
            done=training.step,
            epochs=training.config.epochs,
            items_each=training.config.batch,
        )

        def after_epoch(record: dict[str, Any], categories: Tensor | None) -> None:
            figures = record | self._pace()
            log_epoch(figures, categories)
            progress.epoch(figures)

        def after_step(_: Training) -> bool:
            self._show(progress)
            return self._saved_if_due(stop())

        with stop_requested() as stop, self._saved_if_items_fail():
            train(training, items, after_step=after_step, after_epoch=after_epoch)
        self._ended = time.monotonic()
        return not any_process(stop())

    def _pace(self) -> dict[str, float]:
        """Seconds of the epoch that has ended here, and items in a second; the next one begins."""
        now, step = time.monotonic(), self.training.step
        took, steps = now - self._epoch_began, step - self._epoch_first
        self._epoch_began, self._epoch_first = now, step
        rate = steps * self.training.config.batch / took
        return {"items_per_second": round(rate, 1), "seconds": round(took, 3)}

    def _show(self, progress: Progress) -> None:
        """Count a step, now and then with its loss, as to fetch that is to wait for the device."""
        now = time.monotonic()
        if now - self._shown >= SHOW_LOSS_EVERY_SECONDS:
            progress.advance(total=float(self.training.last_total))
            self._shown = now
        else:
            progress.advance()
        self._warn_if_long(progress)

    def _saved_if_due(self, stop: bool) -> bool:
        """Save after a step if it is time to, at the end, and on a stop; whether to go on."""
        ended = self.training.step == self.training.total_steps
        # Not each by its own clock, as to save is to look for a loss that is not finite.
        due = time.monotonic() - self._saved >= self.checkpoint_seconds
        stopping, due = any_process_each(stop, due)
        if stopping or ended or due:
            self._save()
        return not stopping

    @contextmanager
    def _saved_if_items_fail(self) -> Iterator[None]:
        """As where a file vanishes. The state is that after the last step, in every process."""
        try:
            yield
        except (NonFiniteLossError, RunFolderError, CompilerError):
            raise
        except InputError:
            if self.training.step > self._first_step:
                self._save()
            raise

    def _save(self) -> None:
        """Write the checkpoint, unless a step has just spoilt the weights.

        The next loss tells of that; of the last step there is none, so it is told here.
        """
        self.training.check_finite()
        if self.training.weights_are_finite():
            state = {
                "training": self.training.state_dict(),
                "seconds": self.seconds,
                "data": self.data,
            }
            save_checkpoint(self.checkpoint, state)
        elif self.training.step == self.training.total_steps:
            raise self.training.spoilt()
        self._saved = time.monotonic()

    def _restore(self) -> float:
        """Load the checkpoint, if any. Returns the seconds it had taken."""
        path = self.checkpoint
        state = agreed(lambda: load_checkpoint(path) if path.exists() else None)
        if state is None:
            return 0.0
        if state.get("data") != self.data:
            raise RunFolderError(
                f"other files can be read now than when {path} was written, and it does "
                "not fit them. Make the same files readable again, or give another --out"
            )
        try:
            self.training.load_state_dict(state["training"])
            return float(state["seconds"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise RunFolderError(
                f"{path} does not fit this run ({type(error).__name__}: {error}). Delete "
                "that file to train again from the start, or give another --out"
            ) from error

    def _warn_if_long(self, progress: Progress) -> None:
        """Say once, as soon as the pace is known, that a CPU is the wrong place for this run."""
        training = self.training
        if training.step - self._first_step != STEPS_TO_MEASURE or training.device.type != "cpu":
            return
        pace = (time.monotonic() - self._began) / STEPS_TO_MEASURE
        hours = pace * training.total_steps / 3600
        if hours > LONG_HOURS:
            quick = QUICK[kind_of(training.config.preset)]
            progress.message(
                f"at this pace, training takes about {hours:.0f} hours on the CPU. Quicker: a "
                f"CUDA GPU, or in a new --out --preset {quick}, fewer --epochs, --px or --width"
            )
