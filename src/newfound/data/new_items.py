"""From what a user gives to predict, to names and contents without labels."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from newfound.data.catalogue import Source
from newfound.data.clips import ClipFiles
from newfound.data.folders import files_below
from newfound.data.images import ArrayImages, FileImages
from newfound.data.index import Listings
from newfound.data.kinds import FILES, items_of
from newfound.data.manifest import read_manifest
from newfound.data.naming import names_below, row_names, unique_names
from newfound.data.paths import existing
from newfound.data.shard_names import are_shards
from newfound.data.shards import read_shards
from newfound.data.source import Kind, OnProgress
from newfound.data.tables import GivenTable, is_table
from newfound.data.texts import Texts
from newfound.data.words import printable
from newfound.errors import InputError

NewData = (
    str
    | os.PathLike[str]
    | Sequence[str | os.PathLike[str]]
    | pd.Series
    | pd.DataFrame
    | NDArray[np.uint8]
)
"""What `open_new_items` takes."""


def open_new_items(
    data: NewData,
    kind: Kind = "images",
    on_progress: OnProgress | None = None,
    on_warning: Callable[[str], None] = lambda _text: None,
) -> tuple[Texts, Source]:
    """The names and contents of items, labels or not.

    data: the path of a file, a folder (all files in and below it), shards, or a table, whose
    column `path` alone is needed, and of videos start_seconds and end_seconds are read; a table in
    memory as a DataFrame; a column of paths; or of images the pixels as for `from_arrays`.
    on_progress: see `open_catalogue`.  on_warning: is told of what is left out of shards and may
    have been meant.

    Names are made like a catalogue's, of pixels they are their numbers. Raises InputError if there
    is nothing, or it is of another kind.
    """
    if isinstance(data, str | os.PathLike):
        return _from_path(data, kind, on_progress, on_warning)
    paths = _as_paths(data)
    if paths is not None:
        data = pd.DataFrame({"path": paths})
    if isinstance(data, pd.DataFrame):
        return _listed(GivenTable(data), kind)
    return _from_pixels(data, kind)


def _from_path(
    path: str | os.PathLike[str],
    kind: Kind,
    on_progress: OnProgress | None,
    on_warning: Callable[[str], None],
) -> tuple[Texts, FileImages | ClipFiles]:
    if are_shards(path):
        shards = read_shards(path, kind, on_progress)
        for text in shards.warnings:
            on_warning(text)
        return unique_names(shards.members.names), FILES[kind](shards.members)
    place = existing(path, kind)
    if is_table(place):
        return _listed(GivenTable(place), kind)
    if not place.is_dir():
        return unique_names(Texts([place.name])), FILES[kind]([place])
    listed = Listings(place)
    [files] = files_below([place], listed)
    listed.keep()
    if not len(files):
        raise InputError(f"{printable(str(place))!r} holds no files; give a folder of {kind}")
    return unique_names(files.begun_with(names_below(files, place))), FILES[kind](files)


def _listed(table: GivenTable, kind: Kind) -> tuple[Texts, FileImages | ClipFiles]:
    listed = read_manifest(table, spans=kind == "videos", labels=False)
    return unique_names(listed.names), items_of(listed, kind)


def _from_pixels(data: Any, kind: Kind) -> tuple[Texts, ArrayImages]:
    pixels = _as_array(data)
    if kind == "videos" or pixels is None:
        or_pixels = ", or the pixels of images as an array of numpy" if kind == "images" else ""
        raise InputError(
            f"data is given as {type(data).__name__}; give the path of a file, a folder, a "
            f"table or shards, a list of paths, a DataFrame{or_pixels}"
        )
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        raise InputError(
            f"the pixels have the shape {pixels.shape}, of which it is unsure whether they are one "
            "image in colour or grey ones 3 wide; of one give pixels[None]"
        )
    images = ArrayImages(pixels)
    if not len(images):
        raise InputError("there are no images; give the pixels of at least one")
    return Texts(row_names("", len(images))), images


def _as_paths(data: Any) -> list[str] | None:
    """A list, a tuple, an array or a Series of paths, at least one, as a list; None for others."""
    is_column = isinstance(data, list | tuple | np.ndarray | pd.Series)
    if not (is_column and getattr(data, "ndim", 1) == 1 and len(data)):
        return None
    are_paths = all(isinstance(path, str | os.PathLike) for path in data)
    return [os.fspath(path) for path in data] if are_paths else None


def _as_array(data: Any) -> NDArray[Any] | None:
    """What is or can be made an array of numbers, as a tensor on a CPU or a list of arrays of one
    size; None for anything else."""
    if not (hasattr(data, "__array__") or isinstance(data, list | tuple)):
        return None
    try:
        pixels = np.asarray(data)
    except (TypeError, RuntimeError, ValueError):  # as tensors on a GPU, of bfloat16 or sparse ones
        return None
    return pixels if pixels.dtype.kind in "biufc" else None
