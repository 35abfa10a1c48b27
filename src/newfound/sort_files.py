"""Files that were predicted, sorted into one folder per category."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from newfound.data.addresses import as_shown
from newfound.data.clips import ClipFiles
from newfound.data.images import FileImages
from newfound.data.shard_names import are_shards
from newfound.data.source import Kind
from newfound.data.tables import SPAN, GivenTable, is_table
from newfound.data.words import printable
from newfound.disk.out_place import check_apart_from
from newfound.errors import InputError, Stopped
from newfound.predict import Prediction

_FOLDER_NAME_BYTES = 180
"""Of most systems' 255; what tells folders of one name apart is added to it."""


def check_can_sort(data: str | os.PathLike[str], into: Path, kind: Kind) -> None:
    """Raises InputError for shards and parts of files, and if `sort_files` could mix its files with
    others there, or with those that are read."""
    if are_shards(data):
        raise InputError(
            f"what is in {as_shown(os.fspath(data))!r} lies in shards, so it cannot be copied or "
            "linked to; leave --copy-to out, or unpack the shards"
        )
    if kind == "videos" and is_table(data) and Path(data).exists():
        _check_whole_files(GivenTable(Path(data)))
    if Path(data).is_dir():
        check_apart_from(into, [Path(data)], "--copy-to")
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise InputError(f"{into} is not empty; give a new folder to --copy-to")


def _check_whole_files(table: GivenTable) -> None:
    for part in table.parts(("path",), once=SPAN):
        for name in {*SPAN} & {*part.columns}:
            if any(table.texts(part, name)):
                raise InputError(
                    f"{table.shown} lists parts of files, which cannot be copied or linked "
                    "to; leave --copy-to out"
                )


def sort_files(prediction: Prediction, into: Path, how: Literal["copy", "link"]) -> None:
    """One folder per category below `into`, with a copy of, or a symbolic link to, each file.

    prediction: of files, of which some may be there twice; see `check_can_sort`.
    Raises InputError if they cannot be written, Stopped by Ctrl-C.
    """
    files = prediction.items
    assert isinstance(files, FileImages | ClipFiles), "what the command line sorts lies in files"
    answers = list(zip(prediction.table["kind"], prediction.table["category"]))
    is_again = prediction.table["path"].duplicated()
    folders = _folder_names(answers)
    tried: dict[Path, int] = {}
    target = into
    try:
        for i in np.flatnonzero(~is_again).tolist():
            source, answer = Path(files.path(i)).absolute(), answers[i]
            target = _free_name(into / folders[answer] / source.name, tried)
            target.parent.mkdir(parents=True, exist_ok=True)
            if how == "link":
                target.symlink_to(source)
            else:
                shutil.copy2(source, target)
    except OSError as error:
        raise InputError(
            f"cannot write {printable(str(target))}: {error.strerror}; make room there and delete "
            f"what lies in {printable(str(into))}, or give another folder to --copy-to"
        ) from error
    except KeyboardInterrupt:
        raise Stopped(
            f"stopped; what lies in {printable(str(into))} is not complete: delete it before the "
            "same command is given again"
        ) from None


def _folder_names(answers: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """A folder's name for each kind and category, no two the same.

    A label may hold anything, "../" too, be of any length, and a known class may be called like a
    novel category.
    """
    names: dict[tuple[str, str], str] = {}
    for kind, category in sorted(set(answers)):
        name = _shortened(re.sub(r"[/\\\0]", "_", category)).strip(".") or "_"
        if name in names.values():
            name = f"{name} ({kind})"
        count, free = 1, name
        while free in names.values():
            count += 1
            free = f"{name}-{count}"
        names[kind, category] = free
    return names


def _shortened(name: str) -> str:
    return name.encode()[:_FOLDER_NAME_BYTES].decode(errors="ignore")  # no half of a character


def _free_name(path: Path, tried: dict[Path, int]) -> Path:
    """The path, or with -2, -3, ... before its ending if files of one name meet.

    tried: how many names of a path were; they are not tried again.
    """
    while True:
        tried[path] = count = tried.get(path, 0) + 1
        free = path if count == 1 else path.with_name(f"{path.stem}-{count}{path.suffix}")
        if not (free.exists() or free.is_symlink()):
            return free
