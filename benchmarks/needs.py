"""What the paper's large rows need: operations counted, the rest computed from them.

    python -m benchmarks.needs --teraflops 70

Operations of the network's forward and backward pass are counted by torch for a few items on the
CPU; memory of its activations is what autograd keeps of more items for each of them. Hours are
operations over `--teraflops`, what a device is expected to reach in training, in bfloat16: an
assumption, to be replaced by a measured step (`make bench`) where there is one.
"""

import argparse
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.trainings import noise
from newfound.batch import Seen
from newfound.config import Config, VideoConfig
from newfound.models.network import Network, make_network
from newfound.objective.contrastive import ANCHORS_AT_ONCE
from newfound.settings import make_config
from newfound.step_costs import storages_kept
from newfound.views.viewer import Viewer

VIEWS = 2
BYTES_FLOAT32 = 4


@dataclass(frozen=True)
class Problem:
    """A row of the paper: its preset, how many items it trains on, its classes."""

    name: str
    preset: str
    items: int
    known: int
    novel: int


PROBLEMS = (
    # Training images of ILSVRC-2012 by class: 1,281,167 / 1,000.
    Problem("ImageNet 882/30", "images", round(1_281_167 / 1000 * 912), 882, 30),
    # Training videos of Kinetics-400 as published: 246,534 in 400 classes.
    Problem("Kinetics-400 350/50", "videos", 246_534, 350, 50),
)


@dataclass(frozen=True)
class Needs:
    """Of an item of a batch, both its views: operations, and bytes that autograd keeps for it.

    parameters: of the network.  exchanged: floats that an item adds to what processes gather.
    """

    operations: int
    activation_bytes: int
    parameters: int
    exchanged: int


def needs(config: Config, known: int, novel: int, items: int = 2) -> Needs:
    """Counted for `items` items on the CPU, under the autocast of training.

    Memory is what twice as many keep more: copies of weights in bfloat16 do not grow with a batch.
    """
    network = make_network(config, known, novel).channels_last().train()
    seen, twice = _views(config, items), _views(config, 2 * items)
    counter = FlopCounterMode(display=False)
    with counter:
        kept, exchanged = _pass(network, seen)
    kept_of_twice, _ = _pass(network, twice)
    return Needs(
        operations=counter.get_total_flops() // items,
        activation_bytes=(kept_of_twice - kept) // items,
        parameters=_parameters(network),
        exchanged=exchanged,
    )


def _views(config: Config, items: int) -> Seen:
    viewer = Viewer(config, torch.device("cpu"))
    return viewer.two(noise(config, items), torch.Generator().manual_seed(0))


def _pass(network: Network, seen: Seen) -> tuple[int, int]:
    """Forward and backward of some items' views.

    Returns the bytes that autograd keeps, and the floats of an item that processes gather.
    """
    with storages_kept() as bytes_at:
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(seen)
        parts = [outputs.fused, *outputs.contrast.values(), outputs.known, outputs.novel]
        torch.stack([part.float().sum() for part in parts]).sum().backward()
    return sum(bytes_at.values()), VIEWS * sum(part.shape[1] for part in parts)


def _parameters(network: Network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def gathered_bytes(batch: int, processes: int, of_item: int) -> int:
    """What each process receives of the others' outputs at a step."""
    return BYTES_FLOAT32 * of_item * batch * (processes - 1) // processes


def gradient_bytes(parameters: int, processes: int) -> int:
    """What each process sends and receives for the mean gradient, by a ring."""
    return 2 * BYTES_FLOAT32 * parameters * (processes - 1) // processes


def objective_bytes(batch: int, modality_pairs: int) -> int:
    """Matrices at once: NCE's logits, mask and gradient of each pair of modalities, and pairs.

    NCE's are M x M, or of one block of anchors where there are too many for one.
    """
    rows = VIEWS * batch
    anchors = modality_pairs * rows if rows <= ANCHORS_AT_ONCE else ANCHORS_AT_ONCE
    return anchors * rows * (2 * BYTES_FLOAT32 + 2) + 3 * BYTES_FLOAT32 * batch**2


def modality_pairs(config: Config) -> int:
    """How many pairs of modalities NCE-I and NCE-C compare, as `contrastive_losses` does."""
    if not isinstance(config, VideoConfig) or config.modalities != "both":
        return 1
    each = {"off": 0, "cross": 1, "within": 2}
    return sum(each[pairs] for pairs in {config.instance_pairs, config.category_pairs})


def main() -> None:
    """Print a table in Markdown for each problem."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--teraflops", type=float, default=70.0, help="reached by a device")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 8, 32, 64])
    arguments = parser.parse_args()
    for problem in PROBLEMS:
        config = make_config(problem.preset)
        found = needs(config, problem.known, problem.novel)
        for line in _table(problem, config, found, arguments.teraflops, arguments.processes):
            print(line)


def _table(
    problem: Problem, config: Config, found: Needs, teraflops: float, processes: list[int]
) -> list[str]:
    pairs = modality_pairs(config)
    lines = [
        f"**{problem.name}**: {problem.items:,} items, {config.epochs} epochs, batch "
        f"{config.batch}; an item's step {found.operations / 1e9:.1f} GFLOP and "
        f"{found.activation_bytes / 2**20:.0f} MiB of activations; {found.parameters / 1e6:.1f} M "
        f"parameters.",
        "",
        "| processes | items each | activations each | outputs gathered a step | gradients a step "
        f"| matrices of the objective | hours at {teraflops:g} TFLOP/s each |",
        "|---|---|---|---|---|---|---|",
    ]
    for count in processes:
        each = config.batch // count
        hours = found.operations * problem.items * config.epochs / (teraflops * 1e12 * count) / 3600
        lines.append(
            f"| {count} | {each} | {each * found.activation_bytes / 2**30:.1f} GiB "
            f"| {gathered_bytes(config.batch, count, found.exchanged) / 2**20:.1f} MiB "
            f"| {gradient_bytes(found.parameters, count) / 2**20:.0f} MiB "
            f"| {objective_bytes(config.batch, pairs) / 2**20:.0f} MiB | {hours:,.1f} |"
        )
    return [*lines, ""]


if __name__ == "__main__":
    main()
