"""RotNet: self-supervised pretraining of RS and DTC, by telling how far an image is turned.

Gidaris, Singh, Komodakis. Unsupervised Representation Learning by Predicting Image Rotations.
ICLR 2018. Each item is seen four times, turned counter-clockwise by 0, 90, 180 and 270 degrees:

    L = -1/(4N) sum_i sum_r log F(turned(x_i, r))_r

the cross-entropy of `rotation_labels`.

What differs from the authors' code (AutoNovel's), and why:
- Rows are ordered by rotation, not by item: one concatenation. Loss and BatchNorm do not see it.
- The last epoch is kept; theirs is the best by accuracy on test images.
- Clips are turned too, all frames alike, for the rows of videos.
"""

import torch
from torch import Tensor


def four_rotations(pixels: Tensor) -> Tensor:
    """Every item turned by [0 | 90 | 180 | 270] degrees counter-clockwise.

    pixels: (N, C, S, S) of images or (N, C, T, S, S) of clips, any dtype.  Returns (4N, ...),
    row i + r N is item i turned by r quarters.
    """
    return torch.cat([pixels.rot90(quarters, dims=(-2, -1)) for quarters in range(4)])


def rotation_labels(items: int, device: torch.device | None = None) -> Tensor:
    """The quarters by which the rows of `four_rotations` of N items are turned: (4N,) int64."""
    return torch.arange(4, device=device).repeat_interleave(items)
