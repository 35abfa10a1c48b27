"""The joint learning objective: Eqs. 7-10 (sections 3.2 and 3.3)."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from newfound.batch import Outputs
from newfound.objective.contrastive import ModalityPairs, contrastive_losses

CLAMP = 1e-6
"""Probabilities of pairs stay this far from 0 and 1, so that neither logarithm of Eq. 8 is steep
without bound; clamping the logarithm alone would leave its gradient."""


class JointLosses(NamedTuple):
    """The terms of Eq. 10, unweighted, and their weighted sum; each 0-d float32 on the device."""

    total: Tensor
    ce: Tensor
    bce: Tensor
    nce_instance: Tensor
    nce_category: Tensor
    mse: Tensor


def ramp(epoch: float, epochs: int, scale: float, length: float = 1.0) -> float:
    """omega(r) = lambda exp(-5 (1 - r/T)^2) of Eq. 10: from near 0 to `scale` at r = T.

    length: the share of the epochs after which it stays at `scale`; T itself in the paper, less
    in AutoNovel's and DTC's code.
    """
    return scale * math.exp(-5 * (1 - min(epoch / (length * epochs), 1)) ** 2)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over the rows with a label: 0-d; 0 if there are none.

    logits: (M, C).  labels: (M,) int64, -1 = unlabelled.
    """
    total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def pairwise_bce(p: Tensor, q: Tensor, positive: Tensor, rows: Tensor) -> Tensor:
    """Eqs. 7-8: binary cross-entropy of p_i . q_j against the pseudo-labels s_ij.

    With p from view 0 and q from view 1 the diagonal makes the two views a positive pair.

    p, q: (M, C_u) probabilities.  positive: (M, M) bool.  rows: (M,) bool, the unlabelled ones,
    whose pairs, the diagonal included, are averaged over.  Returns 0-d; 0 if there are none.
    Call it outside autocast: in bfloat16 the clamp is lost.
    """
    same = (p @ q.T).clamp(CLAMP, 1 - CLAMP)
    terms = -torch.where(positive, same.log(), (-same).log1p())
    return terms.where(rows[:, None] & rows, 0).sum() / rows.sum().square().clamp(min=1)


def consistency(known: Tensor, novel: Tensor, labels: Tensor) -> Tensor:
    """Eq. 9: squared difference of the two views' predictions, summed over classes, mean over N.

    known: (2N, C_l) and novel: (2N, C_u) probabilities.  labels: (N,); phi_l speaks for the
    labelled items, phi_u for the unlabelled ones.  Returns 0-d.
    """
    by_known, by_novel = (
        torch.sub(*probabilities.chunk(2)).square().sum(dim=1) for probabilities in (known, novel)
    )
    return torch.where(labels >= 0, by_known, by_novel).mean()


def joint_loss(
    outputs: Outputs,
    labels: Tensor,
    positive: Tensor,
    *,
    omega: float,
    temperature: float,
    ce_weight: float = 1.0,
    bce_weight: float = 1.0,
    instance_weight: float = 1.0,
    category_weight: float = 1.0,
    consistency_weight: float = 1.0,
    same_view_pairs: bool = False,
    instance_pairs: ModalityPairs = "within",
    category_pairs: ModalityPairs = "within",
    positive_in_denominator: bool = False,
) -> JointLosses:
    """Eq. 10 and its terms.

    outputs: both views, rows [view 0 | view 1].  labels: (N,) int64, -1 = unlabelled.
    positive: (N, N) bool, the pseudo-labels s_ij of Eq. 6; only unlabelled pairs are used.
    omega: `ramp` of the epoch, at most 1.  Every weight at 0 removes its term (Table 3).
    instance_pairs, category_pairs: the modalities of NCE-I and NCE-C (Table 4), and
    positive_in_denominator: how Eqs. 4-5 are read, as in `contrastive_losses`.
    A batch may lack labelled or unlabelled items: the terms on them are then 0.
    """
    both = labels.repeat(2)
    unlabelled = labels < 0

    ce = cross_entropy(outputs.known, both)

    known, novel = outputs.known.softmax(dim=1), outputs.novel.softmax(dim=1)
    p, q = novel.chunk(2)
    bce = pairwise_bce(p, p if same_view_pairs else q, positive, unlabelled)

    instance, category = contrastive_losses(
        outputs.contrast,
        both,
        outputs.heard,
        temperature=temperature,
        instance_pairs=instance_pairs,
        category_pairs=category_pairs,
        positive_in_denominator=positive_in_denominator,
    )
    contrastive = instance_weight * instance + category_weight * category  # Eq. 3

    mse = consistency(known, novel, labels)

    total = (
        ce_weight * ce
        + bce_weight * bce
        + (1 - omega) * contrastive
        + omega * consistency_weight * mse
    )
    return JointLosses(total, ce, bce, instance, category, mse)
