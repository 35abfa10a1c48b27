"""A run's thumbnails as data URIs, so that a page needs no other file."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

JPEG_QUALITY = 80
SHEET_COLUMNS = 32


@dataclass(frozen=True, eq=False)
class InlinePictures:
    """Square thumbnails by the row of their item.

    rows: (m,) int64, unique.  pixels: (m, S, S, 3) uint8.
    """

    rows: np.ndarray
    pixels: np.ndarray

    def uris(self) -> dict[int, str]:
        """Every picture, by its row."""
        return {int(row): _jpeg_uri(pixels) for row, pixels in zip(self.rows, self.pixels)}

    def sheet(self, rows: Sequence[int]) -> str:
        """One image of the given rows' pictures, left to right, `SHEET_COLUMNS` to a line.

        A sheet costs a third of single images. S is a multiple of JPEG's 16-pixel blocks, so
        neighbours do not bleed into each other.
        """
        place = {int(row): position for position, row in enumerate(self.rows)}
        side = self.pixels.shape[1]
        lines = -(-len(rows) // SHEET_COLUMNS)
        sheet = np.zeros((lines, side, SHEET_COLUMNS, side, 3), dtype=np.uint8)
        for position, row in enumerate(rows):
            line, column = divmod(position, SHEET_COLUMNS)
            sheet[line, :, column] = self.pixels[place[row]]
        return _jpeg_uri(sheet.reshape(lines * side, SHEET_COLUMNS * side, 3))


def _jpeg_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
