"""The nouns that everything passes around: Batch, Outputs, Losses."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

UNLABELLED = -1
"""The label of every unlabelled item, from the catalogue to the loss."""


@dataclass(frozen=True)
class Batch:
    """N decoded items, before any view of them is made.

    pixels: (N, C, S, S) uint8.  label: (N,) int64, 0..C_l-1 or -1 = unlabelled.
    index: (N,) int64, rows of the catalogue.
    """

    pixels: Tensor
    label: Tensor
    index: Tensor


@dataclass(frozen=True)
class Outputs:
    """What one forward pass gives for both views, rows ordered [view 0 | view 1] (Figure 1).

    fused: (2N, d) the shared representation z-bar.  contrast: (2N, 128) z-hat, unit length.
    known: (2N, C_l) logits of phi_l.  novel: (2N, C_u) logits of phi_u.
    """

    fused: Tensor
    contrast: Tensor
    known: Tensor
    novel: Tensor


@dataclass(frozen=True)
class Losses:
    """The terms of Eq. 10, unweighted, and their weighted sum; each 0-d float32 on the device."""

    total: Tensor
    ce: Tensor
    bce: Tensor
    nce_instance: Tensor
    nce_category: Tensor
    mse: Tensor

    def stacked(self) -> Tensor:
        """(6,) float32, detached, in the order of `names()`."""
        return torch.stack([getattr(self, name).detach().float() for name in self.names()])

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The terms' names, `total` first."""
        return tuple(field.name for field in fields(cls))
