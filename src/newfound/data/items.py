"""What training and evaluation read from: decoded items by row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from newfound.batch import Media


@dataclass(frozen=True)
class Draw:
    """Which random clips training takes: a function of the seed and the epoch, from 1."""

    seed: int
    epoch: int


class Items(Protocol):
    """Decoded items by row, kept or streamed."""

    clips: int
    """How many clips of an item evaluation sees; 1 for images."""

    def batches(self, rows: Sequence[Tensor], draw: Draw | None = None) -> Iterator[Media]:
        """For each (B,) int64 tensor of rows what they hold, in order.

        Of videos, with `draw`: one clip of each item, B in all. Without, for evaluation: `clips`
        of each, evenly spread, B * clips in all, item after item.
        """
        ...
