"""The threshold of pairs of a run, searched for on known classes where that is asked for."""

import math
import time
from collections.abc import Callable

import numpy as np
import torch

from newfound.data.catalogue import Catalogue
from newfound.data.items import Items
from newfound.errors import InputError, NonFiniteLossError, Stopped
from newfound.job import Job
from newfound.machine import distributed
from newfound.machine.interrupt import stop_requested
from newfound.mu_search import Rehearsal, candidates, make_rehearsal, rehearse
from newfound.progress import Progress
from newfound.training.pseudo_labels import fixed_threshold
from newfound.training.train import Training


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
    records = distributed.agreed(job.folder.records)
    done = {r["fraction"]: r for r in records if r["event"] == "heldout"}
    tried = candidates(job.config.window)
    for fraction in tried:
        if fraction not in done:
            began = time.monotonic()
            with stop_requested() as stop:
                try:
                    acc = _try_mu(job, rehearsal, fraction, items, device, progress, stop)
                except NonFiniteLossError:
                    acc = math.nan
                    progress.message(f"mu = {fraction} H is left out: the loss became no number")
            if acc is not None:
                done[fraction] = {"acc": acc, "seconds": time.monotonic() - began}
                job.folder.log("heldout", fraction=fraction, **done[fraction])
            if distributed.any_process(stop()):
                raise Stopped(
                    f"stopped; {job.folder.path} holds the trials of mu that were complete. The "
                    "same command goes on with the next one from its start"
                )
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


def _try_mu(
    job: Job,
    rehearsal: Rehearsal,
    fraction: float,
    items: Items,
    device: torch.device,
    progress: Progress,
    stop: Callable[[], bool],
) -> float | None:
    """ACC on known classes taken as unknown, None if it was stopped before."""
    steps_per_epoch = len(rehearsal.rows) // min(job.config.batch, len(rehearsal.rows))
    progress.stage(
        f"Trying mu = {fraction} H on known classes", job.config.heldout_epochs * steps_per_epoch
    )

    def after_step(_: Training) -> bool:
        progress.advance()
        return not distributed.any_process(stop())

    return rehearse(
        rehearsal,
        fraction,
        items,
        job.config,
        device,
        after_step,
        job.runtime.compile,
        job.weights,
    )
