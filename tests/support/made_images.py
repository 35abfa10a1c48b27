"""Small made-up images whose classes anyone can tell apart: shapes in colours on noise."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("red-disc", "green-square", "blue-bar", "white-cross", "magenta-ring", "cyan-stripes")
COLOURS = ("red", "lime", "blue", "white", "magenta", "cyan")


def made_image(kind: int, number: int, side: int = 16) -> np.ndarray:
    """(side, side, 3) uint8: the number-th picture of the class `CLASSES[kind]`."""
    random = np.random.default_rng([kind, number])
    ground = Image.fromarray(random.integers(0, 60, (side, side, 3), dtype=np.uint8))
    x, y = random.integers(side // 3, side - side // 3, 2).tolist()
    r = int(random.integers(side // 4, side // 3))
    _draw(ImageDraw.Draw(ground), kind, (x, y, r), side)
    return np.asarray(ground)


def made_arrays(kinds: tuple[int, ...], each: int, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """(n, side, side, 3) uint8 pixels and (n,) kinds, `each` of every kind."""
    numbered = [(kind, number) for kind in kinds for number in range(each)]
    pixels = np.stack([made_image(kind, number, side) for kind, number in numbered])
    return pixels, np.repeat(kinds, each)


def save_images(folder: Path, kind: int, numbers: range, side: int = 16) -> list[Path]:
    """Write PNG files named after kind and number into the folder; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{CLASSES[kind]}-{number:03d}.png" for number in numbers]
    for number, path in zip(numbers, paths):
        Image.fromarray(made_image(kind, number, side)).save(path)
    return paths


def make_folder(
    root: Path,
    known: tuple[int, ...] = (0, 1),
    novel: tuple[int, ...] = (2, 3),
    each: int = 16,
    side: int = 16,
) -> Path:
    """root/labelled/<class>/* and root/unlabelled/*; the unlabelled files tell their class."""
    for kind in known:
        save_images(root / "labelled" / CLASSES[kind], kind, range(each), side)
    for kind in novel:
        save_images(root / "unlabelled", kind, range(each), side)
    return root


def _draw(draw: ImageDraw.ImageDraw, kind: int, place: tuple[int, int, int], side: int) -> None:
    x, y, r = place
    box, colour = (x - r, y - r, x + r, y + r), COLOURS[kind]
    match kind:
        case 0:
            draw.ellipse(box, fill=colour)
        case 1:
            draw.rectangle(box, fill=colour)
        case 2:
            draw.rectangle((0, y - r // 2, side, y + r // 2), fill=colour)
        case 3:
            draw.line((x - r, y - r, x + r, y + r), fill=colour, width=3)
            draw.line((x - r, y + r, x + r, y - r), fill=colour, width=3)
        case 4:
            draw.ellipse(box, outline=colour, width=3)
        case _:
            for column in range(0, side, 4):
                draw.line((column, 0, column, side), fill=colour)
