"""A run from data to result, stage by stage; each stage continues where it was cut off."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pandas as pd
import torch

from newfound.alike import check_all_began_alike, check_all_read_the_same
from newfound.clustering import cluster_features, know_by_means
from newfound.conclusion import conclude
from newfound.config import VideoConfig
from newfound.data.catalogue import Catalogue, Truth, drop
from newfound.data.decoding import is_of_a_lost_worker, lost_worker_in_words
from newfound.data.duplicates import duplicates_in_words
from newfound.data.items import Items
from newfound.data.reading import read_items
from newfound.data.skipped import check_share_bad
from newfound.data.words import some
from newfound.disk.files import write_csv
from newfound.disk.outputs import has_whole_report, lost_output
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError, LocalError, RunFolderError
from newfound.feasible import check_feasible
from newfound.finding import Finding
from newfound.ground import Ground, ground_of
from newfound.job import (
    Job,
    about,
    decoding_workers,
    identity_of,
    less_memory_in_words,
    missing_in_words,
    resolved,
    room_on_gpu_in_words,
    with_held_out,
)
from newfound.labelled_only import labelled_only_features
from newfound.machine import distributed
from newfound.machine.cores import compute_threads
from newfound.machine.device import describe, float32_as_such
from newfound.machine.interrupt import terminated_as_by_ctrl_c
from newfound.machine.memory import begin_peak_memory, lack_of_memory_in_words
from newfound.progress import Progress
from newfound.report.page import write_report
from newfound.results.answer import rows_to_calibrate_on
from newfound.results.evaluate import clustering_accuracy
from newfound.results.inference import Answers
from newfound.sequence import Score, StageSequence, stopped
from newfound.settling import settle, settles
from newfound.stages import narrow_known_head, stages
from newfound.threshold import threshold_of


def run(job: Job, progress: Progress) -> None:
    """Do what is left of the job; when it returns, the run folder is complete.

    Raises InputError for what cannot be used, RunFolderError for a folder that is not this
    run's, and Stopped when the user interrupts; the folder can then be continued.
    """
    with distributed.joined(job.runtime.device) as device:
        job = resolved(job, device)
        if distributed.count() > 1:
            check_all_began_alike(job)
        distributed.check_batch(job.config.batch)
        if job.config.own_batch:
            distributed.check_batch(job.config.own_batch, "--own-batch")
        _check_may_compile(job)
        warnings = check_feasible(job, job.catalogue, are_final=False)
        with (
            compute_threads(job.runtime.threads, job.config.width, job.config.px),
            float32_as_such(job.config.precision),
            _claimed(job, device) as continued,
        ):
            if distributed.agreed(lambda: _is_complete(job, progress)):
                progress.message(f"{job.folder.path} is complete already")
                if distributed.is_writer() and not has_whole_report(job.folder):
                    write_report(job.folder.path)
                return
            job.folder.log(
                "resume" if continued else "start",
                hardware=describe(device),
                processes=distributed.count(),
            )
            if job.weights:
                progress.message(f"starting from {job.weights.in_words}")
            if job.catalogue.missing:
                progress.message(missing_in_words(job.catalogue))
                job.folder.log("missing", items=job.catalogue.missing)
            for text in warnings + distributed.agreed(lambda: duplicates_in_words(job.catalogue)):
                _warn(job, text, progress)
            _work_until_stopped(job, device, progress)


@contextmanager
def _claimed(job: Job, device: torch.device) -> Iterator[bool]:
    """Within, the folder is this run's alone, by its writer; whether the run was there before."""
    with ExitStack() as held:
        claimed = job.folder.claimed(identity_of(job), about(job, device))
        yield distributed.agreed(lambda: held.enter_context(claimed))


