"""What a run would be like: the data counted, three steps measured, time and memory estimated.

Nothing is written. The steps are taken on some of the real items, repeated to fill the batch, or
on a batch of `PROBE` items where a whole one is known not to fit into memory.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from newfound.batch import Batch, Media
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
from newfound.settling import may_settle
from newfound.stages import begin_labels_alone, ground_of, stages
from newfound.training.pseudo_labels import fixed_threshold
from newfound.training.train import Training
from newfound.views.viewer import Viewer

SAMPLE = 64
"""How many items are decoded."""

PROBE = 4
"""A batch that any machine can take; it tells what an item costs."""

STEPS = 3


def try_out(job: Job, progress: Progress) -> list[str]:
    """Lines that tell what the run would be like. Raises InputError as the run would."""
    warnings = check_feasible(job, job.catalogue, are_final=False)
    warnings += duplicates_in_words(job.catalogue)
    device = choose_device(job.runtime.device)
    job = replace(job, config=resolved(job.config, device))
    job.folder.check(identity_of(job), about(job, device))
    job = replace(job, catalogue=with_held_out(job, job.catalogue))
    room, bytes_each = _place(job, device)
    with (
        lack_of_memory_in_words(less_memory_in_words(job.config), room_on_gpu_in_words(job)),
        compute_threads(job.runtime.threads, job.config.width, job.config.px),
        float32_as_such(job.config.precision),
    ):
        rows, media, skipped, read_seconds = _sample(job, room, device, progress)
        steps = _Steps(job, rows, media, device)
        progress.stage("Measuring steps", 1)
        is_beside = room == ("memory" if device.type == "cpu" else "device")
        kept = len(job.catalogue) * (bytes_each or 0) * is_beside
        needed, free = kept + steps.memory_needed(), _free_memory(device)
        batch = steps.batch if needed <= free else PROBE
        step_seconds = steps.seconds(batch) * steps.batch / batch
        hardware = describe(device)
    items = _shapes(pixels=media.pixels, sound=media.sound)
    parameters = sum(parameter.numel() for parameter in steps.training.network.parameters())
    facts = {
        "data": _counts(job),
        "looked at": f"{len(rows) + len(skipped):,} items; {len(skipped)} of them cannot be used",
        "batch": f"{steps.batch:,} items, each {items}",
        "views": f"{2 * steps.batch:,}, each {steps.view_shapes()}",
        "network": f"{parameters:,} parameters, {job.config.precision}, {hardware}"
        + (f", starting from {job.weights.in_words}" if job.weights else ""),
        "decoded items": _kept(room, bytes_each, len(job.catalogue)),
        "peak memory": f"{_size(peak_memory(device))} while measuring a batch of {batch:,}",
        "a step": f"{step_seconds:.3g} s" + (f", by steps of {PROBE}" if needed > free else ""),
        "time": _time(job, steps, read_seconds, step_seconds, is_kept=room != "none"),
    }
    lines = [f"{name:<15}{text}" for name, text in facts.items()]
    lines += [f"warning: {text}" for text in warnings + _too_many_bad(job, skipped)]
    if needed > free:
        lines.append(
            f"warning: this machine is too small: a step of {steps.batch:,} items needs at "
            f"least {_size(needed)}{_of_which_kept(kept)}, and {_size(free)} are free; give a "
            "smaller --batch, --px or --width, or take a larger machine"
        )
    return lines


@contextmanager
def storages_kept() -> Iterator[dict[int, int]]:
    """Within, the bytes of each storage that autograd keeps for a backward pass, by its address."""
    bytes_at: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        bytes_at[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(count, lambda tensor: tensor):
        yield bytes_at


class _Steps:
    """Steps of the run's last stage, or of its only one, on the items of the sample.

    count: of all stages.  batch: the items of one of the last stage, which may be its own number.
    """

    def __init__(
        self, job: Job, rows: NDArray[np.int64], media: Media, device: torch.device
    ) -> None:
        config, catalogue = job.config, job.catalogue
        fixed = None if config.mu == "heldout" else fixed_threshold(config)
        ground = ground_of(job, catalogue, fixed, device)
        before: Training | None = None
        self.count = begin_labels_alone(ground).total_steps if job.compare_labelled_only else 0
        for plan in stages(config):
            before = plan.begin(ground, before)
            self.count += before.total_steps
        assert before is not None, "every method has a stage"
        self.training = before
        self.batch = before.config.batch
        self.training.network.train()
        self.training.objective.train()
        of_stage = np.flatnonzero(np.isin(rows, self.training.trainable))
        if not len(of_stage):
            raise InputError(
                f"none of the {catalogue.items.kind} that were looked at and can be used is one "
                f"that the last stage of {config.method} trains on, the unlabelled ones; see what "
                "is wrong with these"
            )
        self.rows = torch.from_numpy(rows[of_stage])
        self.media, self.device = media.select(torch.from_numpy(of_stage)), device

    def memory_needed(self) -> int:
        """The least that a whole batch needs: what is kept of it for the backward pass."""
        half, whole = self._saved_bytes(PROBE // 2), self._saved_bytes(PROBE)
        return whole + (self.batch - PROBE) * (whole - half) // (PROBE // 2)

    def seconds(self, size: int) -> float:
        """Mean time of a step on a batch of this size, after one to warm up."""
        batch = self._batch(size)
        self._take_step(batch)
        began = time.perf_counter()
        for _ in range(STEPS):
            self._take_step(batch)
        return (time.perf_counter() - began) / STEPS

    def view_shapes(self) -> str:
        """Of the view of one item."""
        seen = Viewer(self.training.config, self.device).plain(self._batch(1).media)
        return _shapes(pixels=seen.pixels, spectrogram=seen.spectrogram)

    def _saved_bytes(self, size: int) -> int:
        with storages_kept() as bytes_at:
            self._take_step(self._batch(size))
        return sum(bytes_at.values())

    def _take_step(self, batch: Batch) -> None:
        self.training.take_step(batch)
        float(self.training.last_total)  # waits for the device

    def _batch(self, size: int) -> Batch:
        """The first items; all of them again and again if they are fewer."""
        at = torch.arange(size) % len(self.rows)
        index = self.rows[at].to(self.device)
        return Batch(self.media.select(at).to(self.device), self.training.labels[index], index)


def _place(job: Job, device: torch.device) -> tuple[Room, int | None]:
    """Where the items would be kept, and how much one takes there; None: they cannot be kept."""
    bytes_each = bytes_when_kept(job.config)
    if bytes_each is None:
        return "none", None
    return choose_room(len(job.catalogue), bytes_each, device, job.runtime.cache), bytes_each


def _sample(
    job: Job, room: Room, device: torch.device, progress: Progress
) -> tuple[NDArray[np.int64], Media, list[Skipped], float]:
    """Catalogue rows, what they hold, those that cannot be used, seconds for each.

    Half of the rows are labelled, half not, as a stage may train on one kind alone.

    The time is that of reading an item as the run reads it before training.
    """
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
    return usable, media, skipped, seconds


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


def _time(
    job: Job, steps: _Steps, read_seconds: float, step_seconds: float, *, is_kept: bool
) -> str:
    """Of each stage and in all. Workers decode while the network computes."""
    catalogue, config = job.catalogue, job.config
    decode_seconds = 0.0 if is_kept else read_seconds / clips_tried(config)
    both = (steps.batch * decode_seconds, step_seconds)
    count = steps.count + _search_steps(job)
    clips = config.clips if isinstance(config, VideoConfig) else 1
    view_seconds = step_seconds / steps.batch / 6  # of two, forward and twice as long backward
    looks = 2 if may_settle(config, len(catalogue.unlabelled)) else 1
    calibrating = rows_to_calibrate_on(catalogue.labels, catalogue.held_out)
    n_sorted = looks * len(catalogue.unlabelled) + len(calibrating)
    reading = len(catalogue) * read_seconds
    training = count * (max(both) if decoding_workers(job) else sum(both))
    sorting = n_sorted * clips * (decode_seconds + view_seconds)
    return (
        f"about {duration(reading + training + sorting)} in all: reading {duration(reading)}, "
        f"training {duration(training)} ({count:,} steps), sorting {duration(sorting)}"
    )


def _search_steps(job: Job) -> int:
    """Of the search for mu on known classes, if there is one."""
    config = job.config
    if config.mu != "heldout":
        return 0
    labelled_per_epoch = max(1, len(job.catalogue.labelled) // config.batch)
    return len(candidates(config.window)) * config.heldout_epochs * labelled_per_epoch


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
