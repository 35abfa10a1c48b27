"""Images of any kind to uint8 squares: one path from a file or an array to pixels."""

import os
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from newfound.blocks import spread
from newfound.data.endings import other_kind_in_words
from newfound.data.source import Kind, Marked, UnreadableError
from newfound.data.stored import Stored, stored
from newfound.data.words import printable, reason_of
from newfound.errors import InputError, StoreError

MAX_PIXELS = 178_956_970
"""Images of more pixels are refused unread, as decompression bombs: Pillow's own limit."""

_NO_MARGIN_UP_TO = 64

_FULL_SCALES = tuple(float(2**bits - 1) for bits in (8, 10, 12, 14, 16))
"""The white of images by the bits that are used of each pixel, whatever the file keeps of it."""

_BRIGHTEST_FRACTION = 2.0
"""Images of floats that are all below this are of fractions, whose white is 1."""

_REASONS: dict[type[Exception], str] = {
    FileNotFoundError: "no such file",
    PermissionError: "permission denied",
    UnidentifiedImageError: "not an image that Pillow reads",
    Image.DecompressionBombError: f"more than {MAX_PIXELS:,} pixels, too large: make it smaller",
    MemoryError: "not enough memory to decode it",
}


class ImageSource(Marked, Protocol):
    """Images by row, wherever they lie. Rows count from 0."""

    kind: Kind

    def load(self, i: int, px: int, channels: int) -> Tensor:
        """(channels, S, S) uint8 with S = `decode_side(px)`. Raises UnreadableError, StoreError."""
        ...

    def shorter_side(self, i: int) -> int:
        """Pixels along the shorter side, without decoding. Raises UnreadableError, StoreError."""
        ...

    def stamps(self) -> NDArray[np.int64]:
        """(n,) numbers that change with an image's content: file sizes, or checksums."""
        ...

    def name(self, i: int) -> str:
        """Where image i lies, printable."""
        ...


class FileImages:
    """Images in files, of their own or within shards, in any format that Pillow reads."""

    kind: Kind = "images"

    def __init__(self, files: Stored | Iterable[str | bytes | os.PathLike[str]]) -> None:
        self.files = stored(files)

    def __len__(self) -> int:
        return len(self.files)

    def load(self, i: int, px: int, channels: int) -> Tensor:
        """See ImageSource."""
        with self._opened(i) as image:
            return upright_square(image, px, channels)

    def shorter_side(self, i: int) -> int:
        """See ImageSource."""
        with self._opened(i) as image:
            return min(image.size)

    def stamps(self) -> NDArray[np.int64]:
        """See ImageSource: sizes in bytes, -1 where there is no file."""
        return self.files.stamps()

    def marks(self) -> NDArray[np.uint64]:
        """See ImageSource."""
        return self.files.marks()

    def place(self) -> str:
        """See ImageSource."""
        return self.files.place()

    def name(self, i: int) -> str:
        """See ImageSource."""
        return self.files.name(i)

    def subset(self, rows: NDArray[np.int64]) -> "FileImages":
        """See ImageSource."""
        return FileImages(self.files.subset(rows))

    def path(self, i: int) -> str:
        """See Stored. Raises InputError for an image in a shard."""
        return self.files.path(i)

    @contextmanager
    def _opened(self, i: int) -> Iterator[Image.Image]:
        """An image with only its header read; what goes wrong raises UnreadableError."""
        with _readable(self.name(i)), self.files.open(i) as file, _header_read(file) as image:
            yield image


class ArrayImages:
    """Images in memory: (n, h, w) grey or (n, h, w, 3) RGB, uint8.

    Raises InputError for any other type or shape, and says how to convert it.
    """

    kind: Kind = "images"

    def __init__(self, pixels: NDArray[np.uint8]):
        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8:
            raise InputError(
                f"the pixels are {pixels.dtype}; give uint8, 0 to 255 (from floats in 0 to 1: "
                "(pixels * 255).round().astype('uint8'))"
            )
        is_grey = pixels.ndim == 3
        is_colour = pixels.ndim == 4 and pixels.shape[3] == 3
        if not (is_grey or is_colour) or 0 in pixels.shape[1:]:
            raise InputError(
                f"the pixels have the shape {pixels.shape}; give (n, h, w) for grey or "
                f"(n, h, w, 3) for colour{_shape_cure(pixels.shape)}"
            )
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def load(self, i: int, px: int, channels: int) -> Tensor:
        """See ImageSource; never raises."""
        return square_pixels(Image.fromarray(self.pixels[i]), decode_side(px), channels)

    def shorter_side(self, i: int) -> int:  # noqa: ARG002 - all are of one size
        """See ImageSource; never raises."""
        height, width = self.pixels.shape[1:3]
        return int(min(height, width))

    def stamps(self) -> NDArray[np.int64]:
        """See ImageSource: the CRC-32 of each image's pixels."""
        return np.array([zlib.crc32(image.tobytes()) for image in self.pixels], dtype=np.int64)

    def marks(self) -> NDArray[np.uint64]:
        """See ImageSource: all 0."""
        return np.zeros(len(self), dtype=np.uint64)

    def place(self) -> str:
        """See ImageSource: none."""
        return ""

    def name(self, i: int) -> str:
        """See ImageSource: its number alone."""
        return f"image {i}"

    def subset(self, rows: NDArray[np.int64]) -> "ArrayImages":
        """See ImageSource."""
        return ArrayImages(self.pixels[rows])


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """What goes wrong with an image raises UnreadableError, and nothing is warned of.

    What its store does not give says nothing of the image.  path: where it lies, for the error.
    """
    try:
        # Pillow warns of odd metadata, and of sizes that `_header_read` judges itself.
        with warnings.catch_warnings(action="ignore"):
            yield
    except StoreError:
        raise
    except Exception as error:  # Pillow's parsers raise nearly anything on damaged files
        raise UnreadableError(reason_of(error, _REASONS), printable(path)) from error


