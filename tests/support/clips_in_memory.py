"""Made clips that lie in memory, in place of a folder of videos."""

from collections.abc import Iterator

import torch
from torch import Tensor

from newfound.batch import Media
from newfound.data.items import Draw


class ClipsInMemory:
    """Noise to see and to hear; every fifth item has no sound."""

    clips = 1

    def __init__(self, n_items: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        pixels = torch.randint(0, 256, (n_items, 3, 2, 16, 16), generator=generator)
        sound = torch.randint(-9999, 9999, (n_items, 8000), generator=generator)
        heard = torch.arange(n_items) % 5 != 0
        self.media = Media(pixels.byte(), sound.short() * heard[:, None], heard)

    def batches(self, rows: list[Tensor], draw: Draw | None = None) -> Iterator[Media]:  # noqa: ARG002
        """See `Items`."""
        return (self.media.select(batch) for batch in rows)
