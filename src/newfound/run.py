"""A run from data to result, stage by stage; each stage continues where it was cut off."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from newfound.checkpoint import load_checkpoint, save_checkpoint
from newfound.conclusion import Finding, conclude
from newfound.config import Config, Runtime
from newfound.data.catalogue import Catalogue, Truth, check_counts, drop, hold_out
from newfound.data.images import ArrayImages, decode_side
from newfound.data.loader import (
    CachedPixels,
    Pixels,
    StreamedPixels,
    check_all,
    check_share_bad,
    choose_cache,
    decode_all,
)
from newfound.device import choose_device, choose_workers, describe
from newfound.errors import RunFolderError, Stopped
from newfound.evaluate import clustering_accuracy
from newfound.files import write_csv
from newfound.inference import ask
from newfound.interrupt import stop_requested
from newfound.models.network import make_network
from newfound.mu_search import CANDIDATES, make_rehearsal, rehearse
from newfound.progress import Progress
from newfound.report import write_report
from newfound.run_folder import RunFolder
from newfound.train import EpochRecord, Training, train

SHOW_LOSS_EVERY_SECONDS = 1.0

STEPS_TO_MEASURE = 10
LONG_HOURS = 3.0
"""A run on a CPU that will take longer gets a word on how to shorten it."""


@dataclass(frozen=True)
class Job:
    """What is to be done, and where. Nothing in it changes during the run."""

    folder: RunFolder
    catalogue: Catalogue
    truth: Truth | None
    num_novel: int
    config: Config
    runtime: Runtime
    compare_labelled_only: bool


def run(job: Job, progress: Progress) -> None:
    """Do what is left of the job; when it returns, the run folder is complete.

    Raises InputError for what cannot be used, RunFolderError for a folder that is not this
    run's, and Stopped when the user interrupts; the folder can then be continued.
    """
    warnings = check_counts(job.catalogue, job.num_novel, job.config.batch)
    device = choose_device(job.runtime.device)
    continued = job.folder.claim(_identity(job), _about(job, device))
    with job.folder.lock():
        if _is_complete(job):
            progress.message(f"{job.folder.path} is complete already")
            if not job.folder.report.exists():
                write_report(job.folder.path)
            return
        job.folder.log("resume" if continued else "start", hardware=describe(device))
        for text in warnings:
            progress.message(f"warning: {text}")
            job.folder.log("warning", message=text)
        try:
            _work(job, device, progress)
        except KeyboardInterrupt:
            raise _stopped(job) from None


def _is_complete(job: Job) -> bool:
    """Whether nothing is left to do; a comparison asked for later is something."""
    if not job.folder.result_file.exists():
        return False
    return not job.compare_labelled_only or (
        "kmeans_labelled_only" in job.folder.result()["baselines"]
    )


def _work(job: Job, device: torch.device, progress: Progress) -> None:
    began = time.monotonic()
    workers = choose_workers(job.runtime.workers)
    if isinstance(job.catalogue.images, ArrayImages):
        workers = 0  # handing arrays to processes costs more than resizing them here
    catalogue, truth, pixels = _decode(job, workers, device, progress)
    seconds = {"reading": time.monotonic() - began}
    catalogue = hold_out(catalogue, job.config.held_out, job.config.seed)

    mu = _threshold(job, catalogue, pixels, device, progress)
    network = make_network(job.config, len(catalogue.class_names), job.num_novel)
    training = Training(network, job.config, catalogue.labels, catalogue.trainable, mu, device)
    seconds["training"] = _train(
        job,
        training,
        pixels,
        job.folder.checkpoint,
        progress,
        lambda figures, categories: _log_epoch(job.folder, figures, categories, catalogue, truth),
    )
    labelled_only = None
    if job.compare_labelled_only:
        labelled_only, took = _labelled_only_features(job, catalogue, pixels, device, progress)
        seconds["training_on_labels_alone"] = took
    conclude(
        Finding(
            folder=job.folder,
            catalogue=catalogue,
            truth=truth,
            config=job.config,
            network=network,
            pixels=pixels,
            device=device,
            bfloat16=training.bfloat16,
            workers=workers,
            labelled_only=labelled_only,
            skipped=len(job.catalogue) - len(catalogue),
            seconds=seconds,
        ),
        progress,
    )


def _decode(
    job: Job, workers: int, device: torch.device, progress: Progress
) -> tuple[Catalogue, Truth | None, Pixels]:
    """Decode every item once, keep the pixels where they fit, and leave out what is unreadable."""
    config, catalogue = job.config, job.catalogue
    images = catalogue.images
    item_bytes = config.channels * decode_side(config.px) ** 2
    cache = choose_cache(len(catalogue), item_bytes, device, job.runtime.cache)

    progress.stage("Reading images", len(catalogue))
    done = 0

    def on_progress(now: int, _total: int) -> None:
        nonlocal done
        progress.advance(now - done)
        done = now

    if cache == "none":
        bad = check_all(images, config.px, config.channels, workers, on_progress)
    else:
        kept, bad = decode_all(images, config.px, config.channels, workers, on_progress)
    check_share_bad(bad, catalogue.names, job.runtime.max_bad)
    skipped = pd.DataFrame(
        {"path": catalogue.names[[b.index for b in bad]], "reason": [b.reason for b in bad]}
    )
    write_csv(job.folder.skipped, skipped)
    if bad:
        progress.message(
            f"{len(bad)} of {len(catalogue)} images cannot be read and are left out: "
            f"{job.folder.skipped}"
        )
    catalogue, truth = drop(catalogue, job.truth, [b.index for b in bad])
    check_counts(catalogue, job.num_novel, config.batch)
    if cache == "none":
        pin = device.type == "cuda"
        streamed = StreamedPixels(catalogue.images, config.px, config.channels, workers, pin)
        return catalogue, truth, streamed
    return catalogue, truth, CachedPixels(kept.to(device) if cache == "device" else kept)


def _threshold(
    job: Job, catalogue: Catalogue, pixels: Pixels, device: torch.device, progress: Progress
) -> float | None:
    """Mu as a count, after the search if one is asked for; None to follow a share."""
    match job.config.mu:
        case "share":
            return None
        case "heldout":
            return _search_mu(job, catalogue, pixels, device, progress)
        case _:
            return job.config.mu_count()


def _search_mu(
    job: Job, catalogue: Catalogue, pixels: Pixels, device: torch.device, progress: Progress
) -> float:
    """The best candidate on known classes, as a count; what is in the log is not done again."""
    rehearsal = make_rehearsal(catalogue.labels, catalogue.labelled, job.num_novel)
    found = {r["fraction"]: r["acc"] for r in job.folder.records() if r["event"] == "heldout"}
    for fraction in CANDIDATES:
        if fraction in found:
            continue
        steps = job.config.heldout_epochs * (
            len(rehearsal.rows) // min(job.config.batch, len(rehearsal.rows))
        )
        progress.stage(f"Trying mu = {fraction} H on known classes", steps)
        with stop_requested() as stop:

            def after_step(_training: Training, stop: Callable[[], bool] = stop) -> bool:
                progress.advance()
                return not stop()

            acc = rehearse(rehearsal, fraction, pixels, job.config, device, after_step)
        if acc is None:
            raise _stopped(job)
        found[fraction] = acc
        job.folder.log("heldout", fraction=fraction, acc=acc)
    best = max(CANDIDATES, key=lambda fraction: found[fraction])
    progress.message(f"mu = {best} H: ACC {found[best]:.3f} on known classes taken as unknown")
    return best * job.config.hashes


def _train(
    job: Job,
    training: Training,
    pixels: Pixels,
    checkpoint: Path,
    progress: Progress,
    log_epoch: Callable[[dict[str, Any], Tensor], None],
) -> float:
    """Train to the end, from the checkpoint if there is one. Returns seconds spent in all.

    Raises Stopped after a checkpoint if the user asked to stop.
    """
    before = _restore(training, checkpoint, job.folder)
    first = training.step
    began = saved = shown = epoch_began = time.monotonic()

    def save() -> None:
        training.check_finite()
        if training.weights_are_finite():
            seconds = before + time.monotonic() - began
            state = {"training": training.state_dict(), "seconds": seconds}
            save_checkpoint(checkpoint, state)

    def after_epoch(record: EpochRecord, categories: Tensor) -> None:
        nonlocal epoch_began
        took, epoch_began = time.monotonic() - epoch_began, time.monotonic()
        rate = training.steps_per_epoch * job.config.batch / took
        figures = asdict(record) | {"items_per_second": round(rate, 1), "seconds": round(took, 3)}
        log_epoch(figures, categories)
        progress.epoch(figures)

    def warn_if_long(steps: int) -> None:
        hours = (time.monotonic() - began) / steps * training.total_steps / 3600
        if training.device.type == "cpu" and hours > LONG_HOURS:
            progress.message(
                f"at this pace, training takes about {hours:.0f} hours on the CPU. Quicker: a "
                "CUDA GPU, or in a new --out --preset quick, fewer --epochs, --px or --width"
            )

    def after_step(_: Training) -> bool:
        nonlocal saved, shown
        now = time.monotonic()
        # A loss is a wait for the device, so it is not fetched at every step.
        if now - shown >= SHOW_LOSS_EVERY_SECONDS:
            progress.advance(total=float(training.last_total))
            shown = now
        else:
            progress.advance()
        if training.step - first == STEPS_TO_MEASURE:
            warn_if_long(STEPS_TO_MEASURE)
        stopping = stop()
        ended = training.step == training.total_steps
        if stopping or ended or now - saved >= job.runtime.checkpoint_seconds:
            save()
            saved = time.monotonic()
        return not stopping or ended

    progress.stage(
        "Training" if checkpoint == job.folder.checkpoint else "Training on labels alone",
        training.total_steps,
        done=training.step,
        epochs=training.config.epochs,
        images_each=training.config.batch,
    )
    with stop_requested() as stop:
        if not train(training, pixels, after_step=after_step, after_epoch=after_epoch):
            raise _stopped(job)
    return before + time.monotonic() - began


def _restore(training: Training, checkpoint: Path, folder: RunFolder) -> float:
    """Load the checkpoint, if any, into the training. Returns the seconds it had taken."""
    if not checkpoint.exists():
        if checkpoint == folder.checkpoint:
            folder.forget_after(0)
        return 0.0
    state = load_checkpoint(checkpoint)
    try:
        training.load_state_dict(state["training"])
        seconds = float(state["seconds"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise RunFolderError(
            f"{checkpoint} does not fit this run ({type(error).__name__}: {error}). Delete that "
            "file to train again from the start, or give another --out"
        ) from error
    if checkpoint == folder.checkpoint:
        folder.forget_after(training.step)
    return seconds


def _log_epoch(
    folder: RunFolder,
    figures: dict[str, Any],
    categories: Tensor,
    catalogue: Catalogue,
    truth: Truth | None,
) -> None:
    """One line of the log; with truth, also the accuracy of the epoch's own predictions.

    Those were made on augmented views while the network changed, and are there to show when
    training goes wrong; nothing reads them but people.
    """
    if truth is not None:
        predicted = categories[torch.from_numpy(catalogue.unlabelled)].cpu().numpy()
        seen = predicted >= 0
        figures["novel_acc"] = clustering_accuracy(truth.labels[seen], predicted[seen])
    folder.log("epoch", **figures)


def _labelled_only_features(
    job: Job, catalogue: Catalogue, pixels: Pixels, device: torch.device, progress: Progress
) -> tuple[np.ndarray, float]:
    """Features of the unlabelled items from the same network trained on labels alone.

    The k-means baseline of Table 1, row (1), clusters these.
    Returns (n_unlabelled, d), and the seconds it took.
    """
    config = job.config.model_copy(
        update={
            "bce_weight": 0.0,
            "instance_weight": 0.0,
            "category_weight": 0.0,
            "consistency_weight": 0.0,
            "batch": min(job.config.batch, len(catalogue.labelled)),
            "unlabelled_share": None,
        }
    )
    network = make_network(config, len(catalogue.class_names), job.num_novel)
    mu = float(config.hashes)  # pairs take no part
    training = Training(network, config, catalogue.labels, catalogue.labelled, mu, device)
    seconds = _train(
        job,
        training,
        pixels,
        job.folder.labelled_only,
        progress,
        lambda _figures, _categories: None,
    )
    answers = ask(
        network,
        pixels,
        catalogue.unlabelled,
        px=config.px,
        device=device,
        bfloat16=training.bfloat16,
    )
    return answers.features, seconds


def _identity(job: Job) -> dict[str, Any]:
    """What must be equal for a run to be continued. Truth is no part of it."""
    return {
        "config": job.config.model_dump(mode="json"),
        "known": list(job.catalogue.class_names),
        "num_novel": job.num_novel,
        "data_fingerprint": job.catalogue.fingerprint(),
    }


def _about(job: Job, device: torch.device) -> dict[str, Any]:
    return {
        "data": {"source": job.catalogue.source, "items": len(job.catalogue)},
        "hardware": describe(device),
    }


def _stopped(job: Job) -> Stopped:
    return Stopped(
        f"stopped; {job.folder.path} holds all work so far. The same command goes on from there"
    )
