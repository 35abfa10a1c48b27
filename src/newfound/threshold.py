"""The threshold of pairs of a run, searched for on known classes where that is asked for."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from newfound.data.catalogue import Catalogue
from newfound.data.items import Items
from newfound.errors import InputError, NonFiniteLossError
from newfound.ground import Ground
from newfound.job import Job
from newfound.machine import distributed
from newfound.machine.interrupt import stop_requested
from newfound.mu_search import Rehearsal, begin_trial, candidates, make_rehearsal, score_trial
from newfound.progress import Progress
from newfound.sequence import stopped
from newfound.training.kept_training import KeptTraining
from newfound.training.pseudo_labels import fixed_threshold


def threshold_of(
    job: Job, catalogue: Catalogue, items: Items, device: torch.device, progress: Progress
) -> tuple[float | None, dict[str, float]]:
    """The threshold of pairs, after the search if one is asked for; None: as `fixed_threshold`.

    With it the seconds that the search took, of all processes that worked on it.
    """
    if job.config.mu == "heldout":
        return _search_mu(job, catalogue, items, device, progress)
    return fixed_threshold(job.config), {}


def _search_mu(
    job: Job, catalogue: Catalogue, items: Items, device: torch.device, progress: Progress
) -> tuple[float, dict[str, float]]:
    """The best candidate on known classes, as a count; what is in the log is not done again.

    One with which the loss becomes no number is left out. Raises InputError if none goes.
    """
    rehearsal = make_rehearsal(catalogue.labels, catalogue.labelled, job.num_novel)
    search = _Search(job, rehearsal, catalogue.fingerprint(), items, device, progress)
    records = distributed.agreed(job.folder.records)
    done = {r["fraction"]: r for r in records if r["event"] == "heldout"}
    tried = candidates(job.config.window)
    for fraction in tried:
        if fraction not in done:
            done[fraction] = search.try_out(fraction)
    accs = np.array([done[fraction]["acc"] for fraction in tried], dtype=np.float64)  # null is NaN
    if np.isnan(accs).all():
        raise InputError(
            f"the loss became no number with every mu that was tried ({', '.join(map(str, tried))})"
            "; give a lower --lr, --precision float32 or --mu share, with another --out"
        )
    best = tried[int(np.nanargmax(accs))]
    progress.message(
        f"mu = {best} H: ACC {done[best]['acc']:.3f} on known classes taken as unknown"
    )
    return best * job.config.hashes, {"search": sum(done[f]["seconds"] for f in tried)}


@dataclass(frozen=True)
class _Search:
    """What all trials of mu have in common. data: fingerprint of the items that could be read."""

    job: Job
    rehearsal: Rehearsal
    data: str
    items: Items
    device: torch.device
    progress: Progress

    def try_out(self, fraction: float) -> dict[str, float]:
        """The ACC with one candidate, NaN if its loss became no number, and the seconds it took.

        It is logged, and not kept otherwise. Raises Stopped if the user asked to stop.
        """
        folder = self.job.folder
        checkpoint = folder.checkpoint_of(_key(fraction))
        ground, training = begin_trial(
            self.rehearsal,
            fraction,
            self.job.config,
            self.device,
            self.job.runtime.compile,
            self.job.weights,
        )
        every, title = self.job.runtime.checkpoint_seconds, f"Trying mu = {fraction} H"
        kept = KeptTraining(training, f"{title} on known classes", checkpoint, self.data, every)
        folder.forget_after(training.step, _key(fraction))
        before, began = kept.seconds, time.monotonic()
        with stop_requested() as stop:
            try:
                acc = self._trained_and_scored(fraction, ground, kept)
            except NonFiniteLossError:
                acc = math.nan
                self.progress.message(f"mu = {fraction} H is left out: the loss became no number")
        found = {"acc": acc, "seconds": before + time.monotonic() - began}
        folder.log("heldout", fraction=fraction, **found)
        if distributed.is_writer():
            checkpoint.unlink(missing_ok=True)
        if distributed.any_process(stop()):
            raise stopped(folder)
        return found

    def _trained_and_scored(self, fraction: float, ground: Ground, kept: KeptTraining) -> float:
        folder, key = self.job.folder, _key(fraction)

        def log_epoch(figures: dict[str, Any], _: Tensor | None) -> None:
            folder.log("stage_epoch", stage=key, **figures)

        if not kept.run(self.items, self.progress, log_epoch):
            raise stopped(folder)
        return score_trial(self.rehearsal, ground, self.items)


def _key(fraction: float) -> str:
    """Of a trial's checkpoint, and its epochs in the log."""
    return f"mu{fraction}"
