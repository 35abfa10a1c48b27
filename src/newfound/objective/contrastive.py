"""Contrastive learning on labelled and unlabelled data together: Eqs. 1-5 (section 3.1).

Rows are ordered [view 0 | view 1]: row i and row i + N are two views of one item. Eqs. 4 and 5
take the anchors from one modality, g0, and what they are compared with from one, g1; with the
same embeddings for both they are Eqs. 1 and 2.
"""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from newfound.batch import UNLABELLED

ANCHORS_AT_ONCE = 4096
"""More anchors than these are compared in blocks of so many, to bound memory."""

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
        takes_part = heard if "audio" in (g0, g1) else None
        of_instance, of_category = nce_of_anchors(
            contrast[g0],
            contrast[g1],
            labels,
            takes_part,
            temperature=temperature,
            across=across,
            own_in_sum=across and positive_in_denominator,
        )
        if (g0, g1) in instance_modalities:
            instance = instance + _mean(of_instance, takes_part)
        if (g0, g1) in category_modalities:
            category = category + _mean(of_category, takes_part)
    return instance, category


def nce_of_anchors(
    anchors: Tensor,
    others: Tensor,
    labels: Tensor,
    takes_part: Tensor | None = None,
    *,
    temperature: float,
    across: bool = False,
    own_in_sum: bool = False,
) -> tuple[Tensor, Tensor]:
    """NCE-I and NCE-C of every anchor: Eqs. 1 and 2, or across modalities Eqs. 4 and 5.

    The positive of NCE-I is the item's other view, or across modalities the same row in the other
    one. Those of NCE-C, Q(i), are all other rows with the anchor's label; i itself is none, in the
    other modality either.

    anchors, others: (M, D) of unit length, floating, g0 and g1.  labels: (M,) int64, -1 =
    unlabelled.  takes_part: (M,) bool, the rows that there are, alike for both views of an item;
    None = all.  own_in_sum: whether n = i is in the sum of the denominator; a positive outside it
    is compared with the sum all the same.  Returns twice (M,), 0 for anchors that take no part or
    have an empty sum, NCE-C also where Q(i) is empty, as for all unlabelled ones.

    Memory O(M^2), and for more than `ANCHORS_AT_ONCE` anchors O(M) for each of so many: what the
    gradient needs of the others is then computed again.
    """
    if takes_part is None:
        takes_part = torch.ones_like(labels, dtype=torch.bool)
    labels = labels.where(takes_part, UNLABELLED)
    of_rows = partial(
        _nce,
        others=others,
        labels=labels,
        takes_part=takes_part,
        temperature=temperature,
        across=across,
        own_in_sum=own_in_sum,
    )
    blocks = torch.arange(len(labels), device=labels.device).split(ANCHORS_AT_ONCE)
    if len(blocks) == 1:
        return of_rows(anchors, blocks[0])
    of_blocks = [
        checkpoint(
            of_rows,
            anchors.index_select(0, rows),
            rows,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for rows in blocks
    ]
    instance, category = (torch.cat(parts) for parts in zip(*of_blocks))
    return instance, category


def _nce(
    anchors: Tensor,
    rows: Tensor,
    *,
    others: Tensor,
    labels: Tensor,
    takes_part: Tensor,
    temperature: float,
    across: bool,
    own_in_sum: bool,
) -> tuple[Tensor, Tensor]:
    """`nce_of_anchors` for the anchors of some rows, (A,) int64."""
    own = rows[:, None]
    not_summed = (~takes_part).repeat(len(rows), 1)
    if not own_in_sum:
        not_summed.scatter_(1, own, True)
    has_sum = ~not_summed.all(dim=1)
    counts = has_sum & takes_part[rows]

    logits = (anchors @ others.T).div_(temperature)
    # An empty sum is left as it is: the gradient of its logarithm would be NaN, masked or not.
    logits.masked_fill_(not_summed & has_sum[:, None], -torch.inf)
    log_sum = logits.logsumexp(dim=1)

    partner = rows if across else (rows + len(labels) // 2) % len(labels)
    to_partner = (anchors * others.index_select(0, partner)).sum(dim=1) / temperature
    instance = (log_sum - to_partner).where(counts, 0)

    in_q = (labels[rows, None] == labels) & (labels[rows, None] >= 0)
    in_q.scatter_(1, own, False)
    size = in_q.sum(dim=1)
    to_q = logits.where(in_q, 0).sum(dim=1) / size.clamp(min=1)
    category = (log_sum - to_q).where(counts & (size > 0), 0)
    return instance, category


def _selected(pairs: ModalityPairs, contrast: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """The modalities (g0, g1) that are compared."""
    if pairs == "within":
        return [(modality, modality) for modality in contrast]
    if pairs == "off":
        return []
    if "visual" not in contrast or "audio" not in contrast:
        raise ValueError(
            f"pairs are {pairs!r}, but the only modality is {', '.join(contrast)}; give 'within' "
            "or 'off'"
        )
    return [("visual", "audio")]


def _mean(per_anchor: Tensor, takes_part: Tensor | None) -> Tensor:
    """Over the anchors that take part; those that do not are 0 already."""
    if takes_part is None:
        return per_anchor.mean()
    return per_anchor.sum() / takes_part.sum().clamp(min=1)
