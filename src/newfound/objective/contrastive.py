"""Contrastive learning on labelled and unlabelled data together: Eqs. 1-5 (section 3.1).

Rows are ordered [view 0 | view 1]: row i and row i + N are two views of one item. Eqs. 4 and 5
take the anchors from one modality, g0, and what they are compared with from one, g1; with the
same embeddings for both they are Eqs. 1 and 2.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from newfound.batch import UNLABELLED

ModalityPairs = Literal["within", "cross", "off"]
"""Which modalities are compared: each with itself, visual anchors with audio, or none."""


def contrastive_losses(
    contrast: Mapping[str, Tensor],
    labels: Tensor,
    heard: Tensor | None = None,
    *,
    temperature: float,
    instance_pairs: ModalityPairs = "within",
    category_pairs: ModalityPairs = "within",
    positive_in_denominator: bool = False,
) -> tuple[Tensor, Tensor]:
    """NCE-I and NCE-C of a batch, each the mean over its anchors, summed over modality pairs.

    contrast: by modality, "visual" and/or "audio", (2N, D) of unit length, floating.  labels:
    (2N,) int64, -1 = unlabelled.  heard: (2N,) bool, None = all; rows without sound are left out
    of every comparison that involves audio: as anchors, as positives and in denominators.
    positive_in_denominator: whether an anchor's own row of the other modality, the positive of
    its Eq. 4, is a term of its sum over n; read literally, n != i leaves it out.

    With one modality and the defaults these are the two halves of Eq. 3. A sum over nothing is
    0 and teaches nothing. Raises ValueError for "cross" without both modalities. Call it outside
    autocast.
    """
    instance_modalities = _selected(instance_pairs, contrast)
    category_modalities = _selected(category_pairs, contrast)
    instance = category = torch.zeros((), device=labels.device)
    for g0, g1 in dict.fromkeys(instance_modalities + category_modalities):
        across = g0 != g1
        exclude = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        if across and positive_in_denominator:
            exclude.zero_()
        takes_part = torch.ones_like(labels, dtype=torch.bool)
        if heard is not None and "audio" in (g0, g1):
            takes_part = heard
        log_probabilities = pairwise_log_probabilities(
            contrast[g0],
            contrast[g1],
            exclude=exclude,
            takes_part=takes_part,
            temperature=temperature,
        )
        if (g0, g1) in instance_modalities:
            per_anchor = nce_instance(log_probabilities, across)
            instance = instance + _mean(per_anchor, takes_part)
        if (g0, g1) in category_modalities:
            per_anchor = nce_category(log_probabilities, labels.where(takes_part, UNLABELLED))
            category = category + _mean(per_anchor, takes_part)
    return instance, category


def pairwise_log_probabilities(
    anchors: Tensor, others: Tensor, *, exclude: Tensor, takes_part: Tensor, temperature: float
) -> Tensor:
    """What Eqs. 1, 2, 4 and 5 share: log of exp(g0_i . g1_q / tau) / sum_n exp(g0_i . g1_n / tau).

    anchors, others: (M, D) of unit length, floating, g0 and g1.  exclude: (M, M) bool, the n
    that have no place in the sum of anchor i.  takes_part: (M,) bool, the rows that there are,
    alike for both views of an item.  Returns (M, M) of the same dtype, row i the anchor; an
    excluded q is compared with the sum without it; 0 for pairs with a row that takes no part,
    and for anchors whose sum is empty.
    """
    pairs = takes_part[:, None] & takes_part
    summed = pairs & ~exclude
    has_sum = summed.any(dim=1, keepdim=True)
    logits = anchors @ others.T / temperature
    terms = logits.masked_fill(~summed & has_sum, -torch.inf)
    excluded = logits - terms.logsumexp(dim=1, keepdim=True)
    return torch.where(summed, terms.log_softmax(dim=1), excluded).where(pairs & has_sum, 0)


def nce_instance(log_probabilities: Tensor, across: bool = False) -> Tensor:
    """Eq. 1, or Eq. 4 across modalities, NCE-I, per anchor.

    The positive is the item's other view, or across modalities the same row in the other one.

    log_probabilities: (2N, 2N) of `pairwise_log_probabilities`.  Returns (2N,), each >= 0 if the
    positive is in its own denominator, as within a modality it always is.
    """
    if across:
        return -log_probabilities.diagonal()
    items = len(log_probabilities) // 2
    return -torch.cat([log_probabilities.diagonal(items), log_probabilities.diagonal(-items)])


def nce_category(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """Eq. 2, or Eq. 5 across modalities, NCE-C, per anchor.

    The positives Q(i) are all other rows with the anchor's label; i itself is none, in the other
    modality either.

    log_probabilities: (2N, 2N) of `pairwise_log_probabilities`.  labels: (2N,) int64, -1 =
    unlabelled, or taking no part.  Returns (2N,), each >= 0, and 0 where Q(i) is empty, as for
    unlabelled anchors.
    """
    positives = (labels[:, None] == labels) & (labels >= 0)[:, None]
    positives.fill_diagonal_(False)
    count = positives.sum(dim=1).clamp(min=1)
    return -(log_probabilities * positives).sum(dim=1) / count


def _selected(pairs: ModalityPairs, contrast: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """The modalities (g0, g1) that are compared."""
    if pairs == "within":
        return [(modality, modality) for modality in contrast]
    if pairs == "off":
        return []
    if not {"visual", "audio"} <= contrast.keys():
        raise ValueError(
            f"pairs are {pairs!r}, but the only modality is {', '.join(contrast)}; give 'within' "
            "or 'off'"
        )
    return [("visual", "audio")]


def _mean(per_anchor: Tensor, takes_part: Tensor) -> Tensor:
    """Over the anchors that take part; those that do not are 0 already."""
    return per_anchor.sum() / takes_part.sum().clamp(min=1)
