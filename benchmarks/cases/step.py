"""Our training step against its physical limit: the bare network's forward and backward.

Both see the same batch in the same process, in turns. Ours adds views, pairs, all losses, logging
sums and SGD to what the bare pass does.
"""

from dataclasses import dataclass
from functools import partial

import torch

from benchmarks import textbook
from benchmarks.clock import Budget, Work, take_turns
from benchmarks.devices import devices
from benchmarks.results import CaseResult, Row, Size, Spread, speeds
from benchmarks.trainings import (
    Modalities,
    Precision,
    Setting,
    batch_of_noise,
    begin,
    objective_of,
    own_precision,
)
from newfound.batch import Outputs, Seen
from newfound.config import VideoConfig
from newfound.machine.cores import compute_threads
from newfound.machine.memory import begin_peak_memory, peak_memory
from newfound.models.network import Network
from newfound.training.train import Training

_BUDGETS: dict[Size, Budget] = {
    "tiny": Budget(0, 2),
    "default": Budget(30, 15),
    "full": Budget(180, 15),
}
_MODALITIES: tuple[Modalities, ...] = ("both", "visual", "audio")


@dataclass(frozen=True)
class Contender:
    """A training, a batch for it, and the views of that batch that the bare network sees."""

    training: Training
    bare: Work
    step: Work


def settings(size: Size, device: torch.device) -> list[Setting]:
    """What a run of the device would train: on a CPU the small presets, unless all is wanted."""
    chosen = [Setting("small-images"), Setting("quick")]
    chosen += [Setting("quick-videos", modalities) for modalities in _MODALITIES]
    if size == "full" or (size == "default" and device.type == "cuda"):
        images, clips = (256, 32) if device.type == "cuda" else (16, 4)
        chosen.append(Setting("images", batch=images))
        chosen += [Setting("videos", modalities, clips) for modalities in _MODALITIES]
    return [setting.of_size(size) for setting in chosen]


def run(size: Size) -> CaseResult:
    """Every setting on every device, ResNet-18 in full also in float32."""
    rows: list[Row] = []
    for device in devices():
        for setting in settings(size, device):
            precisions = [own_precision(device, size)]
            if setting.preset == "small-images" and precisions == ["bfloat16"]:
                precisions.append("float32")
            rows += measured(setting, precisions, device, _BUDGETS[size])
    notes = ["a step of the preset quick-videos computes with one thread, in CPU time"]
    return CaseResult(rows=rows, notes=notes)


def measured(
    setting: Setting, precisions: list[Precision], device: torch.device, budget: Budget
) -> list[Row]:
    """A row for each precision, and one that compares them."""
    config = setting.config(precisions[0])
    with compute_threads(None, config.width, config.px):
        contenders = [contender(setting, precision, device) for precision in precisions]
        works = [work for each in contenders for work in (each.step, each.bare)]
        taken = take_turns(works, device, budget)
        ours, bare = taken[::2], taken[1::2]
        rows = [
            speeds(
                setting.named(precision, device),
                setting.unit,
                config.batch,
                ours[number],
                "bare forward + backward",
                bare[number],
            )
            for number, precision in enumerate(precisions)
        ]
        if device.type == "cuda":
            rows = [with_peak(row, each, device) for row, each in zip(rows, contenders)]
    if len(precisions) == 2:
        what = f"{setting.preset}, {' against '.join(precisions)}, {device.type}"
        against = f"our step in {precisions[1]}"
        rows.append(speeds(what, setting.unit, config.batch, ours[0], against, ours[1]))
    return rows


def contender(setting: Setting, precision: Precision, device: torch.device) -> Contender:
    """Ready to be timed, and its step checked."""
    training = begin(setting.config(precision), device)
    check(training)
    batch = batch_of_noise(training)
    look = objective_of(training).look
    seen = look.viewer.two(batch.media, torch.Generator(device).manual_seed(0))
    return Contender(
        training,
        bare=partial(bare_pass, training.network, seen, device, look.bfloat16),
        step=partial(training.take_step, batch),
    )


def bare_pass(network: Network, seen: Seen, device: torch.device, bfloat16: bool) -> None:
    """Forward and backward of everything in the network, from the cheapest of losses."""
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        outputs: Outputs = network(seen)
    every = [*outputs.contrast.values(), outputs.known, outputs.novel]
    torch.stack([output.sum() for output in every]).sum().backward()
    network.zero_grad(set_to_none=True)


def check(training: Training) -> None:
    """Raise AssertionError unless a step minimises the textbook's NCE of what the network gives.

    And unless it changes every weight that has a gradient.
    """
    batch, objective = batch_of_noise(training), objective_of(training)
    config = training.config
    losses = objective.losses(batch, torch.Generator(training.device).manual_seed(0), 1)
    outputs = objective.look.two(batch.media, torch.Generator(training.device).manual_seed(0))
    of_modality = list(outputs.contrast.values())
    across = isinstance(config, VideoConfig) and config.instance_pairs == "cross"
    expected = textbook.nce(
        of_modality[0], of_modality[-1], batch.label.repeat(2), config.temperature, across
    )
    ours = losses["nce_instance"], losses["nce_category"]
    torch.testing.assert_close(ours, expected, rtol=0.01, atol=0.01)  # two passes in bfloat16
    before = [weight.detach().clone() for weight in training.network.parameters()]
    training.take_step(batch)
    for old, new in zip(before, training.network.parameters()):
        assert not torch.equal(old, new), "a step changes every weight"


def with_peak(row: Row, each: Contender, device: torch.device) -> Row:
    """With the device memory that torch handed out at most in a step, and in a bare pass."""
    peaks = []
    for work in (each.step, each.bare):
        begin_peak_memory(device)
        work()
        peaks.append(Spread.of([peak_memory(device) / 1e6]))
    return row.model_copy(update={"peak_mb": peaks[0], "their_peak_mb": peaks[1]})
