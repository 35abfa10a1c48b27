"""Data as a user lays it out: folders of tiny images, arrays with labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from newfound.data.arrays import from_arrays
from newfound.data.catalogue import Catalogue

LAYOUT_NAMES = [
    "labelled/cat/1.png",
    "labelled/cat/2.png",
    "labelled/dog/1.png",
    "labelled/dog/more/2.png",
    "unlabelled/a.png",
    "unlabelled/b.png",
    "unlabelled/deeper/c.png",
]
"""What `write_layout` writes."""

ODD_NAMES = [b"a b.png", b"'\"`.png", b"two\nlines.png", b"<script>.png", b"caf\xe9.png", b"\xff"]


def write_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8)).save(path, "PNG")
    return path


def write_layout(root: Path) -> Path:
    """Two labelled classes of two images, three unlabelled images, one of them deeper."""
    for name in (
        "labelled/dog/1.png",
        "labelled/dog/more/2.png",
        "labelled/cat/1.png",
        "labelled/cat/2.png",
        "unlabelled/b.png",
        "unlabelled/a.png",
        "unlabelled/deeper/c.png",
    ):
        write_image(root / name)
    return root


def made_of(labels: Sequence[int | str | None]) -> Catalogue:
    return from_arrays(np.zeros((len(labels), 8, 8), np.uint8), labels)
