"""The embedding of a run on disk: `embedding.npz` up to a number of items, then further parts.

Each part has `features`, (m, d) float32, and `probabilities`, (m, C_u) float64, of the next m
items. Parts are not compressed: that took twenty times as long as writing, for a quarter less.
"""

from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_magic

from newfound.blocks import blocks
from newfound.disk.files import damaged, write_atomically
from newfound.errors import RunFolderError

PART_ROWS = 100_000
"""Items to a file."""

_DIGITS = 5
_NAMES = ("features", "probabilities")


def write_embedding(
    first: Path, features: np.ndarray, probabilities: Callable[[slice], np.ndarray]
) -> None:
    """Write all parts: `first`, and beside it `-00001`, `-00002`, ... before its ending.

    features: (n, d).  probabilities: slice of m items -> (m, C_u), asked for a part at a time.
    Raises RunFolderError if the disk is full.
    """
    written = set()
    for number, rows in enumerate(blocks(len(features), PART_ROWS)):
        part = _part(first, number)
        _write_part(part, features[rows], probabilities(rows))
        written.add(part)
    further = f"{first.stem}-{_DIGITS * '[0-9]'}{first.suffix}"
    for stale in set(first.parent.glob(further)) - written:
        stale.unlink()  # of a run that was cut off when more files could be read


def read_embedding(first: Path, name: str, n_items: int) -> np.ndarray:
    """One of the arrays, `features` or `probabilities`, of all n items: (n, ...).

    Raises RunFolderError if a part is absent or damaged.
    """
    whole: np.ndarray | None = None
    done = number = 0
    while done < n_items:
        part = _read_part(_part(first, number), name)
        if whole is None:
            whole = np.empty((n_items, *part.shape[1:]), part.dtype)
        _check_fits(_part(first, number), done, len(part), n_items)
        whole[done : done + len(part)] = part
        done += len(part)
        number += 1
    assert whole is not None, "a run has items"
    return whole


def check_embedding(first: Path, n_items: int) -> None:
    """Raise RunFolderError if a part is absent or can be seen to be damaged, by its beginning and
    end alone."""
    done = number = 0
    while done < n_items:
        path = _part(first, number)
        rows = min(_rows_in(path, name) for name in _NAMES)
        _check_fits(path, done, rows, n_items)
        done += rows
        number += 1


def _check_fits(path: Path, done: int, rows: int, n_items: int) -> None:
    if not rows or done + rows > n_items:
        raise RunFolderError(
            f"{path} does not fit the run's {n_items:,} items: it is of another run, or damaged. "
            "Delete it and give the run's command again, which makes it anew"
        )


def _part(first: Path, number: int) -> Path:
    return first.with_stem(f"{first.stem}-{number:0{_DIGITS}d}") if number else first


def _write_part(path: Path, features: np.ndarray, probabilities: np.ndarray) -> None:
    def write(beside: Path) -> None:
        with beside.open("wb") as file:
            np.savez(file, allow_pickle=False, features=features, probabilities=probabilities)

    write_atomically(path, write)


def _read_part(path: Path, name: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            array: np.ndarray = arrays[name]
            return array
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise damaged(path, error) from None


def _rows_in(path: Path, name: str) -> int:
    """The length of an array of a part, by its header."""
    try:
        with ZipFile(path) as arrays, arrays.open(f"{name}.npy") as array:
            read_magic(array)
            shape, _, _ = read_array_header_1_0(array)
            return shape[0]
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise damaged(path, error) from None
