"""Which tar files data are given as: a file, a pattern with braces, a folder, here or elsewhere."""

import math
import os
import re
from collections.abc import Sequence
from itertools import product

from newfound.data.addresses import as_shown, errors_in_words, is_remote, opened, without_query
from newfound.data.endings import has_media_ending
from newfound.errors import InputError

MAX_SHARDS = 1_000_000

UNPACK = "newfound reads from anywhere in a shard: unpack it to a plain .tar, as by gunzip"
"""What is to be done with compressed ones."""

_TAR = re.compile(r"\.tar$", re.IGNORECASE)
_COMPRESSED = re.compile(r"\.(tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst|lz4|z))$", re.IGNORECASE)


def are_shards(data: str | os.PathLike[str]) -> bool:
    """Whether data are given as shards: an address, a tar file, a pattern of such, or a folder
    that holds tar files, and neither folders nor images nor videos."""
    text = os.fspath(data)
    if not is_remote(text) and os.path.isdir(text):  # noqa: PTH112 - never raises
        return _is_folder_of_shards(text)
    return is_remote(text) or is_shard(text) or is_compressed(text)


def shard_addresses(data: str | os.PathLike[str]) -> list[str]:
    """The addresses of shards, of local ones the absolute paths.

    data: a tar file; a pattern with braces, as in part-{000..012}.tar or {a,b}.tar; or a folder of
    tar files. Each here or at an address of fsspec's, as in s3://bucket/part-{000..012}.tar.

    Raises InputError if nothing is there, for * in place of braces, for compressed shards, and for
    the address of something else.
    """
    text = os.fspath(data)
    shown = as_shown(text)
    if is_remote(text) and is_no_shard(text):
        raise InputError(
            f"{shown!r} is an address, and of these only shards are read: WebDataset's .tar files"
        )
    if not is_remote(text):
        text = os.path.abspath(text)  # noqa: PTH100 - Path.absolute leaves .. in it
    is_here = not is_remote(text) and os.path.exists(text)  # noqa: PTH110 - never raises
    pattern = shown if is_remote(text) else shown.rpartition("/")[2]
    if "*" in pattern and not is_here:
        raise InputError(
            f"{shown!r} has a *; give the folder of the shards, or braces, as in "
            "part-{000..012}.tar"
        )
    addresses = [text] if is_here else expanded(text)
    if addresses == [text] and not (is_shard(text) or is_compressed(text)):
        addresses = _in_folder(text)
        if not addresses:
            raise InputError(f"{shown!r} holds no .tar files; give the folder of the shards")
    for address in filter(is_compressed, addresses):
        raise InputError(f"{as_shown(address)!r} is compressed; {UNPACK}")
    return list(dict.fromkeys(addresses))


def expanded(pattern: str) -> list[str]:
    """What a pattern with braces stands for, the last changing fastest; {0..9}, {00..10}, {a,b}.

    Raises InputError for more than `MAX_SHARDS`.
    """
    parts = re.split(r"\{([^{}]*)\}", pattern)
    choices = [_choices(part) if at % 2 else [part] for at, part in enumerate(parts)]
    if math.prod(map(len, choices)) > MAX_SHARDS:
        raise InputError(f"{as_shown(pattern)!r} stands for more than {MAX_SHARDS:,} shards")
    return ["".join(chosen) for chosen in product(*choices)]


def _choices(braces: str) -> Sequence[str]:
    """What one pair of braces stands for."""
    numbers = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})", braces)
    if numbers is None:
        return braces.split(",") if "," in braces else [f"{{{braces}}}"]
    first, last = int(numbers[1]), int(numbers[2])
    is_padded = any(len(text) > 1 and text[0] == "0" for text in numbers.groups())
    width = max(map(len, numbers.groups())) if is_padded else 1
    step = 1 if first <= last else -1
    numbers_meant = range(first, last + step, step)
    if len(numbers_meant) > MAX_SHARDS:
        raise InputError(f"{{{braces}}} stands for more than {MAX_SHARDS:,} shards")
    return [f"{number:0{width}}" for number in numbers_meant]


def _in_folder(folder: str) -> list[str]:
    """The tar files in a folder, compressed ones too, in name order."""
    with errors_in_words(folder):
        file_system, path = opened(folder)
        entries = file_system.ls(path, detail=True)
    names = [str(entry["name"]).rstrip("/").rpartition("/")[2] for entry in entries]
    shards = [name for name in names if is_shard(name) or is_compressed(name)]
    return [f"{folder.rstrip('/')}/{name}" for name in sorted(shards) if name[0] != "."]


def _is_folder_of_shards(folder: str) -> bool:
    """Whether a local folder holds tar files, and neither folders nor images nor videos."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            tars = [entry for entry in shown if is_shard(entry.name) or is_compressed(entry.name)]
            return bool(tars) and not any(e.is_dir() or has_media_ending(e.name) for e in shown)
    except OSError:
        return False


def is_shard(address: str) -> bool:
    """Whether it is that of a tar file, by its ending."""
    return _TAR.search(without_query(address)) is not None


def is_no_shard(address: str) -> bool:
    """Whether it is that of an image, a video or a table, by its ending."""
    name = without_query(address)
    return has_media_ending(name) or name.lower().endswith((".csv", ".parquet"))


def is_compressed(address: str) -> bool:
    """Whether it is that of a compressed tar file, by its ending."""
    return _COMPRESSED.search(without_query(address)) is not None
