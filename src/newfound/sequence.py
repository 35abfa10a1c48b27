"""All stages of a method, one after another, each continued where it was cut off."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from newfound.config import Runtime
from newfound.data.items import Items
from newfound.disk.run_folder import RunFolder
from newfound.errors import Stopped
from newfound.ground import Ground
from newfound.machine.distributed import agreed
from newfound.progress import Progress
from newfound.stages import Stage, stages
from newfound.training.kept_training import KeptTraining
from newfound.training.shelf import Shelf
from newfound.training.train import Training

Score = Callable[[Tensor], Mapping[str, float]]
"""What else the log tells of an epoch: from the categories predicted in it, (n,) int64 of the whole
catalogue, -1 where an item was not seen."""


@dataclass(frozen=True)
class StageSequence:
    """What the stages of a run have in common.

    data: fingerprint of the items that could be read.  weights: fingerprint of what the network
    started from, None for random values.  score: is for the log alone.
    """

    ground: Ground
    items: Items
    data: str
    weights: str | None
    folder: RunFolder
    runtime: Runtime
    progress: Progress
    score: Score

    def train(self) -> dict[str, float]:
        """Train the network in the stages of the method, from the last one that was begun on.

        Returns the seconds of each stage, of all the commands that worked on it. Raises Stopped if
        the user asked to stop, NonFiniteLossError and RunFolderError as `KeptTraining` does, and
        InputError for a stage whose items the processes cannot share.
        """
        planned, folder = stages(self.ground.config), self.folder
        begun = agreed(lambda: [folder.checkpoint_of(stage.key).exists() for stage in planned])
        first = max((number for number, has_begun in enumerate(begun) if has_begun), default=0)
        records = agreed(folder.records)
        seconds = {r["stage"]: r["seconds"] for r in records if r["event"] == "stage"}
        before: Training | None = None
        for number, stage in enumerate(planned):
            training = stage.begin(self.ground, before)
            before = training
            if number < first:
                continue  # the checkpoint of a later stage holds what this one made
            # The last one is always trained here, as its checkpoint is the run's.
            is_last = number == len(planned) - 1
            if not (is_last or begun[number]):
                took = self._taken_from_shelf(stage, training)
                if took is not None:
                    seconds[stage.key] = took
                    continue
            spent = self._trained(stage, training, is_last)
            if stage.key not in seconds:
                self._done(stage, training, spent)
            seconds[stage.key] = spent
        return {stage.key: seconds.get(stage.key, 0.0) for stage in planned}

    def _shelf(self, stage: Stage) -> Shelf | None:
        if self.runtime.shelf is None or not stage.is_pretraining:
            return None
        return Shelf(self.runtime.shelf, self.data, self.weights)

    def _taken_from_shelf(self, stage: Stage, training: Training) -> float | None:
        """The seconds that an equal stage of another run took; None if there is none."""
        shelf = self._shelf(stage)
        took = shelf.take(stage.key, training) if shelf else None
        if shelf and took is not None:
            self.progress.message(f"{stage.title}: done before, taken from {shelf.folder}")
            self.folder.log("stage", stage=stage.key, seconds=took, taken_from=str(shelf.folder))
        return took

    def _trained(self, stage: Stage, training: Training, is_last: bool) -> float:
        """Train what is left of the stage; its seconds, of all commands."""
        checkpoint, every = self.folder.checkpoint_of(stage.key), self.runtime.checkpoint_seconds
        kept = KeptTraining(training, stage.title, checkpoint, self.data, every)
        self.folder.forget_after(training.step, None if is_last else stage.key)

        def log_epoch(figures: dict[str, Any], categories: Tensor | None) -> None:
            if categories is not None:
                figures |= self.score(categories)
            if is_last:
                self.folder.log("epoch", **figures)
            else:
                self.folder.log("stage_epoch", stage=stage.key, **figures)

        if not kept.run(self.items, self.progress, log_epoch):
            raise stopped(self.folder)
        return kept.seconds

    def _done(self, stage: Stage, training: Training, seconds: float) -> None:
        self.folder.log("stage", stage=stage.key, seconds=seconds)
        if shelf := self._shelf(stage):
            shelf.put(stage.key, training, seconds)


def stopped(folder: RunFolder) -> Stopped:
    """What tells the user that the run stopped, and how it goes on."""
    return Stopped(
        f"stopped; {folder.path} holds all work so far. The same command goes on from there"
    )
