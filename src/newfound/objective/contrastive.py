"""Contrastive learning on labelled and unlabelled data together: Eqs. 1-3 (section 3.1.1).

Rows are ordered [view 0 | view 1]: row i and row i + N are two views of one item.
"""

import torch
from torch import Tensor


def pairwise_log_probabilities(embeddings: Tensor, temperature: float) -> Tensor:
    """What Eqs. 1 and 2 share: log of exp(z_i.z_q / tau) / sum_{n != i} exp(z_i.z_n / tau).

    embeddings: (2N, D) of unit length, floating.  Returns (2N, 2N) of the same dtype, row i the
    anchor; the diagonal, which is no pair, is 0.  Call it outside autocast.
    """
    itself = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    logits = embeddings @ embeddings.T / temperature
    return logits.masked_fill(itself, -torch.inf).log_softmax(dim=1).masked_fill(itself, 0)


def nce_instance(log_probabilities: Tensor) -> Tensor:
    """Eq. 1, NCE-I, per anchor: the positive is the item's other view.

    log_probabilities: (2N, 2N) of `pairwise_log_probabilities`.  Returns (2N,), each >= 0.
    """
    items = len(log_probabilities) // 2
    return -torch.cat([log_probabilities.diagonal(items), log_probabilities.diagonal(-items)])


def nce_category(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """Eq. 2, NCE-C, per anchor: the positives Q(i) are all other rows with the anchor's label.

    log_probabilities: (2N, 2N) of `pairwise_log_probabilities`.  labels: (2N,) int64, -1 =
    unlabelled.  Returns (2N,), each >= 0, and 0 where Q(i) is empty, as for unlabelled anchors.
    """
    positives = (labels[:, None] == labels) & (labels >= 0)[:, None]
    positives.fill_diagonal_(False)
    count = positives.sum(dim=1).clamp(min=1)
    return -(log_probabilities * positives).sum(dim=1) / count