def _work_until_stopped(job: Job, device: torch.device, progress: Progress) -> None:
    try:
        with (
            terminated_as_by_ctrl_c(),
            lack_of_memory_in_words(less_memory_in_words(job.config), room_on_gpu_in_words(job)),
        ):
            _work(job, device, progress)
    except KeyboardInterrupt:
        raise stopped(job.folder) from None
    except RuntimeError as error:
        if distributed.is_of_a_lost_process(error):
            raise distributed.lost_process(job.folder.path) from error
        if not is_of_a_lost_worker(error):
            raise
        raise LocalError(
            f"{lost_worker_in_words(error)}; {job.folder.path} holds all work so far. The "
            "same command goes on from there. If it happens again, give fewer --workers "
            "for want of memory, or --workers 0 to do without"
        ) from error


def _is_complete(job: Job, progress: Progress) -> bool:
    """Whether nothing is left to do; a comparison asked for later is something, and so is what has
    been lost of a run that had ended.

    Raises RunFolderError if the trained network has been lost, too.
    """
    planned = stages(job.config)
    is_trained = not planned or job.folder.checkpoint_of(planned[-1].key).exists()
    # Without a result it may have been killed while it wrote the others; then it is trained.
    if not job.folder.result_file.exists() and (is_trained or not job.folder.model.exists()):
        return False
    if lost := lost_output(job.folder):
        if not is_trained:
            trained = job.folder.checkpoint_of(planned[-1].key)
            raise RunFolderError(
                f"{lost} is absent or damaged, and {trained}, of which it could be made "
                "anew, is gone; give another --out to train again"
            )
        progress.message(f"{lost} is absent or damaged, and made anew")
        return False
    return not job.compare_labelled_only or (
        "kmeans_labelled_only" in job.folder.result()["baselines"]
    )


def _work(job: Job, device: torch.device, progress: Progress) -> None:
    began = time.monotonic()
    begin_peak_memory(device)
    workers = decoding_workers(job)
    catalogue, truth, items = _decode(job, workers, device, progress)
    seconds = {"reading": time.monotonic() - began}
    catalogue = with_held_out(job, catalogue)

    ground, training_seconds = _train(job, catalogue, truth, items, device, progress)
    seconds |= training_seconds
    settled = None
    if settles(job.config):
        began = time.monotonic()
        settled = _settle(ground, items, job.folder, progress)
        seconds["settling"] = time.monotonic() - began
    narrow_known_head(ground.network, len(catalogue.class_names))
    labelled_only = None
    if job.compare_labelled_only:
        labelled_only, took = labelled_only_features(job, catalogue, items, device, progress)
        seconds["training_on_labels_alone"] = took
    began = time.monotonic()
    unlabelled, labelled = _answers(ground, catalogue, items, settled, progress)
    seconds["sorting"] = time.monotonic() - began
    finding = Finding(
        folder=job.folder,
        catalogue=catalogue,
        truth=truth,
        config=job.config,
        network=ground.network,
        media=items,
        device=device,
        workers=workers,
        unlabelled=unlabelled,
        labelled=labelled,
        labelled_only=labelled_only,
        skipped=len(job.catalogue) - len(catalogue),
        head_changed_since=settled is not None,
        seconds=seconds,
    )
    distributed.agreed(lambda: conclude(finding, progress))


def _train(
    job: Job,
    catalogue: Catalogue,
    truth: Truth | None,
    items: Items,
    device: torch.device,
    progress: Progress,
) -> tuple[Ground, dict[str, float]]:
    """Everything up to a trained network, whatever the method, and the seconds of each part."""
    threshold, seconds = threshold_of(job, catalogue, items, device, progress)
    ground = ground_of(job, catalogue, threshold, device)
    sequence = StageSequence(
        ground,
        items,
        catalogue.fingerprint(),
        job.weights.fingerprint if job.weights else None,
        job.folder,
        job.runtime,
        progress,
        _score_of(catalogue, truth),
    )
    seconds |= sequence.train()
    if job.config.method == "kmeans":
        cluster_features(ground, items, progress)
        if not stages(job.config):
            know_by_means(ground, items, progress)
    return ground, seconds


