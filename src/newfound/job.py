"""What a run is to do, and what follows from it before anything is read."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from newfound.config import Config, Runtime
from newfound.data.catalogue import Catalogue, Truth, hold_out
from newfound.data.images import ArrayImages
from newfound.disk.run_folder import RunFolder
from newfound.machine.cores import choose_workers
from newfound.machine.device import describe, uses_bfloat16
from newfound.machine.distributed import agreed
from newfound.models.weights import Weights
from newfound.version import source_commit


@dataclass(frozen=True)
class Job:
    """What is to be done, and where. Nothing in it changes during the run.

    weights: what the network starts from, None = random values.
    """

    folder: RunFolder
    catalogue: Catalogue
    truth: Truth | None
    num_novel: int
    config: Config
    runtime: Runtime
    compare_labelled_only: bool
    weights: Weights | None = None


def decoding_workers(job: Job) -> int:
    """How many processes decode, 0 = this one."""
    if isinstance(job.catalogue.items, ArrayImages):
        return 0  # handing arrays to processes costs more than resizing them here
    return choose_workers(job.runtime.workers)


def with_held_out(job: Job, catalogue: Catalogue) -> Catalogue:
    """The catalogue with the share of labelled items held out that the settings ask for."""
    return hold_out(catalogue, job.config.held_out, job.config.seed)


def less_memory_in_words(config: Config) -> str:
    """What takes less of it than these settings."""
    return (
        f"give a smaller --batch than {config.batch}, --px than {config.px} or --width than "
        f"{config.width}; that is a new run, with another --out"
    )


def room_on_gpu_in_words(job: Job) -> str:
    """What makes room there and lets the run go on, "" for nothing."""
    if job.runtime.cache not in ("auto", "device"):
        return ""
    return f"if {job.catalogue.items.kind} are kept on the GPU, give --cache memory to go on; or "


def resolved(job: Job, device: torch.device) -> Job:
    """The job with the precision `auto` replaced: by that of the work that is there already, as a
    run goes on as it began on another machine, too; else by what this device is fast in.
    """
    # Asked by every process, as one with another command would leave the others waiting.
    begun = agreed(job.folder.precision_of_work)
    fitting = "bfloat16" if uses_bfloat16(job.config.precision, device) else "float32"
    precision = begun if begun and job.config.precision == "auto" else fitting
    return replace(job, config=job.config.model_copy(update={"precision": precision}))


def missing_in_words(catalogue: Catalogue) -> str:
    """How many items of a published data set have no file."""
    listed = len(catalogue) + catalogue.missing
    return f"{catalogue.missing:,} of {listed:,} listed {catalogue.items.kind} have no file"


def identity_of(job: Job) -> dict[str, Any]:
    """What must be equal for a run to be continued. Truth is no part of it."""
    return {
        "config": job.config.model_dump(mode="json"),
        "known": list(job.catalogue.class_names),
        "num_novel": job.num_novel,
        "data_fingerprint": job.catalogue.fingerprint(),
        "weights_fingerprint": job.weights.fingerprint if job.weights else None,
    }


def about(job: Job, device: torch.device) -> dict[str, Any]:
    """What else `config.json` tells of the run."""
    return {
        "data": {
            "source": job.catalogue.source,
            "items": len(job.catalogue),
            "unlabelled": len(job.catalogue.unlabelled),
        },
        "weights": str(job.weights.source) if job.weights else None,
        "hardware": describe(device),
        "commit": source_commit(),
    }
