"""The bundled data set: scikit-learn's handwritten digits, each placed in a larger frame."""

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

FRAME_PX = 16
SIDES_PX = (10, 14)
TILT_DEGREES = 10.0


def placed_digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 digits of 8 x 8, each at its own spot, size and tilt in a black frame.

    As they are they fill their frames alike, and k-means on the pixels alone nearly sorts them;
    real photographs are not cut out like that. The placing is drawn once and for all.
    Returns (1797, 16, 16) uint8 and (1797,) int64, the digit.
    """
    digits = load_digits()
    random = np.random.default_rng(0)
    images = (digits.images * (255 / 16)).round().astype(np.uint8)
    return np.stack([_placed(image, random) for image in images]), digits.target.astype(np.int64)


def _placed(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(8, 8) uint8 -> (16, 16) uint8."""
    side = int(random.integers(SIDES_PX[0], SIDES_PX[1] + 1))
    tilt = random.uniform(-TILT_DEGREES, TILT_DEGREES)
    left, top = (int(start) for start in random.integers(0, FRAME_PX - side + 1, 2))
    frame = Image.new("L", (FRAME_PX, FRAME_PX))
    frame.paste(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC), (left, top))
    middle = (left + side / 2, top + side / 2)
    return np.asarray(frame.rotate(tilt, Image.Resampling.BICUBIC, center=middle))
