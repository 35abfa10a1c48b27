"""Which files lie in a folder: links followed once, hidden files left out."""

import os
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from newfound.data.source import Kind, printable
from newfound.errors import InputError

_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}

_VIDEO_ENDINGS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}


def class_folders(folder: Path) -> list[Path]:
    """The folders in a folder, each of one class.

    Raises InputError for images that lie beside them, which would be of no class.
    """
    loose = [
        printable(entry.name)
        for entry in _entries(str(folder))
        if not _is_folder(entry) and _has_image_ending(entry.name)
    ]
    if loose:
        raise InputError(
            f"{printable(str(folder))!r} holds images outside its class folders: "
            f"{some(loose)}; put each into a folder named after its class"
        )
    return folders_in(folder)


def files_below(roots: Sequence[Path]) -> list[list[str]]:
    """For each root the paths, in name order, of all in and below it that is no folder.

    A folder that can be reached in several ways is met once, so loops of links end: by the
    root nearest above it, or by a link if no root is above it. Bytes that are not UTF-8 appear
    as surrogates.
    """
    found: list[list[str]] = [[] for _ in roots]
    folders, links = deque[tuple[int, str]](), deque[tuple[int, str]]()
    for number, root in enumerate(roots):
        (links if root.is_symlink() else folders).append((number, str(root)))
    seen = set()
    while folders or links:
        number, here = folders.popleft() if folders else links.popleft()
        real = Path(here).resolve()
        if real in seen:
            continue
        seen.add(real)
        for entry in _entries(here):
            if not _is_folder(entry):
                found[number].append(entry.path)
            else:
                (links if entry.is_symlink() else folders).append((number, entry.path))
    return [sorted(files) for files in found]


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out, in name order."""
    return [Path(entry.path) for entry in _entries(str(folder)) if _is_folder(entry)]


def some(names: Sequence[str]) -> str:
    """The first few names, quoted, and how many there are more."""
    shown = ", ".join(repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def other_kind_in_words(names: Iterable[str], kind: Kind) -> str:
    """A hint to add to an error if most files, by their endings, are images where videos are read,
    or the other way round; else "".
    """
    names = list(names)
    other: Kind = "videos" if kind == "images" else "images"
    has_its_ending = _has_video_ending if other == "videos" else _has_image_ending
    if 2 * sum(map(has_its_ending, names)) <= len(names):
        return ""
    preset = "videos" if other == "videos" else "auto"
    return f"; these look like {other}: newfound discover {other} (in Python preset={preset!r})"


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What lies in a folder in name order, hidden and system files left out. Raises InputError."""
    try:
        with os.scandir(folder) as entries:
            shown = [
                entry
                for entry in entries
                if not entry.name.startswith(".") and entry.name.lower() not in _SYSTEM_FILES
            ]
    except OSError as error:
        raise InputError(
            f"the folder {printable(folder)!r} cannot be listed ({error.strerror}); make it "
            "readable or move it away"
        ) from error
    return sorted(shown, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Also for links to folders; a link that leads nowhere or to itself is none."""
    if entry.is_symlink():
        return Path(entry.path).is_dir()
    return entry.is_dir(follow_symlinks=False)


def _has_image_ending(name: str) -> bool:
    return Path(name).suffix.lower() in Image.registered_extensions().keys() - _VIDEO_ENDINGS


def _has_video_ending(name: str) -> bool:
    return Path(name).suffix.lower() in _VIDEO_ENDINGS
