"""What a run would be like: data counted, steps of each stage measured, time and memory estimated.

Nothing is written. The steps are taken on some of the real items, repeated to fill the batch, or
on a batch of `PROBE` items where a whole one is known not to fit into memory.
"""

import operator
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from newfound.batch import Media
from newfound.blocks import spread
from newfound.config import VideoConfig
from newfound.data.catalogue import Catalogue
from newfound.data.duplicates import duplicates_in_words
from newfound.data.endings import other_kind_in_words
from newfound.data.items import Draw
from newfound.data.reading import bytes_when_kept, clips_tried, read_items
from newfound.data.room import Room, choose_room
from newfound.data.skipped import Skipped, spoilt
from newfound.errors import InputError
from newfound.feasible import check_feasible
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
from newfound.machine.cores import compute_threads
from newfound.machine.device import choose_device, describe, float32_as_such
from newfound.machine.memory import free_memory, free_on_gpu, lack_of_memory_in_words, peak_memory
from newfound.mu_search import candidates
from newfound.progress import Progress, duration
from newfound.results.answer import rows_to_calibrate_on
from newfound.settling import settles
from newfound.stages import stages
from newfound.step_costs import PROBE, Measured, Steps, begun, step_cost
from newfound.views.viewer import Viewer

SAMPLE = 64
"""How many items are decoded."""


@dataclass(frozen=True)
class _Sample:
    """Items that were looked at. rows: of the catalogue, those that can be used.  media: what they
    hold.  read_seconds: of each, as the run reads them before training.
    """

    rows: NDArray[np.int64]
    media: Media
    skipped: list[Skipped]
    read_seconds: float


@dataclass(frozen=True)
class _Costs:
    """stages: in their order.  kept: bytes that decoded items take beside the steps, of `free`."""

    stages: Sequence[Measured]
    parameters: int
    kept: int
    free: int

    @property
    def largest(self) -> Measured:
        """The stage that needs most memory."""
        return max(self.stages, key=lambda stage: stage.memory)

    @property
    def needed(self) -> int:
        """Bytes, at least."""
        return self.kept + self.largest.memory


def try_out(job: Job, progress: Progress) -> list[str]:
    """Lines that tell what the run would be like. Raises InputError as the run would."""
    warnings = check_feasible(job, job.catalogue, are_final=False)
    warnings += duplicates_in_words(job.catalogue)
    device = choose_device(job.runtime.device)
    job = resolved(job, device)
    job.folder.check(identity_of(job), about(job, device))
    job = replace(job, catalogue=with_held_out(job, job.catalogue))
    room, bytes_each = _place(job, device)
    with (
        lack_of_memory_in_words(less_memory_in_words(job.config), room_on_gpu_in_words(job)),
        compute_threads(job.runtime.threads, job.config.width, job.config.px),
        float32_as_such(job.config.precision),
    ):
        sample = _sample(job, room, device, progress)
        is_beside = room == ("memory" if device.type == "cpu" else "device")
        kept = len(job.catalogue) * (bytes_each or 0) * is_beside
        costs = _costs(job, sample, device, kept, progress)
        decoded = _kept(room, bytes_each, len(job.catalogue))
        facts = _facts(job, sample, costs, decoded, device)
    facts["time"] = _time(job, costs.stages, sample.read_seconds, is_kept=room != "none")
    warnings += _too_many_bad(job, sample.skipped) + _too_little_memory(costs)
    lines = [f"{name:<15}{line}" for name, text in facts.items() for line in text.split("\n")]
    return lines + [f"warning: {text}" for text in warnings]


