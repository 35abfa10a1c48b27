"""The textbook forms of what newfound computes by matrix products: clear, and dear.

Every pair of rows is enumerated, as published code of the field does, in tensors of (M, M, d). Of
the M anchors only the first `n` may be compared, with all M rows: a part of the work where the
whole is too much.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def wta_codes(features: Tensor, windows: Tensor) -> Tensor:
    """(M, d) floating and (H, k) int64 -> (M, H) int64: where each window has its greatest."""
    return features[:, windows].argmax(dim=2)


def equal_codes(codes: Tensor, n: int) -> Tensor:
    """(M, H) -> (n, M) int64: how many codes each pair shares, Eq. 6."""
    return (codes[:n, None] == codes).sum(dim=2)


def ranked(features: Tensor) -> Tensor:
    """(M, d) -> (M, d) int64: the features' numbers, greatest first."""
    return features.argsort(dim=1, descending=True)


def equal_tops(order: Tensor, n: int, top: int) -> Tensor:
    """(M, d) int64 -> (n, M) bool: whether a pair has the same greatest features.

    As AutoNovel's code does (`PairEnum` in its `utils/util.py`, then `auto_novel.py`): either
    item's ranks are repeated for every pair before the first few of them are taken.
    """
    rows, size = order.shape
    first = order.repeat(n, 1)
    second = order[:n].repeat(1, rows).view(-1, size)
    first, second = (ranks[:, :top].sort(dim=1).values for ranks in (first, second))
    return ((first - second).abs().sum(dim=1) == 0).view(n, rows)


def cosines(features: Tensor, n: int) -> Tensor:
    """(M, d) -> (n, M): the cosine of each pair."""
    return F.cosine_similarity(features[:n, None], features, dim=2)


def nearest(features: Tensor, n: int) -> Tensor:
    """(M, d) -> (n, M) bool: each anchor's nearest other row, by cosine."""
    similarity = cosines(features, n).fill_diagonal_(-torch.inf)
    return F.one_hot(similarity.argmax(dim=1), len(features)).bool()


def nce(
    anchors: Tensor, others: Tensor, labels: Tensor, temperature: float, across: bool = False
) -> tuple[Tensor, Tensor]:
    """NCE-I and NCE-C, Eqs. 1-2 (`across`: 4-5, with n = i in the sum): exp, sum, log, mean.

    anchors, others: (2N, D) of unit length, rows [view 0 | view 1].  labels: (2N,), -1 =
    unlabelled.
    """
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    exponentials = (anchors @ others.T / temperature).exp()
    summed = exponentials if across else exponentials.masked_fill(own, 0)
    log_ratios = (exponentials / summed.sum(dim=1, keepdim=True)).log()
    positive = own if across else own.roll(len(labels) // 2, dims=1)
    instance = -log_ratios[positive].mean()
    same = (labels[:, None] == labels) & (labels >= 0)[:, None] & ~own
    category = -(log_ratios * same).sum(dim=1) / same.sum(dim=1).clamp(min=1)
    return instance, category.mean()