def _header_read(file: IO[bytes]) -> Image.Image:
    """An image with only its header read. Raises what `_readable` can put in words."""
    image = Image.open(file)
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise Image.DecompressionBombError
    return image


def decode_side(px: int) -> int:
    """Side of the decoded square for a network that sees `px` pixels.

    Large images keep the usual margin (256 for 224) for the centre crop of evaluation; up to
    64 pixels nothing can be spared, and the square is what the network sees.
    """
    return px if px <= _NO_MARGIN_UP_TO else round(px * 256 / 224)


def upright_square(image: Image.Image, px: int, channels: int) -> Tensor:
    """(channels, S, S) uint8 with S = `decode_side(px)`, of an image with only its header read."""
    side = decode_side(px)
    # Lets a JPEG be decoded at 1/2, 1/4 or 1/8 when that is still ample.
    image.draft(None, (2 * side, 2 * side))
    return square_pixels(ImageOps.exif_transpose(image), side, channels)


def square_pixels(image: Image.Image, side: int, channels: int) -> Tensor:
    """(channels, side, side) uint8: the shorter side resized to `side`, centre cropped.

    Bicubic, with antialiasing when shrinking. channels: 3 = RGB, 1 = grey.
    """
    eight_bits = to_eight_bits(image, "RGB" if channels == 3 else "L")
    square = ImageOps.fit(eight_bits, (side, side), Image.Resampling.BICUBIC)
    pixels: Tensor = pil_to_tensor(square)
    return pixels.contiguous()


def to_eight_bits(image: Image.Image, mode: str) -> Image.Image:
    """Any mode of Pillow's as "RGB" or "L"; what is transparent becomes white."""
    if image.mode == "F" or image.mode.startswith("I"):
        image = _scaled_to_eight_bits(image)
    if image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
        assert converted is not None
        image = converted
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def image_sides(source: ImageSource, sample: int = 64) -> float:
    """Median shorter side in pixels of up to `sample` images spread over the source.

    Reads headers only. Raises InputError if none of the sample can be read.
    """
    sides = []
    errors = []
    for i in spread(len(source), sample).tolist():
        try:
            sides.append(source.shorter_side(i))
        except UnreadableError as error:
            errors.append(error)
    if not sides:
        raise InputError(
            f"none of the images can be read; the last one tried: {errors[-1]}"
            f"{other_kind_in_words([error.path for error in errors], source.kind)}"
        )
    return float(np.median(sides))


def all_grey(source: ImageSource) -> bool:
    """Whether up to 64 readable images spread over the source have no colour."""
    return not any(_has_colour(source, i) for i in spread(len(source), 64).tolist())


def _has_colour(source: ImageSource, i: int) -> bool:
    try:
        red, green, blue = source.load(i, 32, 3)
    except UnreadableError:
        return False
    return not (torch.equal(red, green) and torch.equal(green, blue))


def _scaled_to_eight_bits(image: Image.Image) -> Image.Image:
    """Grey images of 16 or 32 bits or of floats as "L", scaled to 0-255, not clipped.

    White is the least usual full scale (1 for floats, else that of 8, 10, 12, 14 or 16 bits) that
    holds the brightest pixel. It is the brightest pixel itself beyond those, for floats a little
    above 1, as resampling leaves them, and where there are negative pixels, of which the least
    becomes black. Each image is scaled by itself: of two the darker may
    become the brighter one, if fewer bits can hold it.
    """
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("its pixels are not finite numbers")
    darkest, brightest = min(float(values.min()), 0.0), float(values.max())
    white = brightest - darkest
    is_fraction = image.mode == "F" and brightest < _BRIGHTEST_FRACTION
    if darkest == 0:
        usual = (1.0,) if is_fraction else _FULL_SCALES
        white = next((scale for scale in usual if brightest <= scale), white)
    scaled = (values - darkest) * (255 / (white or 1.0))  # 0 where all is of one negative value
    return Image.fromarray(scaled.round().astype(np.uint8))


def _shape_cure(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return " (of one image: pixels[None])"
    if len(shape) == 4 and shape[1] == 3:
        return " (channels last: pixels.transpose(0, 2, 3, 1))"
    if len(shape) == 4 and shape[3] == 1:
        return " (drop the last axis: pixels[..., 0])"
    if len(shape) == 4 and shape[1] == 1:
        return " (drop the second axis: pixels[:, 0])"
    if len(shape) == 4 and shape[3] == 4:
        return " (drop the transparency: pixels[..., :3])"
    return ""