def _costs(
    job: Job, sample: _Sample, device: torch.device, kept: int, progress: Progress
) -> _Costs:
    """Of each stage of the run, measured, and of the search for mu as of what follows it."""
    free = _free_memory(device)
    measured: list[Measured] = []
    for title, training in begun(job, device):
        progress.stage("Measuring steps", 1)
        steps = Steps(training, sample.rows, sample.media, job.catalogue.items.kind)
        measured.append(step_cost(title, steps, free - kept))
    if not (stages(job.config) or job.compare_labelled_only):  # a step tells what a look costs
        measured = [replace(stage, count=0) for stage in measured]
    if job.config.mu == "heldout":
        title, count = "Trying mu on known classes", _search_steps(job)
        measured.insert(0, replace(measured[-1], title=title, count=count))
    parameters = sum(parameter.numel() for parameter in training.network.parameters())
    return _Costs(measured, parameters, kept, free)


def _facts(
    job: Job, sample: _Sample, costs: _Costs, decoded: str, device: torch.device
) -> dict[str, str]:
    """By what they are of; those of several stages have a line for each."""
    media, last = sample.media, costs.stages[-1]
    looked_at = len(sample.rows) + len(sample.skipped)
    start = f", starting from {job.weights.in_words}" if job.weights else ""
    measured_on = max(stage.measured_on for stage in costs.stages)
    seen = Viewer(job.config, device).plain(media.select(torch.arange(1)).to(device))
    return {
        "data": _counts(job),
        "looked at": f"{looked_at:,} items; {len(sample.skipped)} of them cannot be used",
        "batch": f"{last.batch:,} items, each {_shapes(pixels=media.pixels, sound=media.sound)}",
        "views": f"{2 * last.batch:,}, each "
        + _shapes(pixels=seen.pixels, spectrogram=seen.spectrogram),
        "network": f"{costs.parameters:,} parameters, {job.config.precision}, {describe(device)}"
        + start,
        "decoded items": decoded,
        "peak memory": f"{_size(peak_memory(device))} while measuring a batch of {measured_on:,}",
        "a step": "\n".join(_step(stage, is_one_of=len(costs.stages)) for stage in costs.stages),
    }


def _place(job: Job, device: torch.device) -> tuple[Room, int | None]:
    """Where the items would be kept, and how much one takes there; None: they cannot be kept."""
    bytes_each = bytes_when_kept(job.config)
    if bytes_each is None:
        return "none", None
    return choose_room(len(job.catalogue), bytes_each, device, job.runtime.cache), bytes_each


def _sample(job: Job, room: Room, device: torch.device, progress: Progress) -> _Sample:
    """Half of the rows are labelled, half not, as a stage may train on one kind alone."""
    rows = _looked_at(job.catalogue)
    source = job.catalogue.items.subset(rows)
    progress.stage(f"Reading some of the {source.kind}", len(rows))
    began = time.perf_counter()
    items, skipped = read_items(
        source, job.config, decoding_workers(job), room, device, progress.follow
    )
    seconds = (time.perf_counter() - began) / len(rows)
    usable = np.delete(rows, [item.index for item in skipped])
    if not len(usable):
        hint = other_kind_in_words(map(str, job.catalogue.names[rows]), source.kind)
        raise InputError(
            f"none of {len(rows)} {source.kind} that were looked at can be used; the first: "
            f"{job.catalogue.names[rows[0]]}: {skipped[0].reason}{hint}"
        )
    [media] = items.batches([torch.arange(len(usable))], Draw(job.config.seed, 1))
    return _Sample(usable, media, skipped, seconds)