def _score_of(catalogue: Catalogue, truth: Truth | None) -> Score:
    """The accuracy of an epoch's predictions, where there is a truth.

    They were made on augmented views while the network changed, and are there to show when
    training goes wrong: the report warns of a fall, and nothing is chosen by them.
    """
    unlabelled = torch.from_numpy(catalogue.unlabelled)

    def score(categories: torch.Tensor) -> dict[str, float]:
        if truth is None:
            return {}
        predicted = categories[unlabelled].cpu().numpy()
        seen = predicted >= 0
        return {"novel_acc": clustering_accuracy(truth.labels[seen], predicted[seen])}

    return score


def _decode(
    job: Job, workers: int, device: torch.device, progress: Progress
) -> tuple[Catalogue, Truth | None, Items]:
    """Decode every item once, keep the pixels where they fit, and leave out what is unreadable."""
    config, catalogue = job.config, job.catalogue
    progress.stage(f"Reading {catalogue.items.kind}", len(catalogue))
    items, bad = read_items(
        catalogue.items,
        config,
        workers,
        job.runtime.cache,
        device,
        progress.follow,
    )
    check_share_bad(bad, catalogue.names, catalogue.items.kind, job.runtime.max_bad)
    unreadable = [b.index for b in bad]
    check_all_read_the_same(catalogue, unreadable)
    skipped = pd.DataFrame({"path": catalogue.names[unreadable], "reason": [b.reason for b in bad]})
    write_csv(job.folder.skipped, skipped)
    if bad:
        progress.message(
            f"{len(bad)} of {len(catalogue)} {catalogue.items.kind} are left out; "
            f"{job.folder.skipped} says why"
        )
    is_seen = isinstance(config, VideoConfig) and config.modalities == "both"
    if is_seen and any(b.by_choice for b in bad):
        progress.message("--missing-audio zeros, in a new --out, keeps videos without sound")
    catalogue, truth = drop(catalogue, job.truth, unreadable)
    if lost := sorted({*job.catalogue.class_names} - {*catalogue.class_names}):
        text = f"no file of these labelled classes can be used, and they are left out: {some(lost)}"
        _warn(job, text, progress)
    check_feasible(job, catalogue, are_final=True)
    return catalogue, truth, items


def _warn(job: Job, text: str, progress: Progress) -> None:
    """Say it now, and in the report."""
    progress.message(f"warning: {text}")
    job.folder.log("warning", message=text)


def _check_may_compile(job: Job) -> None:
    """Raise InputError where the passes cannot be compiled as one graph each."""
    if job.runtime.compile and distributed.count() > 1:
        raise InputError(
            f"--compile is for one process, and there are {distributed.count()}, whose exchanges "
            "in BatchNorm and of gradients cannot be compiled; leave it out"
        )


def _answers(
    ground: Ground,
    catalogue: Catalogue,
    items: Items,
    of_unlabelled: Answers | None,
    progress: Progress,
) -> tuple[Answers, Answers]:
    """What the trained network says of the unlabelled items, and of those to calibrate on.

    of_unlabelled: the first, if the network has been asked already.
    """
    measured = rows_to_calibrate_on(catalogue.labels, catalogue.held_out)
    unlabelled = catalogue.unlabelled
    unknown = 0 if of_unlabelled else len(unlabelled)
    progress.stage("Sorting", unknown + len(measured))
    if of_unlabelled is None:
        of_unlabelled = ground.ask(items, unlabelled, progress.advance)
    return of_unlabelled, ground.ask(items, measured, progress.advance)


def _settle(ground: Ground, items: Items, folder: RunFolder, progress: Progress) -> Answers:
    """Let the novel head settle on the trained network; what that says then of the unlabelled."""
    rows = ground.unlabelled
    progress.stage("Looking at the unlabelled", len(rows))
    answers = ground.ask(items, rows, progress.advance)
    progress.stage("Settling the novel head", ground.config.settle_steps)
    settled = settle(ground, torch.from_numpy(answers.features), progress.advance)
    folder.log("settled", **settled._asdict())
    progress.stage("Asking the settled head", len(rows))
    return ground.ask_again(items, rows, answers, progress.advance)
