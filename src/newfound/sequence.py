"""All stages of a method, one after another, each continued where it was cut off."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from newfound.config import Runtime
from newfound.data.catalogue import Catalogue, Truth
from newfound.data.items import Items
from newfound.disk.run_folder import RunFolder
from newfound.errors import Stopped
from newfound.machine.distributed import agreed
from newfound.progress import Progress
from newfound.results.evaluate import clustering_accuracy
from newfound.stages import Ground, Stage, stages
from newfound.training.kept_training import KeptTraining
from newfound.training.shelf import Shelf
from newfound.training.train import Training


def train_in_stages(
    ground: Ground,
    catalogue: Catalogue,
    truth: Truth | None,
    items: Items,
    folder: RunFolder,
    runtime: Runtime,
    progress: Progress,
) -> dict[str, float]:
    """Train the network in the stages of the method, from the last one that was begun on.

    Returns the seconds of each stage, of all the commands that worked on it. Raises Stopped if
    the user asked to stop, RunFolderError as `KeptTraining` does.
    """
    planned, data = stages(ground.config), catalogue.fingerprint()
    begun = agreed(lambda: [folder.checkpoint_of(stage.key).exists() for stage in planned])
    first = max((number for number, has_begun in enumerate(begun) if has_begun), default=0)
    shelf = Shelf(runtime.shelf, data) if runtime.shelf and planned[0].is_pretraining else None
    records = agreed(folder.records)
    seconds = {r["stage"]: r["seconds"] for r in records if r["event"] == "stage"}
    before: Training | None = None
    for number, stage in enumerate(planned):
        training = stage.begin(ground, before)
        before = training
        if number < first:
            continue  # the checkpoint of a later stage holds what this one made
        is_last = number == len(planned) - 1
        if shelf and stage.is_pretraining and not is_last and not begun[number]:
            took = shelf.take(stage.key, training)
            if took is not None:
                progress.message(f"{stage.title}: done before, taken from {shelf.folder}")
                folder.log("stage", stage=stage.key, seconds=took, taken_from=str(shelf.folder))
                seconds[stage.key] = took
                continue
        checkpoint = folder.checkpoint_of(stage.key)
        every = runtime.checkpoint_seconds
        kept = KeptTraining(training, stage.title, checkpoint, data, every)
        folder.forget_after(training.step, None if is_last else stage.key)
        if not kept.run(items, progress, _epoch_log(folder, catalogue, truth, stage, is_last)):
            raise stopped(folder)
        if stage.key not in seconds:
            folder.log("stage", stage=stage.key, seconds=kept.seconds)
            if shelf and stage.is_pretraining:
                shelf.put(stage.key, training, kept.seconds)
        seconds[stage.key] = kept.seconds
    return {stage.key: seconds.get(stage.key, 0.0) for stage in planned}


def stopped(folder: RunFolder) -> Stopped:
    """What tells the user that the run stopped, and how it goes on."""
    return Stopped(
        f"stopped; {folder.path} holds all work so far. The same command goes on from there"
    )


def _epoch_log(
    folder: RunFolder, catalogue: Catalogue, truth: Truth | None, stage: Stage, is_last: bool
) -> Callable[[dict[str, Any], Tensor | None], None]:
    """What writes one line of the log; with truth, also the accuracy of the epoch's predictions.

    Those were made on augmented views while the network changed, and are there to show when
    training goes wrong: the report warns of a fall, and nothing is chosen by them.
    """
    unlabelled = torch.from_numpy(catalogue.unlabelled)

    def log_epoch(figures: dict[str, Any], categories: Tensor | None) -> None:
        if truth is not None and categories is not None:
            predicted = categories[unlabelled].cpu().numpy()
            seen = predicted >= 0
            figures["novel_acc"] = clustering_accuracy(truth.labels[seen], predicted[seen])
        if is_last:
            folder.log("epoch", **figures)
        else:
            folder.log("stage_epoch", stage=stage.key, **figures)

    return log_epoch
