"""The training step in 1, 2 and 4 processes, launched as torchrun does."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import CaseResult, Row, Size, Spread

_LOSSES_AGREE_TO = 0.01
"""Share by which the first epoch's loss may differ from that of one process, by rounding."""


@dataclass(frozen=True)
class Extent:
    """epochs: of each run; the first is left out of what is measured, as it warms up."""

    processes: tuple[int, ...]
    epochs: int


EXTENTS: dict[Size, Extent] = {
    "tiny": Extent((1,), 2),
    "default": Extent((1, 2, 4), 6),
    "full": Extent((1, 2, 4), 21),
}


def run(size: Size) -> CaseResult:
    """Items per second of each number of processes, beside those of one."""
    extent = EXTENTS[size]
    rows: list[Row] = []
    notes = [
        "newfound discover images digits: network and batch are so small that it shows what "
        "processes cost rather than what they bring; all of one machine, whose cores they share"
    ]
    alone: list[dict[str, Any]] = []
    for processes in extent.processes:
        try:
            epochs = epochs_of(processes, extent.epochs)
        except RefusedError as refusal:
            notes.append(f"{processes} processes: the command refused: {refusal}")
            continue
        alone = alone or epochs
        check(epochs, alone)
        rows.append(
            Row(
                what=f"digits, {processes} process{'es' if processes > 1 else ''}",
                unit="images/s",
                ours=_spread(epochs),
                against="1 process" if processes > 1 else "",
                theirs=_spread(alone) if processes > 1 else None,
                times_as_fast=_ratio(epochs, alone) if processes > 1 else None,
            )
        )
    return CaseResult(rows=rows, notes=notes)


class RefusedError(Exception):
    """The last words of a command that failed."""


def epochs_of(processes: int, epochs: int) -> list[dict[str, Any]]:
    """The log's epochs of a run in so many processes. Raises RefusedError."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    discover = ["-m", "newfound", "discover", "images", "digits", "--num-novel", "5"]
    # At the preset's learning rate rounding grows to another loss within the first epoch.
    settings = ["--preset", "digits", "--epochs", str(epochs), "--lr", "0.001"]
    settings += ["--warmup-epochs", "0"]
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        ended = subprocess.run(
            [sys.executable, *launch, *discover, *settings, "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ended.returncode:
            errors = [line for line in ended.stdout.splitlines() if "rror" in line]
            raise RefusedError(errors[0].strip() if errors else ended.stdout.strip()[-200:])
        records = map(json.loads, (out / "log.jsonl").read_text(encoding="utf-8").splitlines())
        return [record for record in records if record["event"] == "epoch"]


def check(epochs: list[dict[str, Any]], alone: list[dict[str, Any]]) -> None:
    """Raise AssertionError unless the first epoch's loss is that of one process."""
    ours, expected = epochs[0]["total"], alone[0]["total"]
    assert abs(ours - expected) <= _LOSSES_AGREE_TO * abs(expected), (
        f"the first epoch's loss is {ours}, of one process {expected}"
    )


def _spread(epochs: list[dict[str, Any]]) -> Spread:
    return Spread.of([epoch["items_per_second"] for epoch in epochs[1:]])


def _ratio(epochs: list[dict[str, Any]], alone: list[dict[str, Any]]) -> Spread:
    """Of each epoch to the median of one process: the two were not run in turns."""
    median = _spread(alone).median
    return Spread.of([epoch["items_per_second"] / median for epoch in epochs[1:]])
