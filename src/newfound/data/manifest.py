"""A table of files, with the columns `path` and `label`, or of new files `path` alone."""

import math
import os
import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from newfound.batch import UNLABELLED, UNLABELLED_AS_TEXT
from newfound.data.file_status import are_absent
from newfound.data.tables import SPAN, GivenTable
from newfound.data.texts import Texts, column
from newfound.data.words import printable, some
from newfound.errors import InputError


@dataclass(frozen=True)
class Listed:
    """The rows of a table, each once, as columns.

    names: the paths as written.  files: what they mean.  labels: (n,) int64 numbers of
    `class_names`, which are in their order, -1 = unlabelled.
    start_seconds, end_seconds: (n,) float64, NaN = the file's own end.  seconds: which of these the
    table has.
    """

    names: Texts
    files: Texts
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]
    seconds: tuple[str, ...] = ()

    def names_with_spans(self) -> Texts:
        """The names, each followed by the part of the file that is meant."""
        spans = map(span_in_words, self.start_seconds, self.end_seconds)
        return Texts(name + span for name, span in zip(self.names, spans))

    def subset(self, rows: NDArray[np.int64]) -> "Listed":
        """Some of the rows, with the same classes."""
        return replace(
            self,
            names=self.names.subset(rows),
            files=self.files.subset(rows),
            labels=self.labels[rows],
            start_seconds=self.start_seconds[rows],
            end_seconds=self.end_seconds[rows],
        )


def read_manifest(table: GivenTable, spans: bool = False) -> Listed:
    """The items of a table: `path` and `label`; of videos `start_seconds` and `end_seconds` too.

    spans: whether to look for these two, which may be absent.

    Paths are relative to `GivenTable.folder`; a row that is there twice is kept once. Rows of one
    file with other seconds are items of their own, whose names tell the seconds.

    Raises InputError for a table without the columns or rows, files that do not exist, seconds
    that are no numbers, a row without a path, and an item under two labels.
    """
    rows = read_rows(table, spans)
    columns = pd.DataFrame(
        {
            "file": _numbers(rows.files),
            "start": rows.start_seconds,
            "end": rows.end_seconds,
            "label": rows.labels,
        }
    )
    item = ["file", "start", "end"]
    first = columns.groupby(item, dropna=False, sort=False)["label"].transform("first").to_numpy()
    for row in np.flatnonzero(first != rows.labels)[:1]:
        texts = (*rows.class_names, "")  # the last is also that of -1
        raise InputError(
            f"{table.shown} has {printable(rows.names[row])!r} under two labels, "
            f"{texts[first[row]]!r} and {texts[rows.labels[row]]!r}; keep one of the rows"
        )
    again = columns.duplicated(item)
    if again.any():
        rows = rows.subset(np.flatnonzero(~again))
    return replace(rows, names=rows.names_with_spans()) if spans else rows


def read_rows(table: GivenTable, spans: bool, labelled: bool = True) -> Listed:
    """Every row of a table as it stands, with the names as written.

    labelled: whether to look for a label, else all are unlabelled.  Raises InputError as
    `read_manifest` does, but for items that are there twice.
    """
    names: list[Texts] = []
    files: list[Texts] = []
    labels: list[NDArray[np.int64]] = []
    starts: list[NDArray[np.float64]] = []
    ends: list[NDArray[np.float64]] = []
    number_of: dict[str, int] = {}
    seconds: tuple[str, ...] = ()
    wanted = ("path", "label") if labelled else ("path",)
    for part in table.parts(wanted, once=SPAN if spans else ()):
        written = table.texts(part, "path")
        texts = table.texts(part, "label") if labelled else [""] * len(part)
        for text in texts:
            if text in UNLABELLED_AS_TEXT:
                raise InputError(
                    f"{table.shown} has the label {text}; leave it empty for unlabelled items"
                )
        if "" in written:
            row = sum(map(len, names)) + written.index("") + 1
            raise InputError(
                f"{table.shown} has no path in {table.row_in_words(row)}; fill it in, or delete "
                "that row"
            )
        numbers = [number_of.setdefault(text, len(number_of)) if text else -1 for text in texts]
        names.append(Texts(written))
        files.append(_files(table.folder, written))
        labels.append(np.array(numbers, dtype=np.int64))
        seconds = _columns_of_seconds(part, table.shown) if spans else ()
        starts.append(_seconds(part, "start_seconds", table, seconds))
        ends.append(_seconds(part, "end_seconds", table, seconds))
    in_order = sorted(number_of)
    rank = {text: number for number, text in enumerate(in_order)}
    ranks = np.array([*(rank[text] for text in number_of), UNLABELLED])  # the last is that of -1
    listed = Listed(
        names=Texts.joined(names),
        files=Texts.joined(files),
        labels=ranks[np.concatenate([np.zeros(0, np.int64), *labels])],
        class_names=tuple(map(printable, in_order)),
        start_seconds=np.concatenate([np.zeros(0), *starts]),
        end_seconds=np.concatenate([np.zeros(0), *ends]),
        seconds=seconds,
    )
    if not len(listed.names):
        raise InputError(f"{table.shown} has no rows; list the files, one a row")
    _check_files(listed, table)
    return listed


