"""A table of files and labels: .csv or .parquet with the columns `path` and `label`."""

import math
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.errors import ParserWarning

from newfound.data.folders import some
from newfound.data.source import printable
from newfound.errors import InputError

_Item = tuple[str, float | None, float | None]
"""File, first and last second."""


@dataclass(frozen=True)
class Listed:
    """The rows of a table, each once.

    names: the paths as written.  files: what they mean.  labels: "" = unlabelled.
    start_seconds, end_seconds: (n,) float64, NaN = the file's own end.
    """

    names: list[str]
    files: list[str]
    labels: list[str]
    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]


def read_manifest(path: Path, spans: bool = False) -> Listed:
    """The items of a table: `path` and `label`; of videos `start_seconds` and `end_seconds` too.

    spans: whether to look for these two, which may be absent.

    Paths are relative to the table's folder; a row that is there twice is kept once. Rows of one
    file with other seconds are items of their own, whose names tell the seconds.

    Raises InputError for a table without the columns or rows, files that do not exist, seconds
    that are no numbers, and an item under two labels.
    """
    shown = repr(printable(str(path)))
    table = _read_table(path)
    _check_columns(table, shown)
    if table.empty:
        raise InputError(f"{shown} has no rows; list the files, one a row")
    columns = ("start_seconds", "end_seconds")
    starts, ends = (_seconds(table, column, shown, spans) for column in columns)
    label_of: dict[_Item, str] = {}
    name_of: dict[_Item, str] = {}
    written: dict[str, str] = {}
    rows = zip(map(_text, table["path"]), map(_text, table["label"]), starts, ends)
    for name, label, start, end in rows:
        if label == "-1":
            raise InputError(f"{shown} has the label -1; leave it empty for unlabelled items")
        item = (os.path.normpath(path.parent / name), start, end)
        if label_of.setdefault(item, label) != label:
            raise InputError(
                f"{shown} has {printable(name)!r} under two labels, {label_of[item]!r} and "
                f"{label!r}; keep one of the rows"
            )
        name_of.setdefault(item, name + span_in_words(start, end))
        written.setdefault(item[0], name)
    absent = [printable(name) for file, name in written.items() if _is_absent(file)]
    if absent:
        raise InputError(
            f"{shown} names {len(absent)} of {len(written)} files that do not exist: "
            f"{some(absent)}; paths are relative to the folder of the table"
        )
    return Listed(
        names=list(name_of.values()),
        files=[file for file, _, _ in name_of],
        labels=list(label_of.values()),
        start_seconds=_numbers(start for _, start, _ in name_of),
        end_seconds=_numbers(end for _, _, end in name_of),
    )


def read_truth(path: Path) -> dict[str, str]:
    """Name of an item -> its true class, from the columns `path` and `label` of a table.

    Rows without a label say nothing. Raises InputError for a table that is not there or without
    the columns, and for an item under two labels.
    """
    table, shown = _read_table(path), repr(printable(str(path)))
    _check_columns(table, shown)
    truth: dict[str, str] = {}
    for name, label in zip(map(_text, table["path"]), map(_text, table["label"])):
        if label and truth.setdefault(name, label) != label:
            raise InputError(
                f"{shown} has {printable(name)!r} under two labels, {truth[name]!r} and "
                f"{label!r}; keep one of the rows"
            )
    return truth


def _seconds(table: pd.DataFrame, column: str, shown: str, wanted: bool) -> list[float | None]:
    """A column of seconds, None where it is empty, not there or not wanted."""
    if not wanted or column not in table.columns:
        return [None] * len(table)
    seconds = []
    for text in map(_text, table[column]):
        try:
            seconds.append(float(text) if text else None)
        except ValueError:
            seconds.append(math.nan)
        if seconds[-1] is not None and not math.isfinite(seconds[-1]):
            raise InputError(
                f"{shown} has {printable(text)!r} in the column {column}; give a number of "
                "seconds, or leave it empty"
            )
    return seconds


def _numbers(seconds: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if second is None else second for second in seconds])


def span_in_words(start: float | None, end: float | None) -> str:
    """What a name gets added for a part of a file: #10-20, nothing for None and None."""
    if start is None and end is None:
        return ""
    return f"#{'' if start is None else f'{start:.12g}'}-{'' if end is None else f'{end:.12g}'}"


def _check_columns(table: pd.DataFrame, shown: str) -> None:
    missing = [column for column in ("path", "label") if column not in table.columns]
    if missing:
        raise InputError(
            f"{shown} has no column {' and no column '.join(missing)}; its columns are "
            f"{some([str(column) for column in table.columns])}"
        )


def _read_table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".csv":
            return _read_csv(path)
        return pd.read_parquet(path, dtype_backend="pyarrow")
    except (ValueError, OSError, ParserWarning) as error:
        raise InputError(
            f"{printable(str(path))!r} cannot be read as a table: {error}; see that it opens "
            "in another program"
        ) from error


def _read_csv(path: Path) -> pd.DataFrame:
    """Every cell as it is written: 007 stays 007, NA stays NA, odd bytes stay those bytes."""
    with warnings.catch_warnings(action="error", category=ParserWarning):
        return pd.read_csv(
            path,
            dtype=object,
            keep_default_na=False,
            index_col=False,  # so that a row with a comma too many is an error, not an index
            encoding_errors="surrogateescape",
        )


def _text(cell: Any) -> str:
    """A cell as text; blank ones are empty."""
    if isinstance(cell, bytes):
        return os.fsdecode(cell)
    return "" if pd.isna(cell) or not str(cell).strip() else str(cell)


def _is_absent(file: str) -> bool:
    """Whether nothing is there; what is there but closed to us is found when it is decoded."""
    try:
        Path(file).lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return False
    return False
