"""RS and RS w/ LL: AutoNovel's joint training, rows (5) and (6) of Table 1.

Han, Rebuffi, Ehrhardt, Vedaldi, Zisserman. Automatically Discovering and Learning New Visual
Categories with Ranking Statistics. ICLR 2020. With N items in two views, M of them unlabelled:

    L = CE + BCE + w(r) MSE
    CE   = -1/(N - M) sum_i log phi_l(x_i)_{y_i}, over labelled i
    BCE  = -1/M^2 sum_ij s_ij log p_i . q_j + (1 - s_ij) log(1 - p_i . q_j), over unlabelled i, j,
           p = phi_u(x), q = phi_u(x'), s_ij = 1 where the *sets* of the k = 5 greatest features of
           x_i and x_j are equal: `objective.pairs.same_top`
    MSE  = mean over N C_l elements of (phi_l(x) - phi_l(x'))^2, and the same of phi_u; all items

LL, incremental learning: phi_l is widened to C_l + C_u outputs and also learns, by cross-entropy,
to give unlabelled x_i the category C_l + argmax phi_u(x_i).

What differs from the authors' code, and why:
- BCE keeps p . q within 1e-6 of 0 and 1 where theirs adds 1e-7 inside each logarithm. It is the
  function of our own Eqs. 7-8: one pairwise loss for all methods, which the tests hold to loops.
- Both views go through the network in one pass, with one BatchNorm statistic; theirs in two.
- The network is torchvision's ResNet-18; theirs shortcuts by average pooling and zeros.
- The ramp counts epochs from 1, and reaches its end in the epoch that says so; theirs from 0.
- Weak views shift by whole pixels with reflection in all stages; theirs pad with zeros in the first
  two stages, and but for CIFAR-10 in the third.
- A batch may lack labelled or unlabelled items: the terms on them are then 0, and theirs NaN.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from newfound.objective.joint import cross_entropy, pairwise_bce

PSEUDO_LABEL_WEIGHT = 0.05
"""Weight of `pseudo_label_loss` once the ramp is at 1, as in the authors' code."""


class RankingStatisticsLosses(NamedTuple):
    """The terms, unweighted, and their weighted sum; each 0-d.

    pseudo_label is 0 without LL.
    """

    total: Tensor
    ce: Tensor
    bce: Tensor
    mse: Tensor
    pseudo_label: Tensor


def rs_loss(
    known: Tensor,
    novel: Tensor,
    labels: Tensor,
    positive: Tensor,
    *,
    consistency_weight: float,
    pseudo_label_weight: float | None = None,
) -> RankingStatisticsLosses:
    """L of RS; with a pseudo_label_weight, that of RS w/ LL.

    known: (2N, C_l) logits, with LL (2N, C_l + C_u), and novel: (2N, C_u), rows [view 0 | view 1].
    labels: (N,) int64, -1 = unlabelled.  positive: (N, N) bool, s_ij; only unlabelled pairs are
    used.  consistency_weight: w of the epoch.  pseudo_label_weight: `PSEUDO_LABEL_WEIGHT` by the
    ramp of the epoch; None = without LL.  Call it outside autocast.
    """
    unlabelled = labels < 0
    ce = cross_entropy(known[: len(labels)], labels)
    p, q = novel.softmax(dim=1).chunk(2)
    bce = pairwise_bce(p, q, positive, unlabelled)
    mse = rs_consistency(known) + rs_consistency(novel)
    total = ce + bce + consistency_weight * mse
    pseudo_label = torch.zeros_like(ce)
    if pseudo_label_weight is not None:
        pseudo_label = pseudo_label_loss(known, novel, labels)
        total = total + pseudo_label_weight * pseudo_label
    return RankingStatisticsLosses(total, ce, bce, mse, pseudo_label)


def rs_consistency(logits: Tensor) -> Tensor:
    """Mean over N C elements of the squared difference between two views' probabilities.

    logits: (2N, C), rows [view 0 | view 1]; both are taught.  Returns 0-d.
    """
    first, second = logits.softmax(dim=1).chunk(2)
    return F.mse_loss(first, second)


def pseudo_label_loss(known: Tensor, novel: Tensor, labels: Tensor) -> Tensor:
    """LL: cross-entropy of the widened phi_l against what phi_u says of unlabelled items.

    Of view 0 alone; phi_u is not taught.

    known: (2N, C_l + C_u) and novel: (2N, C_u) logits.  labels: (N,) int64, -1 = unlabelled.
    Returns 0-d, unweighted; 0 if no item is unlabelled.
    """
    first_novel = known.shape[1] - novel.shape[1]
    pseudo_labels = novel[: len(labels)].argmax(dim=1) + first_novel
    return cross_entropy(known[: len(labels)], pseudo_labels.where(labels < 0, -1))


def widened_head(linear: nn.Linear, novel: int, generator: torch.Generator) -> nn.Linear:
    """LL: phi_l with C_u more outputs, which it begins by giving less than any it knows.

    The old weights and biases are kept. The new biases are the least old one - 1; the new weights
    are uniform, as `nn.Linear` draws them, from the generator, one of the CPU.  The new layer has
    the device and dtype of the old one and shares no memory with it.
    """
    known, size = linear.weight.shape
    weight = torch.empty(novel, size)
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    widened: nn.Linear = nn.utils.skip_init(
        nn.Linear, size, known + novel, device=linear.weight.device, dtype=linear.weight.dtype
    )
    with torch.no_grad():
        widened.weight.copy_(torch.cat([linear.weight, weight.to(linear.weight)]))
        least = (linear.bias.min() - 1).expand(novel)
        widened.bias.copy_(torch.cat([linear.bias, least]))
    return widened
