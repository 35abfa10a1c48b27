"""Kinetics-400 and VGG-Sound: their published tables beside a folder of downloaded videos.

Which classes are novel is a convention of this project, as the paper gives only how many: in name
order, the last 50 of Kinetics-400's 400 and the last 39 of VGG-Sound's 309.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from newfound.data.folders import files_below
from newfound.data.manifest import span_in_words
from newfound.data.words import printable, some
from newfound.errors import InputError

ENDINGS = (".mp4", ".mkv", ".webm", ".mov", ".avi")

VGGSOUND_SECONDS = 10
"""The length of every clip of VGG-Sound, whose table says only where each begins."""

_HELD_OUT_SPLITS = {"validate", "validation", "val", "test"}


@dataclass(frozen=True)
class Protocol:
    """How a published data set is read.

    classes, novel: how many classes it has, and how many of them, the last in name order, are to
    be discovered.  read: its table, or the folder of its tables -> youtube_id, start_seconds,
    end_seconds (whole seconds of the video on YouTube), label and split of each row.
    """

    title: str
    classes: int
    novel: int
    read: Callable[[Path], pd.DataFrame]


@dataclass(frozen=True)
class ListedVideos:
    """The videos of a protocol whose files are there, as columns of n rows: training's first.

    names: paths below the folder of videos.  classes: (n,) int64 numbers of `class_names`, of
    which the first `known` are known; classes without a file to train on are in neither.
    start_seconds, end_seconds: (n,) float64, NaN = the file's own end.  held_out: (n,) bool.
    missing: how many more are listed, without a file.
    """

    names: list[str]
    files: list[str]
    classes: NDArray[np.int64]
    class_names: tuple[str, ...]
    known: int
    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]
    held_out: NDArray[np.bool_]
    missing: int


def read_protocol(protocol: Protocol, table: Path, folder: Path) -> ListedVideos:
    """The split `train`, and of the known classes the validation or test split, held out.

    Files lie anywhere in the folder and are named after video, first and last second,
    <youtube_id>_<000010>_<000020>, or without the last; or <youtube_id> alone, which is a whole
    video of which these seconds are used. A row that is there twice is taken once, the first.

    Raises InputError for tables that are damaged, of other columns or of another number of
    classes, if no file of the split `train` is there, and if a video that would be used is there
    under two labels.
    """
    rows = protocol.read(table)
    class_names, numbers = np.unique(rows["label"].to_numpy(np.str_), return_inverse=True)
    if len(class_names) != protocol.classes:
        raise InputError(
            f"{printable(str(table))!r} has {len(class_names)} classes, and {protocol.title} has "
            f"{protocol.classes}; give its tables complete, as they are published"
        )
    rows = _with_files(rows.assign(number=numbers, held_out=rows["split"] != "train"), folder)
    is_here = rows["file"] != ""
    present = np.unique(rows["number"][is_here & ~rows["held_out"]])
    if not len(present):
        raise InputError(
            f"none of the videos to train on that {printable(str(table))!r} lists is in "
            f"{printable(str(folder))!r}; files are looked for in it and in all folders below it, "
            "under the names <youtube_id>_000010_000020.mp4, <youtube_id>_000010.mp4 and "
            f"<youtube_id>.mp4, or with {', '.join(ENDINGS[1:])}"
        )
    known = present[present < protocol.classes - protocol.novel]
    is_used = ~rows["held_out"] | rows["number"].isin(known)
    used = rows[is_used & is_here].sort_values("held_out", kind="stable")
    used = _each_once(used, table)
    return ListedVideos(
        names=[
            _name(file.removeprefix(f"{folder}{os.sep}"), start, end)
            for file, start, end in _columns(used, "file", "start_seconds", "end_seconds")
        ],
        files=used["file"].tolist(),
        classes=np.searchsorted(present, used["number"]),
        class_names=tuple(printable(str(name)) for name in class_names[present]),
        known=len(known),
        start_seconds=used["start_seconds"].to_numpy(np.float64),
        end_seconds=used["end_seconds"].to_numpy(np.float64),
        held_out=used["held_out"].to_numpy(np.bool_),
        missing=int((is_used & ~is_here).sum()),
    )


def _with_files(rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """With the column `file`, "" where there is none, and seconds NaN unless they point into it.

    The folder is listed once; no file is looked at.
    """
    paths = (Path(file) for file in files_below([folder])[0])
    file_of = {path.stem: str(path) for path in paths if path.suffix.lower() in ENDINGS}
    files: list[str] = []
    spans: list[tuple[float, float]] = []
    for video, start, end in _columns(rows, "youtube_id", "start_seconds", "end_seconds"):
        cut_out = file_of.get(f"{video}_{start:06d}_{end:06d}") or file_of.get(
            f"{video}_{start:06d}"
        )
        files.append(cut_out or file_of.get(video, ""))
        spans.append((math.nan, math.nan) if cut_out else (start, end))
    starts, ends = zip(*spans)
    return rows.assign(file=files, start_seconds=starts, end_seconds=ends)


def _each_once(used: pd.DataFrame, table: Path) -> pd.DataFrame:
    """The first row of every item. Raises InputError if another one of it has another label."""
    item = ["file", "start_seconds", "end_seconds"]
    first = used.groupby(item, dropna=False)["label"].transform("first")
    for row in np.flatnonzero(first != used["label"])[:1]:
        again = used.iloc[row]
        raise InputError(
            f"{printable(str(table))!r} has the same seconds of {printable(again['youtube_id'])!r} "
            f"under two labels, {printable(first.iloc[row])!r} and {printable(again['label'])!r}; "
            "keep one of the rows"
        )
    return used.drop_duplicates(item)


def _name(below: str, start_seconds: float, end_seconds: float) -> str:
    return below if math.isnan(start_seconds) else below + span_in_words(start_seconds, end_seconds)


def _read_kinetics(place: Path) -> pd.DataFrame:
    """`train.csv` and one of the others in a folder, or one table of all."""
    tables = [place]
    if place.is_dir():
        others = [place / f"{name}.csv" for name in ("validate", "validation", "val", "test")]
        tables = [_table_in(place, "train.csv"), *[file for file in others if file.exists()][:1]]
    return pd.concat([_kinetics_table(file) for file in tables], ignore_index=True)


def _kinetics_table(file: Path) -> pd.DataFrame:
    table = _cells(file, header=0)
    columns = ("youtube_id", "time_start", "time_end", "label", "split")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(
            f"{printable(str(file))!r} has no column {' and no column '.join(missing)}, but "
            f"{some([str(column) for column in table.columns])}; give Kinetics-400's own tables, "
            "with label, youtube_id, time_start, time_end and split"
        )
    named = table[list(columns)].rename(
        columns={"time_start": "start_seconds", "time_end": "end_seconds"}
    )
    return _checked(named, file)


def _read_vggsound(place: Path) -> pd.DataFrame:
    """`vggsound.csv`, or the folder it lies in."""
    file = _table_in(place, "vggsound.csv") if place.is_dir() else place
    table = _cells(file, header=None)
    if table.shape[1] != 4:
        raise InputError(
            f"{printable(str(file))!r} has {table.shape[1]} columns; VGG-Sound's own table has "
            "four and no header: video, first second, label, split"
        )
    table.columns = pd.Index(["youtube_id", "start_seconds", "label", "split"])
    table = _checked(table.assign(end_seconds=table["start_seconds"]), file)
    return table.assign(end_seconds=table["end_seconds"] + VGGSOUND_SECONDS)


PROTOCOLS = {
    "kinetics400": Protocol("Kinetics-400", 400, 50, _read_kinetics),
    "vggsound": Protocol("VGG-Sound", 309, 39, _read_vggsound),
}


def _table_in(folder: Path, name: str) -> Path:
    if not (folder / name).exists():
        raise InputError(
            f"{printable(str(folder))!r} holds no {name}; give the folder that holds it, or the "
            "table itself"
        )
    return folder / name


def _cells(file: Path, header: int | None) -> pd.DataFrame:
    """Every cell as it is written; None where a row ends early."""
    try:
        return pd.read_csv(
            file,
            header=header,
            dtype=object,
            keep_default_na=False,
            index_col=False,
            encoding_errors="surrogateescape",
        )
    except (ValueError, OSError) as error:
        raise InputError(
            f"{printable(str(file))!r} cannot be read as a table: {error}; fetch it again"
        ) from error


def _checked(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """With seconds as whole numbers. Raises InputError for the first row that makes no sense."""
    seconds = [
        pd.to_numeric(table[column], errors="coerce").round()
        for column in ("start_seconds", "end_seconds")
    ]
    is_right = (table["youtube_id"].fillna("") != "") & (table["label"].fillna("") != "")
    is_right &= table["split"].isin({"train", *_HELD_OUT_SPLITS})
    is_right &= (seconds[0] >= 0) & (seconds[1] >= seconds[0])
    for row in np.flatnonzero(~is_right)[:1]:
        cells = ", ".join(printable(str(cell)) for cell in table.iloc[row])
        raise InputError(
            f"{printable(str(file))!r} makes no sense at row {row + 1} of {len(table)}: {cells}; "
            "a row needs a video, seconds, a label and one of the splits train, validate, test. "
            "Fetch the table again"
        )
    starts, ends = (column.astype(np.int64) for column in seconds)
    return table.assign(start_seconds=starts, end_seconds=ends)


def _columns(table: pd.DataFrame, *names: str) -> Iterator[tuple[Any, ...]]:
    """The rows of some columns, as plain values."""
    return zip(*(table[name].tolist() for name in names))
