"""What a step of each stage of a run costs, in time and memory, by steps on some of its items."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from newfound.batch import Batch, Media
from newfound.errors import InputError
from newfound.ground import ground_of
from newfound.job import Job
from newfound.stages import begin_labels_alone, stages
from newfound.training.pseudo_labels import fixed_threshold
from newfound.training.train import Training

PROBE = 4
"""A batch that any machine can take; it tells what an item costs."""

STEPS = 3


@dataclass(frozen=True)
class Measured:
    """A stage of the run. count: its steps.  batch: items of one.  memory: bytes that one needs at
    least.  measured_on: items of those that were measured.  seconds: of a whole one.
    """

    title: str
    count: int
    batch: int
    memory: int
    measured_on: int
    seconds: float


def begun(job: Job, device: torch.device) -> Iterator[tuple[str, Training]]:
    """Each stage of a run with its title, begun when it is asked for; without any, labels alone."""
    fixed = None if job.config.mu == "heldout" else fixed_threshold(job.config)
    ground = ground_of(job, job.catalogue, fixed, device)
    if job.compare_labelled_only or not stages(job.config):
        yield "Training on labels alone", begin_labels_alone(ground)
    before: Training | None = None
    for stage in stages(job.config):
        before = stage.begin(ground, before)
        yield stage.title, before


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


class Steps:
    """Steps of a training on some items.

    rows: of the catalogue.  media: what they hold.  kind: what they are called, as "images".
    Raises InputError where none of them is one that it trains on.
    """

    def __init__(
        self, training: Training, rows: NDArray[np.int64], media: Media, kind: str
    ) -> None:
        self.training, self.batch = training, training.config.batch
        self.device = training.device
        training.network.train()
        training.objective.train()
        of_stage = np.flatnonzero(np.isin(rows, training.trainable))
        if not len(of_stage):
            raise InputError(
                f"none of the {kind} that were looked at and can be used is one that a stage of "
                f"{training.config.method} trains on, the labelled or the unlabelled ones alone; "
                "see what is wrong with these"
            )
        self.rows = torch.from_numpy(rows[of_stage])
        self.media = media.select(torch.from_numpy(of_stage))

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


def step_cost(title: str, steps: Steps, free: int) -> Measured:
    """What a stage costs. free: bytes that a step may take; where a whole one is known to take
    more, steps of `PROBE` items are measured.
    """
    memory = steps.memory_needed()
    measured_on = steps.batch if memory <= free else PROBE
    seconds = steps.seconds(measured_on) * steps.batch / measured_on
    return Measured(title, steps.training.total_steps, steps.batch, memory, measured_on, seconds)
