"""Which files lie in a folder: links followed once, hidden files left out."""

import os
from bisect import bisect
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from newfound.data.endings import has_image_ending, has_media_ending
from newfound.data.source import Kind
from newfound.data.texts import Texts, column, decoded
from newfound.data.words import printable, some
from newfound.errors import InputError

_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Listing:
    """The names of what lies in a folder, in their order; hidden and system files left out.

    links: symbolic links, wherever they lead.  folders, files: all else that is one, or is none.
    """

    files: pa.LargeBinaryArray
    folders: list[str]
    links: list[str]


def list_folder(folder: str) -> Listing:
    """What lies in a folder. Raises InputError if it cannot be listed."""
    files, folders, links = [], [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower() in _SYSTEM_FILES:
                    continue
                if entry.is_symlink():
                    links.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                else:
                    files.append(entry.name)
    except OSError as error:
        raise InputError(
            f"the folder {printable(folder)!r} cannot be listed ({error.strerror}); make it "
            "readable or move it away"
        ) from error
    return Listing(column(sorted(files)), sorted(folders), sorted(links))


def class_folders(folder: Path, kind: Kind) -> list[Path]:
    """The folders in a folder, each of one class.

    Raises InputError for images, or files of this kind, that lie beside them, which would be of no
    class.
    """
    listing = list_folder(str(folder))
    folders = _folders_of(listing, folder)
    names = {*decoded(listing.files), *listing.links} - {path.name for path in folders}
    is_one = has_image_ending if kind == "images" else has_media_ending
    loose = [printable(name) for name in sorted(names) if is_one(name)]
    if loose:
        raise InputError(
            f"{printable(str(folder))!r} holds files outside its class folders: "
            f"{some(loose)}; put each into a folder named after its class, or move it away"
        )
    return folders


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out, in name order."""
    return _folders_of(list_folder(str(folder)), folder)


def files_below(
    roots: Sequence[Path], listed: Callable[[str], Listing] = list_folder
) -> list[Texts]:
    """For each root the paths, in name order, of all in and below it that is no folder.

    A folder that can be reached in several ways is met once, so loops of links end: by the
    root nearest above it, or by a link if no root is above it. Bytes that are not UTF-8 appear
    as surrogates. The beginnings of the texts are the folders.

    listed: as `list_folder`, which may know what lies in a folder without a look.
    """
    found: list[list[_Run]] = [[] for _ in roots]
    folders, links = deque[_Folder](), deque[_Folder]()
    for number, root in enumerate(roots):
        (links if root.is_symlink() else folders).append(_Folder(number, str(root), None))
    seen: set[str] = set()
    while folders or links:
        number, here, real = folders.popleft() if folders else links.popleft()
        real = os.path.realpath(here) if real is None else real
        if real in seen:
            continue
        seen.add(real)
        listing, beginning, real_beginning = listed(here), beginning_of(here), beginning_of(real)
        linked = [name for name in listing.links if _leads_to_folder(beginning + name)]
        folders += [
            _Folder(number, beginning + name, real_beginning + name) for name in listing.folders
        ]
        links += [_Folder(number, beginning + name, None) for name in linked]
        files = listing.files
        if len(linked) < len(listing.links):
            others = set(listing.links) - set(linked)
            files = column(sorted([*decoded(files), *others]))
        found[number] += _runs(beginning, files, [*listing.folders, *linked])
    return [_in_order(runs) for runs in found]


class _Folder(NamedTuple):
    """A folder to look into: below which root, and its path without links if that is known."""

    root: int
    path: str
    real: str | None


_Run = tuple[str, str, pa.LargeBinaryArray]
"""The first path, the folder with a slash, and the names of files that follow one another."""


def _runs(beginning: str, files: pa.LargeBinaryArray, folders: list[str]) -> list[_Run]:
    """The files of one folder, cut wherever those of a folder in it may come in between."""
    cuts: set[int] = set()
    if folders and len(files):
        names = decoded(files)
        cuts = {bisect(names, beginning_of(folder)) for folder in folders}
    edges = sorted({0, *cuts, len(files)})
    return [
        (beginning + os.fsdecode(files[start].as_py()), beginning, files[start:end])
        for start, end in pairwise(edges)
    ]


def _in_order(runs: list[_Run]) -> Texts:
    """All paths in their order: between the ends of a run there is none of another."""
    runs = sorted(runs, key=lambda run: run[0])
    return Texts.composed(
        column(beginning for _, beginning, _ in runs),
        np.repeat(np.arange(len(runs), dtype=np.int32), [len(files) for _, _, files in runs]),
        pa.concat_arrays([column([]), *(files for _, _, files in runs)]),
    )


def beginning_of(folder: str) -> str:
    """What the paths of all in a folder begin with."""
    return folder.removesuffix(os.sep) + os.sep


def _folders_of(listing: Listing, folder: Path) -> list[Path]:
    beginning = beginning_of(str(folder))
    linked = [name for name in listing.links if _leads_to_folder(beginning + name)]
    return [folder / name for name in sorted([*listing.folders, *linked])]


def _leads_to_folder(link: str) -> bool:
    """False for a link that leads nowhere or to itself."""
    return os.path.isdir(link)  # noqa: PTH112 - a million links may be asked
