"""Our training step against its physical limit: the bare network's forward and backward.

Both see the same batch in the same process, in turns, so that whatever else the machine does hits
both. Ours adds views, WTA pairs, all losses, logging sums and SGD to what the bare pass does.

    python benchmarks/step.py --out bench.json
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
from newfound.config import make_config
from newfound.device import choose_device, describe
from newfound.models.network import Network, make_network
from newfound.process import keep_freed_memory
from newfound.train import Training


def bare_pass(network: Network, seen: Seen, device: torch.device, bfloat16: bool) -> None:
    """Forward and backward of everything in the network, from the cheapest of losses."""
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        outputs: Outputs = network(seen)
    (outputs.contrast["visual"].sum() + outputs.known.sum() + outputs.novel.sum()).backward()
    network.zero_grad(set_to_none=True)


def seconds(work: Callable[[], None], device: torch.device) -> float:
    """Wall time of one call, the device's work included."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def main() -> None:
    """Measure, print one line, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()

    keep_freed_memory()  # as the newfound command does
    device = choose_device(arguments.device)
    config = make_config("small-images", batch=arguments.batch)
    random = np.random.default_rng(0)
    items = 4 * config.batch
    labels = np.where(np.arange(items) % 2, -1, random.integers(0, 5, items))
    network = make_network(config, 5, 5)
    training = Training(network, config, labels, np.arange(items), config.mu_count(), device)
    index = torch.arange(config.batch, device=device)
    shape = (config.batch, config.channels, config.px, config.px)
    pixels = torch.from_numpy(random.integers(0, 256, shape, dtype=np.uint8)).to(device)
    batch = Batch(Media(pixels), training.labels[index], index)
    seen = training.viewer.two(batch.media, torch.Generator(device).manual_seed(0))

    ours, bare = [], []
    network.train()
    for turn in range(arguments.rounds + 3):
        bare_took = seconds(lambda: bare_pass(network, seen, device, training.bfloat16), device)
        ours_took = seconds(lambda: training.take_step(batch), device)
        if turn >= 3:  # the first ones warm caches and allocators
            bare.append(bare_took)
            ours.append(ours_took)

    figures = {
        "step_seconds": statistics.median(ours),
        "bare_seconds": statistics.median(bare),
        "step_images_per_second": config.batch / statistics.median(ours),
        "bare_images_per_second": config.batch / statistics.median(bare),
        "ratio": statistics.median(b / o for b, o in zip(bare, ours)),
        "ratio_quartiles": statistics.quantiles((b / o for b, o in zip(bare, ours)), n=4),
        "rounds": arguments.rounds,
        "batch": config.batch,
        "px": config.px,
        "width": config.width,
        "bfloat16": training.bfloat16,
        "hardware": describe(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(
        f"our step {figures['step_images_per_second']:.0f} images/s, bare forward and backward "
        f"{figures['bare_images_per_second']:.0f}: ratio {figures['ratio']:.3f} "
        f"({config.px} px, width {config.width}, batch {config.batch}, {figures['hardware']})"
    )


if __name__ == "__main__":
    main()
