"""What a run is to do, and what follows from it before anything is read."""

from dataclasses import dataclass

import torch

from newfound.config import Config, Runtime
from newfound.cores import choose_workers
from newfound.data.catalogue import Catalogue, Truth, hold_out
from newfound.data.images import ArrayImages
from newfound.device import uses_bfloat16
from newfound.run_folder import RunFolder


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


def decoding_workers(job: Job) -> int:
    """How many processes decode, 0 = this one."""
    if isinstance(job.catalogue.items, ArrayImages):
        return 0  # handing arrays to processes costs more than resizing them here
    return choose_workers(job.runtime.workers)


def with_held_out(job: Job, catalogue: Catalogue) -> Catalogue:
    """The catalogue with the share of labelled items held out that the settings ask for."""
    return hold_out(catalogue, job.config.held_out, job.config.seed)


def with_less_memory(job: Job, device: torch.device) -> str:
    """What takes less of it than this job."""
    config = job.config
    smaller = (
        f"give a smaller --batch than {config.batch}, --px than {config.px} or --width than "
        f"{config.width}; that is a new run, with another --out"
    )
    if device.type == "cpu" or job.runtime.cache not in ("auto", "device"):
        return smaller
    kind = job.catalogue.items.kind
    return f"give --cache memory, so that no {kind} are kept there, to go on; or {smaller}"


def resolved(config: Config, device: torch.device) -> Config:
    """The settings with `auto` replaced, so that a run goes on as it began, and elsewhere too."""
    precision = "bfloat16" if uses_bfloat16(config.precision, device) else "float32"
    return config.model_copy(update={"precision": precision})


def missing_in_words(catalogue: Catalogue) -> str:
    """How many items of a published data set have no file."""
    listed = len(catalogue) + catalogue.missing
    return f"{catalogue.missing:,} of {listed:,} listed {catalogue.items.kind} have no file"
