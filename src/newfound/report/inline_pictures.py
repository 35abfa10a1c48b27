"""A run's thumbnails as data URIs, so that a page needs no other file."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

JPEG_QUALITY = 80
SHEET_COLUMNS = 32


@dataclass(frozen=True, eq=False)
class InlinePictures:
    """Thumbnails by the row of their item.

    rows: (m,) int64, unique.  pixels: (m, H, W, 3) uint8.  heard: (m,) bool, False for a video
    without sound, or None where sound is not shown.  links: (m,) str, URLs of the items' files,
    or None where they are not to be opened.
    """

    rows: np.ndarray
    pixels: np.ndarray
    heard: np.ndarray | None = None
    links: np.ndarray | None = None

    @property
    def height_by_width(self) -> float:
        """Of each picture."""
        height, width = self.pixels.shape[1:3]
        return float(height / width)

    def without_sound(self) -> set[int]:
        """Rows of the videos that have none."""
        return set() if self.heard is None else set(self.rows[~self.heard].tolist())

    def urls(self) -> dict[int, str]:
        """The URL of every item's file, by its row; nothing but files is linked to."""
        links = [] if self.links is None else self.links.tolist()
        return {
            int(row): link for row, link in zip(self.rows, links) if link.startswith("file:///")
        }

    def uris(self, rows: Iterable[int]) -> dict[int, str]:
        """The pictures of these rows that there are, by row."""
        place = {int(row): position for position, row in enumerate(self.rows)}
        return {row: _jpeg_uri(self.pixels[place[row]]) for row in set(rows) & place.keys()}

    def sheet(self, rows: Sequence[int]) -> str:
        """One image of the given rows' pictures, left to right, `SHEET_COLUMNS` to a line.

        A sheet costs a third of single images. H and W are multiples of JPEG's 16-pixel blocks,
        so neighbours do not bleed into each other.
        """
        place = {int(row): position for position, row in enumerate(self.rows)}
        height, width = self.pixels.shape[1:3]
        lines = -(-len(rows) // SHEET_COLUMNS)
        sheet = np.zeros((lines, height, SHEET_COLUMNS, width, 3), dtype=np.uint8)
        for position, row in enumerate(rows):
            line, column = divmod(position, SHEET_COLUMNS)
            sheet[line, :, column] = self.pixels[place[row]]
        return _jpeg_uri(sheet.reshape(lines * height, SHEET_COLUMNS * width, 3))


def _jpeg_uri(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
