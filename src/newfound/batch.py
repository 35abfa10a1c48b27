"""The nouns that everything passes around: Media, Batch, Seen, Outputs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

UNLABELLED = -1
"""The label of every unlabelled item, from the catalogue to the loss."""

UNLABELLED_AS_TEXT = ("-1", "-1.0")
"""What becomes of it among texts; the second in a table's column of floats."""


@dataclass(frozen=True)
class Media:
    """N decoded items, before any view of them is made.

    pixels: (N, C, S, S) uint8 of images, (N, 3, T, S, S) uint8 of clips, or None without
    pictures.  sound: (N, samples) int16 mono, or None without sound.  heard: (N,) bool, False
    where an item has no sound (its samples are 0); None exactly where `sound` is None.
    """

    pixels: Tensor | None
    sound: Tensor | None = None
    heard: Tensor | None = None

    def __post_init__(self) -> None:
        assert self.pixels is not None or self.sound is not None, "media of no modality"
        assert (self.heard is None) == (self.sound is None), "heard speaks of the sound"
        assert len({len(part) for part in self._parts()}) == 1, "every part has N rows"

    def __len__(self) -> int:
        return len(self._parts()[0])

    def to(self, device: torch.device, non_blocking: bool = False) -> "Media":
        """The same items on a device."""
        return self._each(lambda part: part.to(device, non_blocking=non_blocking))

    def pinned(self) -> "Media":
        """The same items in page-locked memory."""
        return self._each(Tensor.pin_memory)

    def select(self, rows: Tensor, pin: bool = False) -> "Media":
        """The items of these (B,) int64 rows, in their order. pin: in page-locked memory."""

        def chosen(part: Tensor) -> Tensor:
            at = rows.to(part.device, non_blocking=True)
            if not pin:
                return part.index_select(0, at)
            return torch.index_select(part, 0, at, out=_room_like(part, len(at), pin))

        return self._each(chosen)

    @classmethod
    def joined(cls, pieces: "Iterable[Media]", at_most: int, pin: bool = False) -> "Media | None":
        """The items of all pieces, one after another; None if there is no piece.

        Every piece has the same parts and is let go once it is copied.

        at_most: how many items there may be in all. Memory is taken once, for so many.  pin: in
        page-locked memory.
        """
        whole: Media | None = None
        n_items = 0
        for piece in pieces:
            if whole is None:
                whole = piece._each(lambda part: _room_like(part, at_most, pin))
            for part, of_whole in zip(piece._parts(), whole._parts(), strict=True):
                of_whole[n_items : n_items + len(piece)] = part
            n_items += len(piece)
        return None if whole is None else whole._each(lambda part: part[:n_items])

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Media":
        parts = (self.pixels, self.sound, self.heard)
        return Media(*(None if part is None else change(part) for part in parts))

    def _parts(self) -> list[Tensor]:
        return [part for part in (self.pixels, self.sound, self.heard) if part is not None]


def _room_like(part: Tensor, rows: int, pin: bool) -> Tensor:
    return torch.empty((rows, *part.shape[1:]), dtype=part.dtype, pin_memory=pin)


@dataclass(frozen=True)
class Batch:
    """N decoded items with what training knows of them.

    media: the items; where W processes share the batch, this one's N / W of them, every W-th.
    label: (N,) int64, 0..C_l-1 or -1 = unlabelled.  index: (N,) int64, rows of the catalogue.
    """

    media: Media
    label: Tensor
    index: Tensor


@dataclass(frozen=True)
class Seen:
    """What the network sees: M views of items.

    M = 2N in training, rows ordered [view 0 | view 1]; M = N in evaluation.

    pixels: (M, C, px, px) or (M, 3, T, px, px) float32, or None.  spectrogram: (M, 1, mels,
    frames) float32, or None.  heard: (M,) bool, False where an item has no sound; None = all.
    """

    pixels: Tensor | None = None
    spectrogram: Tensor | None = None
    heard: Tensor | None = None


@dataclass(frozen=True)
class Outputs:
    """What one forward pass gives for M views (Figure 1), rows ordered as in `Seen`.

    fused: (M, d) the shared representation z-bar.  contrast: z-hat by modality, "visual" and/or
    "audio", each (M, 128) of unit length.  known: (M, C_l) logits of phi_l.  novel: (M, C_u)
    logits of phi_u.  heard: (M,) bool, False where an item has no sound; None = all.
    """

    fused: Tensor
    contrast: dict[str, Tensor]
    known: Tensor
    novel: Tensor
    heard: Tensor | None = None

    def through(self, change: Callable[[Sequence[Tensor]], Sequence[Tensor]]) -> "Outputs":
        """With `change` made to all parts together, each (M, any) float32."""
        parts = [self.fused, *self.contrast.values(), self.known, self.novel]
        if self.heard is not None:
            parts.append(self.heard[:, None].float())
        fused, *rest = change(parts)
        heard = None if self.heard is None else rest.pop()[:, 0].bool()
        *contrast, known, novel = rest
        return Outputs(fused, dict(zip(self.contrast, contrast)), known, novel, heard)
