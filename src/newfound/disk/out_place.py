"""Where results may be written: not among the files that are read."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError


def check_apart_from_data(
    out: Path,
    data: Any,
    labelled: str | os.PathLike[str] | None = None,
    unlabelled: str | os.PathLike[str] | None = None,
) -> None:
    """Raise InputError for a folder to write to in which the same command would look for data.

    data, labelled, unlabelled: as for `open_catalogue`.
    """
    check_apart_from(out, _folders_read(data, labelled, unlabelled), "--out")


def check_apart_from(out: Path, folders: Iterable[Path], flag: str) -> None:
    """Raise InputError for a place to write to that lies in a folder in which all is data.

    flag: by which `out` is given.
    """
    place = real_place(out)
    for folder in folders:
        whole = real_place(folder)
        if not place.is_relative_to(whole):
            continue
        if not any(part.startswith(".") for part in place.relative_to(whole).parts):
            raise InputError(
                f"{flag} {out} lies in {folder}, whose files and folders are data; give a "
                "folder outside of it"
            )


def real_place(path: Path) -> Path:
    """The whole path, with links followed; of links in a circle it raises nothing.

    Raises InputError for a relative path where the current folder has been removed.
    """
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError:
        raise InputError(
            f"{path} lies in the current folder, which is gone; cd to a folder that is there, or "
            "give the whole path"
        ) from None


def check_place_of_table(out: Path) -> None:
    """Raise InputError if no file can be written to `out`, or if it would be one of a run's."""
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is no folder; --out goes into one that is there")
    if out.is_dir():
        raise InputError(f"{out} is a folder; give --out the name of a file")
    if RunFolder(out.parent).holds_a_run():
        raise InputError(f"{out.parent} holds a run, whose own files stay; give another --out")
    try:
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise InputError(
            f"cannot write to {out.parent}: {error.strerror}; make it writable, or give another "
            "--out"
        ) from error


def _folders_read(
    data: Any,
    labelled: str | os.PathLike[str] | None,
    unlabelled: str | os.PathLike[str] | None,
) -> list[Path]:
    """The folders in which everything is data, but what is hidden."""
    if labelled is not None and unlabelled is not None:
        return [Path(labelled), Path(unlabelled)]
    is_path = isinstance(data, str | os.PathLike)
    if not (is_path and os.path.isdir(data)):  # noqa: PTH112 - of a long address it is False
        return []
    parts = [Path(data) / part for part in ("labelled", "unlabelled")]
    return [part for part in parts if part.is_dir()] or [Path(data)]