def _looked_at(catalogue: Catalogue) -> NDArray[np.int64]:
    """The rows of a sample of it."""
    parts = (catalogue.labelled, catalogue.unlabelled)
    return np.union1d(*(rows[spread(len(rows), SAMPLE // 2)] for rows in parts))


def _too_many_bad(job: Job, skipped: list[Skipped]) -> list[str]:
    """A warning if so many are unusable among those looked at that the run would stop."""
    found = spoilt(skipped, job.catalogue.names[_looked_at(job.catalogue)])
    if found.share <= job.runtime.max_bad:
        return []
    return [
        f"{found.share:.0%} cannot be used, the first as: {found.items[0].reason}; if that is so "
        f"of all, the run stops at more than --max-bad {job.runtime.max_bad:g}"
    ]


def _counts(job: Job) -> str:
    catalogue = job.catalogue
    missing = f"; {missing_in_words(catalogue)}" if catalogue.missing else ""
    return (
        f"{len(catalogue.labelled):,} labelled of {len(catalogue.class_names)} known classes, "
        f"{catalogue.held_out.sum():,} held out, {len(catalogue.unlabelled):,} unlabelled for "
        f"{job.num_novel} novel categories{missing}"
    )


def _kept(room: Room, bytes_each: int | None, n_items: int) -> str:
    if bytes_each is None:
        return "not kept: clips from anywhere are decoded anew each time (see --places)"
    size = _size(n_items * bytes_each)
    match room:
        case "none":
            return f"not kept, as they would take {size}: decoded anew each time"
        case "memory":
            return f"kept in memory, {size}"
        case "device":
            return f"kept on the device, {size}"


def _step(stage: Measured, is_one_of: int) -> str:
    by_less = f", by steps of {PROBE}" if stage.measured_on < stage.batch else ""
    of_which = f": {stage.title}, {stage.batch:,} items" if is_one_of > 1 else ""
    return f"{stage.seconds:.3g} s{by_less}{of_which}"


def _time(job: Job, measured: Sequence[Measured], read_seconds: float, *, is_kept: bool) -> str:
    """Of all stages and in all. Workers decode while the network computes."""
    catalogue, config, last = job.catalogue, job.config, measured[-1]
    decode_seconds = 0.0 if is_kept else read_seconds / clips_tried(config)
    both = max if decoding_workers(job) else operator.add
    training = sum(
        stage.count * both(stage.batch * decode_seconds, stage.seconds) for stage in measured
    )
    clips = config.clips if isinstance(config, VideoConfig) else 1
    view_seconds = last.seconds / last.batch / 6  # of two, forward and twice as long backward
    looks = 2 if clips > 1 and settles(config) else 1
    calibrating = rows_to_calibrate_on(catalogue.labels, catalogue.held_out)
    n_sorted = looks * len(catalogue.unlabelled) + len(calibrating)
    reading = len(catalogue) * read_seconds
    sorting = n_sorted * clips * (decode_seconds + view_seconds)
    return (
        f"about {duration(reading + training + sorting)} in all: reading {duration(reading)}, "
        f"training {duration(training)} ({sum(stage.count for stage in measured):,} steps), "
        f"sorting {duration(sorting)}"
    )


def _search_steps(job: Job) -> int:
    """Of the search for mu on known classes."""
    config = job.config
    labelled_per_epoch = max(1, len(job.catalogue.labelled) // config.batch)
    return len(candidates(config.window)) * config.heldout_epochs * labelled_per_epoch


def _too_little_memory(costs: _Costs) -> list[str]:
    """A warning if the largest step is known not to fit."""
    if costs.needed <= costs.free:
        return []
    return [
        f"this machine is too small: a step of {costs.largest.batch:,} items needs at least "
        f"{_size(costs.needed)}{_of_which_kept(costs.kept)}, and {_size(costs.free)} are free; "
        "give a smaller --batch, --px or --width, or take a larger machine"
    ]


def _of_which_kept(kept: int) -> str:
    return f" ({_size(kept)} of it for the kept items: --cache none does without)" if kept else ""


def _free_memory(device: torch.device) -> int:
    return free_on_gpu(device) if device.type == "cuda" else free_memory()


def _shapes(**parts: Tensor | None) -> str:
    """Of one item, without the axis of items."""
    return " and ".join(
        f"{name} {tuple(part.shape[1:])} {str(part.dtype).removeprefix('torch.')}"
        for name, part in parts.items()
        if part is not None
    )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:,.2f} GB" if n_bytes >= 1e7 else f"{n_bytes / 1e6:,.2f} MB"
