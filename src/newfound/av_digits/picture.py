"""The picture of AV digits: a handwritten digit that moves, grows and tilts before a ground."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch.nn import functional as F

SIDE_PX = 128
MARGIN_PX = 8  # a random crop of 112 of the 128 pixels cuts off so much, on the average
DIGIT_PX = (40.0, 88.0)
"""The side of the square with the digit; the digit itself takes about 0.7 of it."""
CANVAS_PX = 2 * SIDE_PX
"""The side of what drifts by: it repeats after so many pixels."""

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Path:
    """Where the digit is in each of T frames: centre and side in pixels, tilt in radians; (T,)."""

    x_px: Pixels
    y_px: Pixels
    side_px: Pixels
    tilt: Pixels


def moving_digit(
    digit: NDArray[np.uint8], times: NDArray[np.float64], clutter: float, seed: tuple[int, ...]
) -> NDArray[np.uint8]:
    """The frames of one video.

    digit: (28, 28) uint8, light on black.  times: (T,) of the frames, in seconds.
    clutter: 0 is a plain ground. Above it lower the contrast and raise noise and the number of
    strokes as thick and as light as the digit's, some of them still, some drifting by.
    Returns (T, 128, 128) uint8, the brightness.
    """
    random = np.random.default_rng([*seed, 1])
    path = random_path(times, random)
    still, drifting = _strokes(random, SIDE_PX, clutter), _strokes(random, CANVAS_PX, clutter)
    ground = _ground(random, clutter)
    light = ground.mean() + random.uniform(130, 170) * (1 - 0.4 * clutter)
    frames = _blend(ground, light * random.uniform(0.6, 1), still)
    frames = _blend(frames, light * random.uniform(0.6, 1), _drift(drifting, times, random))
    frames = _blend(frames, light, placed(digit, path))
    if clutter:
        frames = frames + _noise(len(times), 30 * clutter, random)
    return frames.clip(0, 255).astype(np.uint8)


def random_path(times: NDArray[np.float64], random: np.random.Generator) -> Path:
    """A smooth path on which the digit stays within the frame, less a margin for crops."""
    side = random.uniform(*DIGIT_PX) * (1 + 0.2 * _swing(times, random))
    side = side.clip(*DIGIT_PX)
    room = SIDE_PX / 2 - MARGIN_PX - 0.4 * side
    x, y = (SIDE_PX / 2 + room * _swing(times, random) for _ in range(2))
    return Path(x, y, side, np.float32(0.25) * _swing(times, random))


def placed(digit: NDArray[np.uint8], path: Path) -> Pixels:
    """(28, 28) uint8 -> (T, 128, 128) float32, 0 to 1: the digit where the path says."""
    cosine, sine = np.cos(path.tilt), np.sin(path.tilt)
    zoom = SIDE_PX / path.side_px
    x, y = (2 * centre / SIDE_PX - 1 for centre in (path.x_px, path.y_px))
    to_digit = np.stack(
        [
            np.stack([cosine * zoom, sine * zoom, -zoom * (cosine * x + sine * y)], 1),
            np.stack([-sine * zoom, cosine * zoom, zoom * (sine * x - cosine * y)], 1),
        ],
        1,
    )
    size = [len(zoom), 1, SIDE_PX, SIDE_PX]
    grid = F.affine_grid(torch.from_numpy(to_digit).float(), size, align_corners=False)
    source = torch.from_numpy(digit.astype(np.float32) / 255).expand(len(zoom), 1, -1, -1)
    return np.asarray(F.grid_sample(source, grid, align_corners=False)[:, 0])


def _swing(times: NDArray[np.float64], random: np.random.Generator) -> Pixels:
    """(T,) float32 between -1 and 1, a sine with a period of 2 to 5 s."""
    height, hertz, phase = random.uniform((0.5, 0.2, 0), (1, 0.5, 2 * np.pi))
    return np.asarray(height * np.sin(2 * np.pi * hertz * times + phase), dtype=np.float32)


def _ground(random: np.random.Generator, clutter: float) -> Pixels:
    """(128, 128): a level, with blotches where there is clutter."""
    blotches = random.normal(0, 15 * clutter, (5, 5)).astype(np.float32)
    smooth = Image.fromarray(blotches).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    return (random.uniform(10, 70) + np.asarray(smooth)).astype(np.float32)


def _strokes(random: np.random.Generator, side: int, clutter: float) -> Pixels:
    """(side, side), 0 to 1: bent strokes, up to 8 on the area of a frame."""
    canvas = Image.new("L", (2 * side, 2 * side))  # twice the size, so that halving smooths edges
    draw = ImageDraw.Draw(canvas)
    along = np.linspace(0, 1, 12)[:, None]
    for _ in range(round(8 * clutter * (side / SIDE_PX) ** 2)):
        start, bend, end = random.uniform(0, 2 * side, 2) + random.uniform(-50, 50, (3, 2))
        points = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end
        draw.line([tuple(point) for point in points.tolist()], 255, int(random.integers(6, 14)))
    return np.asarray(canvas.reduce(2), dtype=np.float32) / np.float32(255)


def _drift(canvas: Pixels, times: NDArray[np.float64], random: np.random.Generator) -> Pixels:
    """(T, 128, 128): what is seen of the canvas as it goes by, steadily, in whole pixels."""
    windows = sliding_window_view(np.tile(canvas, (2, 2)), (SIDE_PX, SIDE_PX))
    angle, speed = random.uniform(0, 2 * np.pi), random.uniform(10, 40)  # pixels a second
    start = random.integers(0, CANVAS_PX, 2)
    steps = times[:, None] * speed * np.array([np.cos(angle), np.sin(angle)])
    rows, columns = ((start + steps).round().astype(int) % CANVAS_PX).T
    return np.asarray(windows[rows, columns])


def _noise(frames: int, deviation: float, random: np.random.Generator) -> Pixels:
    """(frames, 128, 128): windows at random places of one tile of noise; drawing all is slow."""
    tile = random.normal(0, deviation, (CANVAS_PX, CANVAS_PX)).astype(np.float32)
    rows, columns = random.integers(0, CANVAS_PX - SIDE_PX + 1, (2, frames))
    return np.asarray(sliding_window_view(tile, (SIDE_PX, SIDE_PX))[rows, columns])


def _blend(under: Pixels, light: float, share: Pixels) -> Pixels:
    """What is `light` where the share is 1 and as under it where the share is 0."""
    return under + share * (np.float32(light) - under)
