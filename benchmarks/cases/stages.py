"""How a training step's time divides into its stages, decoding included."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.clip_files import digit_files
from benchmarks.clock import Budget
from benchmarks.devices import devices
from benchmarks.results import CaseResult, Row, Size, Spread
from benchmarks.stage_clock import STAGES, StageClock
from benchmarks.trainings import Precision, Setting, begin, noise, own_precision
from newfound.batch import Batch
from newfound.config import Config, VideoConfig
from newfound.data.clip_loader import KeptClips, kept_places
from newfound.data.clips import ClipFiles
from newfound.data.image_loader import KeptImages
from newfound.data.images import FileImages
from newfound.data.items import Draw, Items
from newfound.data.reading import read_items
from newfound.machine.cores import choose_workers, compute_threads
from newfound.training.train import Training

_BUDGETS: dict[Size, Budget] = {
    "tiny": Budget(0, 2),
    "default": Budget(15, 15),
    "full": Budget(120, 30),
}
_WARM_STEPS = 3
_PHOTOGRAPH = (500, 375)


@dataclass(frozen=True)
class Supply:
    """Where items come from. make: to it, given a folder of its own, as many items as there are."""

    name: str
    make: Callable[[Config, torch.device, int, Path], Items]


def run(size: Size) -> CaseResult:
    """Kept items of the small presets, and items that are decoded anew at each step."""
    rows: list[Row] = []
    for device in devices():
        for preset, supply in (
            ("small-images", KEPT),
            ("quick", KEPT),
            ("quick", JPEG),
            ("quick-videos", KEPT),
            ("quick-videos", MP4),
        ):
            precision = own_precision(device, size)
            setting = Setting(preset).of_size(size)
            rows += measured(setting, precision, supply, device, _BUDGETS[size])
    notes = [
        f"kept: decoded before, in memory; JPEG: {_PHOTOGRAPH[0]} x {_PHOTOGRAPH[1]} pixels; mp4: "
        "128 x 128 with sound; both are decoded by workers, and `decode` is what is waited for",
        "on CUDA the stages are kept apart by waiting for the device, which a run does not do",
    ]
    return CaseResult(rows=rows, notes=notes)


def measured(
    setting: Setting, precision: Precision, supply: Supply, device: torch.device, budget: Budget
) -> list[Row]:
    """A row for the whole step, and one for each stage's share of it."""
    config = setting.config(precision)
    if isinstance(config, VideoConfig) and supply is not KEPT:
        config = config.model_copy(update={"places": None})
    with (
        tempfile.TemporaryDirectory() as folder,
        compute_threads(None, config.width, config.px),
    ):
        training = begin(config, device)
        items = supply.make(config, device, len(training.labels), Path(folder))
        steps = list(timed_steps(training, items, budget))
    name = f"{setting.named(precision, device)}, {supply.name}"
    of_step = Spread.of([config.batch / sum(step.values()) for step in steps])
    return [
        Row(what=f"{name}: step", unit=setting.unit, ours=of_step),
        *(
            Row(
                what=f"{name}: {stage}",
                unit="%",
                ours=Spread.of([100 * step[stage] / sum(step.values()) for step in steps]),
            )
            for stage in STAGES
        ),
    ]


def timed_steps(training: Training, items: Items, budget: Budget) -> Iterator[dict[str, float]]:
    """The seconds of each stage in each step, as `newfound.training.train.train` takes them."""
    device, config = training.device, training.config
    clock = StageClock(device)
    asked = _WARM_STEPS + budget.turns
    random = np.random.default_rng(0)
    rows = [
        torch.from_numpy(random.permutation(len(training.labels))[: config.batch])
        for _ in range(asked)
    ]
    before: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    with clock.watching(training):
        arriving = items.batches(rows, Draw(config.seed, 1))
        until = time.monotonic() + budget.seconds
        for number, batch_rows in enumerate(rows):
            with clock.within("decode"):
                decoded = next(arriving)
            with clock.within("transfer"):
                index = batch_rows.to(device, non_blocking=True)
                batch = Batch(decoded.to(device, non_blocking=True), training.labels[index], index)
            training.take_step(batch)
            now = {stage: clock.seconds[stage] for stage in STAGES}
            measured_steps = number + 1 - _WARM_STEPS
            if measured_steps > 0:
                yield {stage: now[stage] - before[stage] for stage in STAGES}
            if measured_steps >= 3 and time.monotonic() > until:
                return
            before = now


def kept(config: Config, device: torch.device, count: int, _: Path) -> Items:
    """Noise in memory, or on the device where that is not the CPU, as a run keeps small sets."""
    if not isinstance(config, VideoConfig):
        pixels = noise(config, count).pixels
        assert pixels is not None
        return KeptImages(pixels.to(device))
    return KeptClips(noise(config, count * len(kept_places(config))).to(device), config)


def from_jpeg(config: Config, device: torch.device, count: int, folder: Path) -> Items:
    """Files of the size of photographs, clouds of colour, decoded anew for every batch."""
    random = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        clouds = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        clouds.resize(_PHOTOGRAPH, Image.Resampling.BICUBIC).save(path, quality=90)
    return read_items(FileImages(paths), config, choose_workers(None), "none", device)[0]


def from_mp4(config: Config, device: torch.device, count: int, folder: Path) -> Items:
    """Digits that move and are heard; clips from anywhere, decoded anew for every batch."""
    files = ClipFiles(digit_files(folder, count))
    return read_items(files, config, choose_workers(None), "none", device)[0]


KEPT, JPEG, MP4 = Supply("kept", kept), Supply("JPEG", from_jpeg), Supply("mp4", from_mp4)
