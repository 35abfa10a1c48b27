"""What it takes to begin with many files: time and memory, with the cached index and without."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.results import CaseResult, Row, Size, Spread, times

_FILES_IN_A_FOLDER = 1_000
"""At most; there are at least ten class folders, half of them labelled."""

_SETTLED_SECONDS = 3
"""The index keeps nothing of what has changed just now."""


@dataclass(frozen=True)
class Extent:
    """items: in each of the sets.  repeats: of opening each, with the index and without."""

    items: tuple[int, ...]
    repeats: int


EXTENTS: dict[Size, Extent] = {
    "tiny": Extent((20,), 1),
    "default": Extent((1_000, 100_000), 3),
    "full": Extent((1_000, 100_000, 1_000_000), 3),
}


def run(size: Size) -> CaseResult:
    """Made sets of files, each opened by processes that do nothing else."""
    extent = EXTENTS[size]
    rows: list[Row] = []
    for items in extent.items:
        with tempfile.TemporaryDirectory() as place:
            rows += measured(Path(place), items, extent.repeats)
    notes = [
        "opening is open_catalogue and the fingerprint, as a run does both before it reads; the "
        "files' names lie in the system's cache; memory is what opening adds to the process, at "
        "most in the last columns, and once it is done per item"
    ]
    return CaseResult(rows=rows, notes=notes)


def measured(place: Path, items: int, repeats: int) -> list[Row]:
    """Three rows: opening, and its time and memory per item."""
    small, data = (place / "small", make_files(place / "small", 20)), place / "data"
    large = data, make_files(data, items)
    # Each opening without the index has a cache of its own, in which there is none yet.
    time.sleep(_SETTLED_SECONDS)
    caches = [place / f"cache-{number}" for number in range(repeats)]
    without = [opened(large, small, cache) for cache in caches]
    with_index = [opened(large, small, caches[-1]) for _ in range(repeats)]
    check(without, with_index, items)
    row = times(
        f"{items:,} items: opening",
        [found["seconds"] for found in with_index],
        "without the index",
        [found["seconds"] for found in without],
    )
    peaks = [Spread.of([f["peak_bytes"] / 1e6 for f in of]) for of in (with_index, without)]
    return [
        row.model_copy(update={"peak_mb": peaks[0], "their_peak_mb": peaks[1]}),
        Row(
            what=f"{items:,} items: time of each",
            unit="µs/item",
            ours=Spread.of([1e6 * found["seconds"] / items for found in with_index]),
            against="without the index",
            theirs=Spread.of([1e6 * found["seconds"] / items for found in without]),
        ),
        Row(
            what=f"{items:,} items: memory of each",
            unit="bytes/item",
            ours=Spread.of([found["resident_bytes"] / items for found in with_index]),
            against="without the index",
            theirs=Spread.of([found["resident_bytes"] / items for found in without]),
        ),
    ]


def make_files(data: Path, items: int) -> int:
    """Class folders of links to an image each; returns how many of them are to be labelled."""
    in_a_folder = min(_FILES_IN_A_FOLDER, items // 10)
    for number in range(0, items, in_a_folder):
        folder = data / f"class-{number // in_a_folder:05d}"
        folder.mkdir(parents=True)
        first = folder / f"image-{number:08d}.png"
        Image.new("RGB", (32, 32)).save(first)
        for other in range(number + 1, min(number + in_a_folder, items)):
            os.link(first, folder / f"image-{other:08d}.png")
    return items // in_a_folder // 2


def opened(large: tuple[Path, int], small: tuple[Path, int], cache: Path) -> dict[str, Any]:
    """What `benchmarks.opening` tells of the first; each a folder and its labelled classes."""
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.opening", *map(str, large + small)],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    found: dict[str, Any] = json.loads(said)
    return found


def check(without: list[dict[str, Any]], with_index: list[dict[str, Any]], items: int) -> None:
    """Raise AssertionError unless every opening found the same items, all of them."""
    for found in (*without, *with_index):
        assert found["items"] == items, "every file is an item"
        assert found["labelled"] == items // 2, "half of the classes are labelled"
        assert found["fingerprint"] == without[0]["fingerprint"], "the index changes nothing"
