"""Our training step against its physical limit: the bare network's forward and backward.

Both see the same batch in the same process, in turns, so that whatever else the machine does hits
both. Ours adds views, WTA pairs, all losses, logging sums and SGD to what the bare pass does; the
views are timed by themselves, too. Pixels and sound are noise, of the shapes a run decodes.

    python benchmarks/step.py --out bench.json
    python benchmarks/step.py --preset videos --batch 4 --out bench-videos.json
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from newfound.batch import Batch, Media, Outputs, Seen
from newfound.config import PRESETS, Config, VideoConfig, kind_of, make_config
from newfound.data.clip_loader import clip_shape
from newfound.data.sound import SAMPLE_RATE
from newfound.device import choose_device, compute_threads, describe
from newfound.look import Look
from newfound.models.network import Network, make_network
from newfound.process import keep_freed_memory
from newfound.pseudo_labels import fixed_threshold
from newfound.stages import Ground, begin_ours


def settings(preset: str, batch: int | None, modalities: str | None) -> Config:
    """A preset's, with another batch; a single modality is contrasted within itself."""
    if modalities in (None, "both"):
        return make_config(preset, batch=batch)
    pairing = {"instance_pairs": "within", "category_pairs": "within"}
    return make_config(preset, batch=batch, modalities=modalities, **pairing)


def noise(config: Config, device: torch.device) -> Media:
    """A batch as it comes from decoding."""
    random = np.random.default_rng(0)
    if not isinstance(config, VideoConfig):
        shape = (config.batch, config.channels, config.px, config.px)
        return Media(torch.from_numpy(random.integers(0, 256, shape, dtype=np.uint8))).to(device)
    clip = clip_shape(config)
    pixels = sound = heard = None
    if clip.modalities != "audio":
        frames = (config.batch, 3, clip.frames, clip.side, clip.side)
        pixels = torch.from_numpy(random.integers(0, 256, frames, dtype=np.uint8))
    if clip.modalities != "visual":
        samples = (config.batch, round(clip.heard_seconds * SAMPLE_RATE))
        sound = torch.from_numpy(random.integers(-(2**15), 2**15, samples, dtype=np.int16))
        heard = torch.ones(config.batch, dtype=torch.bool)
    return Media(pixels, sound, heard).to(device)


def bare_pass(network: Network, seen: Seen, device: torch.device, bfloat16: bool) -> None:
    """Forward and backward of everything in the network, from the cheapest of losses."""
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        outputs: Outputs = network(seen)
    every = [*outputs.contrast.values(), outputs.known, outputs.novel]
    torch.stack([output.sum() for output in every]).sum().backward()
    network.zero_grad(set_to_none=True)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time of one call, the device's work included.

    Of one thread of a CPU it is the CPU's time: what else the machine does counts little then.
    """
    one_thread = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if one_thread else time.perf_counter
    began = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began


def measured(config: Config, device: torch.device, rounds: int) -> dict[str, object]:
    """The figures, of `rounds` turns after three to warm caches and allocators."""
    random = np.random.default_rng(0)
    items = 4 * config.batch
    labels = np.where(np.arange(items) % 2, -1, random.integers(0, 5, items))
    network = make_network(config, 5, 5)
    training = begin_ours(
        Ground(network, config, labels, np.arange(items), fixed_threshold(config), device)
    )
    look = Look(network, config, device)
    index = torch.arange(config.batch, device=device)
    batch = Batch(noise(config, device), training.labels[index], index)
    generator = torch.Generator(device).manual_seed(0)
    seen = look.viewer.two(batch.media, generator)

    works: list[Callable[[], object]] = [
        lambda: bare_pass(network, seen, device, look.bfloat16),
        lambda: training.take_step(batch),
        lambda: look.viewer.two(batch.media, generator),
    ]
    network.train()
    turns = [[seconds(work, device) for work in works] for _ in range(rounds + 3)][3:]
    bare, ours, views = map(statistics.median, zip(*turns))
    ratios = [turn[0] / turn[1] for turn in turns]
    return {
        "preset": config.preset,
        "modalities": config.modalities if isinstance(config, VideoConfig) else "visual",
        "step_seconds": ours,
        "bare_seconds": bare,
        "views_seconds": views,
        "step_items_per_second": config.batch / ours,
        "bare_items_per_second": config.batch / bare,
        "ratio": statistics.median(ratios),
        "ratio_quartiles": statistics.quantiles(ratios, n=4),
        "rounds": rounds,
        "batch": config.batch,
        "px": config.px,
        "width": config.width,
        "bfloat16": look.bfloat16,
        "hardware": describe(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    """Measure, print one line, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    parser.add_argument("--preset", choices=PRESETS, default="small-images")
    parser.add_argument("--modalities", choices=["both", "visual", "audio"], help="of videos")
    parser.add_argument("--batch", type=int, help="items; unset = the preset's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="unset = as a run chooses")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()

    keep_freed_memory()  # as the newfound command does
    device = choose_device(arguments.device)
    config = settings(arguments.preset, arguments.batch, arguments.modalities)
    with compute_threads(arguments.threads, config.width, config.px):
        figures = measured(config, device, arguments.rounds)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    items = "clips" if kind_of(config.preset) == "videos" else "images"
    print(
        f"our step {figures['step_items_per_second']:.1f} {items}/s, bare forward and backward "
        f"{figures['bare_items_per_second']:.1f}: ratio {figures['ratio']:.3f} "
        f"({config.preset}, {figures['modalities']}, {config.px} px, width {config.width}, "
        f"batch {config.batch}, {figures['hardware']})"
    )


if __name__ == "__main__":
    main()
