"""A table that a user gives, .csv, .parquet or a DataFrame: some rows at a time, cells as text."""

import csv
import os
import reprlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray
from pandas.errors import ParserError, ParserWarning

from newfound.data.words import printable, some
from newfound.errors import InputError

_ROWS_AT_ONCE = 65_536

_ENDINGS = (".csv", ".parquet")

SPAN = ("start_seconds", "end_seconds")
"""The columns that say which part of a file is meant."""


@dataclass(frozen=True)
class GivenTable:
    """One of files or of what is known of them.

    given: its path, or the table itself.
    """

    given: Path | pd.DataFrame

    @property
    def name(self) -> str:
        """What it is called in the log: of a file its path, printable."""
        is_file = isinstance(self.given, Path)
        return printable(str(self.given)) if is_file else "the table in memory"

    @property
    def shown(self) -> str:
        """What it is called in a message."""
        return repr(self.name) if isinstance(self.given, Path) else self.name

    @property
    def folder(self) -> str:
        """What its paths are relative to. Raises InputError if the current folder is gone."""
        if isinstance(self.given, Path):
            return str(self.given.parent)
        try:
            return str(Path.cwd())
        except FileNotFoundError:
            raise InputError("the current folder is gone; cd to one that is there") from None

    @property
    def folder_in_words(self) -> str:
        """What that folder is called in a message."""
        is_file = isinstance(self.given, Path)
        return "the folder of the table" if is_file else "the current folder"

    def row_in_words(self, number: int) -> str:
        """What a row is called in a message; they count from 1."""
        is_file = isinstance(self.given, Path)
        return f"row {number:,} below its header" if is_file else f"row {number:,}"

    def parts(self, columns: Sequence[str], once: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
        """Its rows, some at a time, with these columns and whichever it has more.

        once: columns that may be absent.  Raises InputError for what cannot be read as a table, and
        if it lacks one of the columns, in some row too, or has one of either twice.
        """
        for number, part in enumerate(self._parts()):
            self._check_columns(part, columns, once)
            if number == 0 and isinstance(self.given, Path):
                self._check_rows(self.given, {*columns, *once})
            yield part

    def texts(self, part: pd.DataFrame, column: str) -> list[str]:
        """The cells of one of its parts as texts, see `text_of`.

        Raises InputError for a cell that holds several things, and for text in no encoding.
        """
        try:
            texts = [text_of(cell) for cell in part[column]]
            os.fsencode("".join(texts))
        except UnicodeError as error:
            raise InputError(
                f"{self.shown} has text in the column {column} that is not UTF-8; save it as UTF-8"
            ) from error
        except TypeError as error:
            raise InputError(f"{self.shown} has in the column {column} {error}") from error
        return texts

    def _parts(self) -> Iterator[pd.DataFrame]:
        if isinstance(self.given, pd.DataFrame):
            yield from _in_parts(self.given)
            return
        try:
            if self.given.suffix.lower() == ".csv":
                yield from _parts_of_csv(self.given)
                return
            table = pd.read_parquet(self.given, dtype_backend="pyarrow")
        except UnicodeError as error:  # of the header alone, as cells may hold any bytes
            raise InputError(
                f"{self.shown} is not in UTF-8 but, as it seems, in UTF-16 or another "
                "encoding; save it as UTF-8"
            ) from error
        except (ValueError, OSError, ParserWarning) as error:
            cure = (
                "a field with a comma in it has to be in quotes, and each quote closed"
                if isinstance(error, ParserError | ParserWarning)
                else "see that it opens in another program"
            )
            raise InputError(
                f"{self.shown} cannot be read as a table: {' '.join(str(error).split())}; {cure}"
            ) from error
        yield from _in_parts(table)

    def _check_columns(
        self, table: pd.DataFrame, wanted: Sequence[str], once: Sequence[str]
    ) -> None:
        is_file = isinstance(self.given, Path)
        if table.columns.nlevels > 1:
            raise InputError(f"{self.shown} has columns of several levels; give it one level")
        missing = [column for column in wanted if column not in table.columns]
        if missing:
            found = some([str(column) for column in table.columns]) or "none"
            how = f", in a .csv by the first line, {','.join(wanted)}" if is_file else ""
            how += ", with commas in it and in all others" if how and len(wanted) > 1 else ""
            raise InputError(
                f"{self.shown} has no column {' and no column '.join(missing)}; its columns are "
                f"{found}; call them exactly so{how}"
            )
        for name in (*wanted, *once):
            # In a file pandas calls the second of two so.
            is_twice = is_file and f"{name}.1" in table.columns
            if is_twice or [*table.columns].count(name) > 1:
                raise InputError(f"{self.shown} has two columns called {name}; keep one of them")

    def _check_rows(self, path: Path, columns: set[str]) -> None:
        """That no row of a .csv ends before one of these columns: pandas would make up a cell."""
        if path.suffix.lower() != ".csv":
            return
        with (
            path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
            suppress(csv.Error),  # as of a quote that is not closed, of which pandas tells
        ):
            rows = (row for row in csv.reader(file) if len(row) > 1 or "".join(row).strip())
            width = 1 + max(
                (at for at, name in enumerate(next(rows)) if name in columns), default=0
            )
            for number, row in enumerate(rows, 1):
                if len(row) < width:
                    raise InputError(
                        f"{self.shown} has {len(row)} of {width} cells in "
                        f"{self.row_in_words(number)}; put a comma before each that is empty, as "
                        "behind the path of an item without a label"
                    )


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a table's, by its ending."""
    return Path(path).suffix.lower() in _ENDINGS and not os.path.isdir(path)  # noqa: PTH112 - never raises


def column_of_paths(data: Any) -> pd.Series | None:
    """A column of paths as a Series of objects, with its own index where it is one; else None.

    data: anything, a column if some of what it holds are paths.
    """
    is_column = isinstance(data, list | tuple | np.ndarray | pd.Index | pd.Series | ExtensionArray)
    if not is_column or getattr(data, "ndim", 1) != 1:
        return None
    if not any(isinstance(path, str | bytes | os.PathLike) for path in data):
        return None
    return data.astype(object) if isinstance(data, pd.Series) else pd.Series([*data], dtype=object)


def text_of(cell: Any) -> str:
    """A cell as text; blank ones are empty, and whole floats, as of ints with gaps, are ints.

    Raises TypeError for one that holds several things.
    """
    if isinstance(cell, bytes | os.PathLike):
        cell = os.fsdecode(cell)
    if isinstance(cell, str):
        return cell if cell.strip() else ""
    if not pd.api.types.is_scalar(cell):
        raise TypeError(f"the cell {reprlib.repr(cell)}; give it one text or number")
    if isinstance(cell, float | np.floating) and cell.is_integer():
        return str(int(cell))
    return "" if pd.isna(cell) else str(cell)


def _in_parts(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """A whole table, with what `set_index` has taken out of its columns."""
    names = [*table.index.names]
    named = [name for name in {*names} - {None, *table.columns} if names.count(name) == 1]
    table = table.reset_index(named) if named else table
    for at in range(0, max(len(table), 1), _ROWS_AT_ONCE):
        yield table.iloc[at : at + _ROWS_AT_ONCE]


def _parts_of_csv(path: Path) -> Iterator[pd.DataFrame]:
    """Every cell as it is written: 007 stays 007, NA stays NA, odd bytes stay those bytes."""
    with pd.read_csv(
        path,
        dtype=object,
        keep_default_na=False,
        index_col=False,  # so that a row with a comma too many is an error, not an index
        encoding_errors="surrogateescape",
        chunksize=_ROWS_AT_ONCE,
    ) as parts:
        while True:
            with warnings.catch_warnings(action="error", category=ParserWarning):
                part = next(parts, None)
            if part is None:
                return
            yield part
