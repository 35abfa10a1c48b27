"""A table of images and labels: .csv or .parquet with the columns `path` and `label`."""

import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import ParserWarning

from newfound.data.folders import some
from newfound.data.images import printable
from newfound.errors import InputError


def read_manifest(path: Path) -> tuple[list[str], list[str], list[str]]:
    """The paths as written, the files they mean, and the labels ("" = unlabelled), a row each.

    Paths are relative to the table's folder; a row that is there twice is kept once.

    Raises InputError for a table without the columns or rows, files that do not exist, and a
    file under two labels.
    """
    shown = repr(printable(str(path)))
    table = _read_table(path)
    _check_columns(table, shown)
    if table.empty:
        raise InputError(f"{shown} has no rows; list the images, one a row")
    label_of: dict[str, str] = {}
    name_of: dict[str, str] = {}
    for name, label in zip(map(_text, table["path"]), map(_text, table["label"])):
        if label == "-1":
            raise InputError(f"{shown} has the label -1; leave it empty for unlabelled images")
        file = os.path.normpath(path.parent / name)
        if label_of.setdefault(file, label) != label:
            raise InputError(
                f"{shown} has {printable(name)!r} under two labels, {label_of[file]!r} and "
                f"{label!r}; keep one of the rows"
            )
        name_of.setdefault(file, name)
    absent = [printable(name) for file, name in name_of.items() if _is_absent(file)]
    if absent:
        raise InputError(
            f"{shown} names {len(absent)} of {len(name_of)} images that do not exist: "
            f"{some(absent)}; paths are relative to the folder of the table"
        )
    return list(name_of.values()), list(name_of), list(label_of.values())


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