def _files(folder: str, written: list[str]) -> Texts:
    """The files that are meant; their beginning is the folder if all lie in or below it."""
    files = [os.path.normpath(f"{folder}/{name}" if name[:1] != "/" else name) for name in written]
    beginning = os.path.normpath(folder).removesuffix("/") + "/"
    if not all(file.startswith(beginning) for file in files):
        return Texts(files)
    endings = column(file.removeprefix(beginning) for file in files)
    return Texts.composed(column([beginning]), np.zeros(len(files), np.int32), endings)


def _numbers(files: Texts) -> NDArray[np.int64]:
    """(n,): equal for equal files."""
    numbers: NDArray[np.int64] = files.flat().dictionary_encode().indices.to_numpy()
    return numbers


def _check_files(rows: Listed, table: GivenTable) -> None:
    """Raises InputError if there are files of which nothing is there."""
    once = np.unique(_numbers(rows.files), return_index=True)[1]
    absent = once[are_absent(rows.files.subset(once))]
    if len(absent):
        raise InputError(
            f"{table.shown} names {len(absent)} of {len(once)} files that do not exist: "
            f"{some([printable(name) for name in rows.names[absent]])}; paths are relative to "
            f"{table.folder_in_words}"
        )


def read_truth(table: GivenTable, spans: bool) -> dict[str, str]:
    """Name of an item -> its true class, from the columns `path` and `label` of a table.

    spans: whether `start_seconds` and `end_seconds`, where there are such columns, are of names.
    Rows without a label say nothing. Raises InputError for a table that is not there or without
    the columns, seconds that are no numbers, and an item under two labels.
    """
    truth: dict[str, str] = {}
    for part in table.parts(("path", "label"), once=SPAN if spans else ()):
        seconds = _columns_of_seconds(part, table.shown) if spans else ()
        starts = _seconds(part, "start_seconds", table, seconds)
        ends = _seconds(part, "end_seconds", table, seconds)
        names = map(str.__add__, table.texts(part, "path"), map(span_in_words, starts, ends))
        for name, label in zip(names, table.texts(part, "label")):
            if label and truth.setdefault(name, label) != label:
                raise InputError(
                    f"{table.shown} has {printable(name)!r} under two labels, {truth[name]!r} and "
                    f"{label!r}; keep one of the rows"
                )
    return truth


def _seconds(
    part: pd.DataFrame, column: str, table: GivenTable, there: tuple[str, ...]
) -> NDArray[np.float64]:
    """A column of seconds, NaN where it is empty, and all of one that is none of `there`."""
    seconds = np.full(len(part), np.nan)
    if column not in there:
        return seconds
    for row, text in enumerate(table.texts(part, column)):
        try:
            seconds[row] = float(text) if text else np.nan
        except ValueError:
            seconds[row] = np.inf
        if text and not np.isfinite(seconds[row]):
            raise InputError(
                f"{table.shown} has {printable(text)!r} in the column {column}; give a number of "
                "seconds, or leave it empty"
            )
    return seconds


def _columns_of_seconds(part: pd.DataFrame, shown: str) -> tuple[str, ...]:
    """Those of `SPAN` that there are; raises InputError for one that seems to be meant."""
    for name, words in zip(SPAN, ("start|begin", "end|stop")):
        for meant in part.columns if name not in part.columns else ():
            letters = re.sub("[^a-z]", "", str(meant).lower())
            if re.fullmatch(f"(t|time)?({words})(t|time)?(s|secs?|seconds?)?", letters):
                raise InputError(
                    f"{shown} has a column {meant!r} and none called {name}; call it exactly so "
                    "if it tells the parts of files, else leave it out"
                )
    return tuple(name for name in SPAN if name in part.columns)


def span_in_words(start: float, end: float) -> str:
    """What a name gets added for a part of a file: #10-20, nothing for NaN and NaN."""
    if math.isnan(start) and math.isnan(end):
        return ""
    first, last = ("" if math.isnan(second) else f"{second:.12g}" for second in (start, end))
    return f"#{first}-{last}"
