"""Which pairs of items are taken for one category.

By Winner-Take-All hashing, Eq. 6 (section 3.2), or by a rival of Table 7.
"""

from typing import Generic, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from newfound.blocks import blocks

ROWS_AT_ONCE = 512
"""More rows than these are multiplied in blocks of so many, for half of the work."""


def wta_windows(size: int, hashes: int, window: int, generator: torch.Generator) -> Tensor:
    """The first k elements of H random permutations of the features; no more of them is used.

    Returns (H, k) int64 on the CPU, each row without repetition, values 0..size-1.
    """
    order = torch.rand(hashes, size, generator=generator).argsort(dim=1)
    windows: Tensor = order[:, :window].contiguous()
    return windows


def wta_agreement(features: Tensor, windows: Tensor) -> Tensor:
    """How many WTA codes each pair of items shares: the count inside Eq. 6.

    After ReLU, features are sparse, and a window may hold its greatest value more than once. The
    count is then the expected one if each item broke its ties at random, so that a window of
    zeros is worth the 1/k of chance and no evidence; without ties it is the paper's count.

    features: (M, d) floating.  windows: (H, k) int64 of `wta_windows`.  Returns (M, M) float32
    (float64 for float64 features), symmetric, between 0 and H, H on the diagonal.  Matrix
    products; memory O(M H k + M^2).  Call it outside autocast: bfloat16 cannot count to 512.
    """
    hashes, window = windows.shape
    dtype = torch.promote_types(features.dtype, torch.float32)
    values = features.detach().to(dtype).index_select(1, windows.flatten())
    codes = values.unflatten(1, (hashes, window))
    codes.eq_(codes.amax(dim=2, keepdim=True))  # in place, as more memory takes as long as this
    codes /= codes.sum(dim=2, keepdim=True)
    return _products(codes.flatten(1)).fill_diagonal_(hashes)


def _products(codes: Tensor) -> Tensor:
    """(M, n) -> (M, M), every row with every row; of many each pair of rows once."""
    if len(codes) <= ROWS_AT_ONCE:
        return codes @ codes.T
    products = codes.new_empty(len(codes), len(codes))
    for rows in blocks(len(codes), ROWS_AT_ONCE):
        torch.mm(codes[rows], codes[rows.start :].T, out=products[rows, rows.start :])
        products[rows.stop :, rows] = products[rows, rows.stop :].T
    return products


def same_top(features: Tensor, top: int) -> Tensor:
    """Ranking statistics: whether two items have the same set of `top` greatest features.

    Han et al., Automatically Discovering and Learning New Visual Categories with Ranking
    Statistics, ICLR 2020, section 3.2; here a row of Table 7.

    features: (M, d) floating, d >= top.  Returns (M, M) bool, symmetric, true on the diagonal.
    Where the last of them is tied, as among zeros, torch decides which is taken.
    """
    greatest = features.topk(top, dim=1).indices
    codes = torch.zeros(features.shape, device=features.device).scatter_(1, greatest, 1)
    return codes @ codes.T == top


def cosine_similarity(features: Tensor) -> Tensor:
    """The cosine of the angle between each pair of items; here a row of Table 7.

    features: (M, d) floating.  Returns (M, M) float32 (float64 for float64 features), detached,
    at most 1 and 1 exactly on the diagonal; an item of zeros has similarity 0 to all others.
    Call it outside autocast.
    """
    dtype = torch.promote_types(features.dtype, torch.float32)
    directions = F.normalize(features.detach().to(dtype), dim=1)
    similarity: Tensor = (directions @ directions.T).clamp(max=1)
    return similarity.fill_diagonal_(1)


def nearest_neighbours(features: Tensor, group: Tensor | None = None) -> Tensor:
    """Whether one of two items is the other's nearest neighbour by cosine; a row of Table 7.

    The paper does not say how; either way round suffices here, so that the pairs are symmetric as
    the other rules' are, and each item has a positive pair besides itself.

    features: (M, d) floating.  group: (M,), None = all one; neighbours are sought within an item's
    own group, so that `labels < 0` keeps the nearest of an unlabelled item from being a labelled
    one, a pair that no loss uses.  Returns (M, M) bool, symmetric, true on the diagonal. Of equally
    near ones torch decides which is taken. An item to which none is similar at all (cosine > 0), as
    one of zeros, has no nearest.  Call it outside autocast.
    """
    similarity = cosine_similarity(features).fill_diagonal_(0)
    if group is not None:
        similarity = similarity.where(group[:, None] == group, 0)
    nearest = similarity.topk(min(1, len(features)), dim=1).indices
    pairs = torch.zeros_like(similarity, dtype=torch.bool).scatter_(1, nearest, True)
    pairs &= similarity > 0
    return (pairs | pairs.T).fill_diagonal_(True)


def share_threshold(agreement: Tensor, rows: Tensor, share: float) -> Tensor:
    """The agreement that a given share of the pairs of different items reaches.

    agreement: (M, M).  rows: (M,) bool, the items whose pairs count.  share: 0..1.
    Returns 0-d; NaN if fewer than two rows count.
    """
    counted = _off_diagonal(rows)
    # What `nanquantile` does, which older torch refuses for more than 4,096 rows; NaN sorts last.
    rising = agreement.where(counted, torch.nan).flatten().sort().values
    place = ((counted.sum() - 1).to(agreement.dtype) * (1 - share)).clamp(min=0)
    around = torch.stack([place.floor(), place.ceil()]).long()
    below, above = rising.index_select(0, around).unbind()
    return torch.lerp(below, above, place - place.floor())


def follow_threshold(current: Tensor, batch: Tensor, momentum: float = 0.9) -> Tensor:
    """A running mean of the batches' thresholds, all 0-d; NaN is "none yet" on either side."""
    followed = torch.lerp(batch, current, momentum)
    return torch.where(current.isnan(), batch, torch.where(batch.isnan(), current, followed))


Count = TypeVar("Count", Tensor, float)


class PairCounts(NamedTuple, Generic[Count]):
    """Counts of ordered pairs of different items: 0-d tensors of a batch, or plain sums of them.

    `labelled_*` speak of pairs of labelled items, whose truth is ours to know.
    """

    unlabelled: Count
    unlabelled_positive: Count
    labelled: Count
    labelled_positive: Count
    labelled_same: Count
    labelled_same_positive: Count


def count_pairs(positive: Tensor, labels: Tensor) -> PairCounts[Tensor]:
    """What the pseudo-labels are like, and on labelled pairs how good they are.

    positive: (M, M) bool.  labels: (M,) int64, -1 = unlabelled.
    """
    unlabelled, labelled = _off_diagonal(labels < 0), _off_diagonal(labels >= 0)
    same = labelled & (labels[:, None] == labels)
    return PairCounts(
        unlabelled.sum(),
        (unlabelled & positive).sum(),
        labelled.sum(),
        (labelled & positive).sum(),
        same.sum(),
        (same & positive).sum(),
    )


def _off_diagonal(rows: Tensor) -> Tensor:
    """(M,) bool -> (M, M) bool: the pairs of different counted rows."""
    return (rows[:, None] & rows).fill_diagonal_(False)
