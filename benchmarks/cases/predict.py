"""Prediction against its physical limit: the bare network's forward pass in inference mode."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.cases.stages import kept
from benchmarks.clock import Budget, take_turns
from benchmarks.devices import devices
from benchmarks.results import CaseResult, Row, Size, speeds
from benchmarks.trainings import Precision, Setting, network_of, own_precision
from newfound.batch import Outputs, Seen
from newfound.config import Config
from newfound.machine.cores import compute_threads
from newfound.models.network import Network
from newfound.results.inference import ask
from newfound.training.look import Look

_BUDGETS: dict[Size, Budget] = {
    "tiny": Budget(0, 2),
    "default": Budget(8, 15),
    "full": Budget(90, 30),
}
_TOGETHER = 256
"""`ask`'s batch."""
_PASSES = 4


def run(size: Size) -> CaseResult:
    """The small presets on every device."""
    together = 8 if size == "tiny" else _TOGETHER
    rows = [
        measured(
            Setting(preset).of_size(size),
            own_precision(device, size),
            together,
            device,
            _BUDGETS[size],
        )
        for device in devices()
        for preset in ("small-images", "quick", "quick-videos")
    ]
    notes = [f"{_PASSES} passes of {together} items or clips that are kept decoded, each way"]
    return CaseResult(rows=rows, notes=notes)


def measured(
    setting: Setting, precision: Precision, together: int, device: torch.device, budget: Budget
) -> Row:
    """`ask` of items in memory beside as many passes over views that are there already."""
    config = setting.config(precision)
    clips = getattr(config, "clips", 1)
    with compute_threads(None, config.width, config.px):
        network = network_of(config, device)
        items = kept(config, device, _PASSES * together // clips, Path())
        rows = np.arange(_PASSES * together // clips)
        ours = partial(ask, network, items, rows, config=config, device=device, batch=together)
        look = Look(network, config, device)
        parts = torch.from_numpy(rows).split(together // clips)
        seen = [look.viewer.plain(media.to(device)) for media in items.batches(parts)]
        check(config, network, ours().features, seen[0], clips)
        taken = take_turns([ours, partial(bare_passes, look, seen)], device, budget)
    return speeds(
        setting.named(precision, device),
        setting.unit,
        _PASSES * together,
        taken[0],
        "bare forward",
        taken[1],
    )


@torch.inference_mode()
def bare_passes(look: Look, seen: list[Seen]) -> list[Outputs]:
    """The network's passes alone."""
    look.network.eval()
    with look.precision():
        return [look.network(of_batch) for of_batch in seen]


def check(config: Config, network: Network, features: np.ndarray, first: Seen, clips: int) -> None:
    """Raise AssertionError unless `ask` gives what the bare network does, over an item's clips."""
    look = Look(network, config, next(network.parameters()).device)
    (outputs,) = bare_passes(look, [first])
    expected = outputs.fused.float().cpu().unflatten(0, (-1, clips)).mean(dim=1)
    torch.testing.assert_close(torch.from_numpy(features[: len(expected)]), expected)
