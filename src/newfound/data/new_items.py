"""From what a user gives to predict, to names and contents without labels."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from newfound.data.catalogue import Source
from newfound.data.folders import files_below
from newfound.data.images import ArrayImages
from newfound.data.index import Listings
from newfound.data.kinds import FILES, items_of
from newfound.data.manifest import read_rows, span_in_words
from newfound.data.naming import names_below, row_names, unique_names
from newfound.data.paths import existing
from newfound.data.shard_names import are_shards
from newfound.data.shards import read_shards
from newfound.data.source import Kind, OnProgress
from newfound.data.tables import SPAN, GivenTable, column_of_paths, is_table
from newfound.data.texts import Texts
from newfound.data.words import printable
from newfound.errors import InputError

NewData = (
    str
    | os.PathLike[str]
    | Sequence[str | os.PathLike[str]]
    | Iterator[str | os.PathLike[str]]
    | pd.Index
    | pd.Series
    | pd.DataFrame
    | NDArray[Any]
)
"""What `open_new_items` takes."""


@dataclass(frozen=True)
class NewItems:
    """What is to be predicted, n items without labels.

    paths: n texts, what each is called: as a table has it, else like the names of a catalogue; of
    pixels it is their number.  contents: the n images or videos.  spans: (n,) of each column of
    `SPAN` that the table has, which parts of files they are.  index: (n,) of a table or a column
    in memory its own.
    """

    paths: Texts | NDArray[np.str_]
    contents: Source
    spans: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    index: pd.Index | None = None

    def names(self, rows: NDArray[np.int64]) -> list[str]:
        """Their paths, with the seconds of parts of files, as a message has them."""
        nothing = np.full(len(self.contents), np.nan)
        spans = [self.spans.get(name, nothing)[rows] for name in SPAN]
        return [path + span_in_words(*span) for path, *span in zip(self.paths[rows], *spans)]

    def called(self, rows: NDArray[np.int64]) -> pd.DataFrame:
        """path, and the columns of `spans`, of these rows."""
        columns = {"path": self.paths} | dict(self.spans)
        index = None if self.index is None else self.index[rows]
        return pd.DataFrame({name: column[rows] for name, column in columns.items()}, index)


def open_new_items(
    data: NewData,
    kind: Kind = "images",
    on_progress: OnProgress | None = None,
    on_warning: Callable[[str], None] = lambda _text: None,
) -> NewItems:
    """Items, whatever labels they have.

    data: the path of a file, a folder (all files in and below it), shards, or a table, whose
    column `path` alone is needed, and of videos start_seconds and end_seconds are read; a table in
    memory as a DataFrame; a column of paths; or of images the pixels as for `from_arrays`. Of a
    table and a column each row is an item, those too that are there twice.
    on_progress: see `open_catalogue`.  on_warning: is told of what is left out of shards and may
    have been meant.

    Raises InputError if there is nothing, or it is of another kind.
    """
    if isinstance(data, str | os.PathLike):
        return _from_path(data, kind, on_progress, on_warning)
    if isinstance(data, pd.DataFrame):
        return _listed(GivenTable(data), kind)
    if isinstance(data, Iterator):
        data = [*data]
    if _is_empty(data):
        raise InputError(f"there are no {kind}; give at least one")
    paths = column_of_paths(data)
    if paths is not None:
        return _listed(GivenTable(paths.to_frame("path")), kind)
    return _from_pixels(data, kind)


def _from_path(
    path: str | os.PathLike[str],
    kind: Kind,
    on_progress: OnProgress | None,
    on_warning: Callable[[str], None],
) -> NewItems:
    if are_shards(path):
        shards = read_shards(path, kind, on_progress)
        for text in shards.warnings:
            on_warning(text)
        return NewItems(unique_names(shards.members.names), FILES[kind](shards.members))
    place = existing(path, kind)
    if is_table(place):
        return _listed(GivenTable(place), kind)
    if not place.is_dir():
        return NewItems(unique_names(Texts([place.name])), FILES[kind]([place]))
    listed = Listings(place)
    [files] = files_below([place], listed)
    listed.keep()
    if not len(files):
        raise InputError(f"{printable(str(place))!r} holds no files; give a folder of {kind}")
    names = unique_names(files.begun_with(names_below(files, place)))
    return NewItems(names, FILES[kind](files))


def _listed(table: GivenTable, kind: Kind) -> NewItems:
    rows = read_rows(table, spans=kind == "videos", labelled=False)
    columns = zip(SPAN, (rows.start_seconds, rows.end_seconds))
    spans = {name: column for name, column in columns if name in rows.seconds}
    paths = rows.names if rows.names.is_utf8 else Texts(map(printable, rows.names))
    index = _apart(table.given.index) if isinstance(table.given, pd.DataFrame) else None
    return NewItems(paths, items_of(rows, kind), spans, index)


def _apart(index: pd.Index) -> pd.Index:
    """An index whose levels are not called like the columns that `NewItems.called` gives."""
    return index.set_names([None if name in ("path", *SPAN) else name for name in index.names])


def _is_empty(data: Any) -> bool:
    try:
        return len(data) == 0
    except TypeError:  # of what has no length, as a number, or an array or a tensor of one
        return False


def _from_pixels(data: Any, kind: Kind) -> NewItems:
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
    return NewItems(row_names("", len(images)), images)


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
