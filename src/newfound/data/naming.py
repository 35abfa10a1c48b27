"""What items are called: printable, unique, with "/" between folders."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from newfound.data.folders import beginning_of
from newfound.data.texts import Texts
from newfound.data.words import printable


def unique_names(paths: Texts) -> Texts:
    r"""Printable, unique names: one that spells out another's \xNN has its row added."""
    if paths.is_utf8 and paths.are_unique:
        return paths
    names = [printable(path) for path in paths]
    uses = Counter(names)
    unique = [name if uses[name] == 1 else f"{name} ({row})" for row, name in enumerate(names)]
    return unique_names(Texts(unique))


def row_names(prefix: str, n: int) -> NDArray[np.str_]:
    """(n,): the prefix, then 0..n-1 with zeros before, so that they sort as numbers."""
    width = len(str(n))
    return np.array([f"{prefix}{row:0{width}}" for row in range(n)], dtype=np.str_)


def names_below(files: Texts, folder: Path, prefix: str = "") -> list[str]:
    """What begins the names of files below a folder, in place of what begins their paths."""
    above = beginning_of(str(folder))
    return [prefix + at.removeprefix(above).replace(os.sep, "/") for at in files.beginnings]
