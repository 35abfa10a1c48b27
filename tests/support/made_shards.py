"""WebDataset shards, written by Python's own tarfile."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

Member = tuple[str, bytes]


def picture(number: int, side: int = 8, kind: str = "PNG") -> bytes:
    """An encoded image with its number in every pixel."""
    file = io.BytesIO()
    Image.fromarray(np.full((side, side), number, np.uint8)).save(file, kind)
    return file.getvalue()


def shard(members: Iterable[Member], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar file that holds them in their order."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def samples(numbers: Iterable[int], classes: int = 4) -> list[Member]:
    """Images with their labels beside them; every fifth has none."""
    members: list[Member] = []
    for number in numbers:
        key = f"{number:04}"
        members.append((f"{key}.png", picture(number)))
        if number % 5:
            members.append((f"{key}.cls", str(number % classes).encode()))
    return members


def write_shards(folder: Path, counts: Iterable[int], classes: int = 4) -> list[Path]:
    """part-000.tar, part-001.tar, ...: so many samples in each, numbered throughout."""
    folder.mkdir(parents=True, exist_ok=True)
    paths, first = [], 0
    for number, count in enumerate(counts):
        paths.append(folder / f"part-{number:03}.tar")
        paths[-1].write_bytes(shard(samples(range(first, first + count), classes)))
        first += count
    return paths
