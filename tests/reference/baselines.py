"""The baselines' equations as nested loops over float64 scalars, as in `equations`.

Each is written as its paper, or the authors' code, has it, pair by pair. Rows of two views are
ordered [view 0 | view 1].
"""

import torch
from torch import Tensor

from reference.equations import UNLABELLED, dot, softmax

ADDED = 1e-7
"""KCL's epsilon."""


def zero() -> Tensor:
    return torch.zeros((), dtype=torch.float64)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """a . b / (|a| |b|), and 0 if either is 0."""
    lengths = torch.sqrt(dot(a, a)) * torch.sqrt(dot(b, b))
    return dot(a, b) / lengths if lengths > 0 else zero()


def nearest_neighbour(features: Tensor, group: list[int], i: int) -> int | None:
    """The other row of i's group of the greatest cosine above 0."""
    best, nearest = 0.0, None
    for j in range(len(features)):
        if j != i and group[j] == group[i] and cosine(features[i], features[j]) > best:
            best, nearest = float(cosine(features[i], features[j])), j
    return nearest


def first_view_cross_entropy(logits: Tensor, labels: list[int]) -> Tensor:
    """RS: -log phi(x)_y, the mean over view 0 of the items with a label; 0 for none."""
    total, n_rows = zero(), 0
    for i in range(len(labels)):
        if labels[i] != UNLABELLED:
            total = total - torch.log(softmax(logits[i])[labels[i]])
            n_rows += 1
    return total / n_rows if n_rows else total


def elementwise_consistency(logits: Tensor) -> Tensor:
    """RS: the mean over items and classes of the squared difference of two views."""
    n_items, n_classes = len(logits) // 2, logits.shape[1]
    total = zero()
    for i in range(n_items):
        first, second = softmax(logits[i]), softmax(logits[i + n_items])
        for c in range(n_classes):
            total = total + (first[c] - second[c]) ** 2
    return total / (n_items * n_classes)


def pseudo_labels(novel: Tensor, labels: list[int], n_known: int) -> list[int]:
    """LL: argmax phi_u + C_l of view 0 of unlabelled items; no label for the others."""
    found = []
    for i in range(len(labels)):
        scores = novel[i].tolist()
        found.append(n_known + scores.index(max(scores)) if labels[i] == UNLABELLED else UNLABELLED)
    return found


def pair_logits(
    features: Tensor,
    first: tuple[Tensor, Tensor],
    norm: tuple[Tensor, Tensor],
    last: tuple[Tensor, Tensor],
    eps: float,
) -> Tensor:
    """KCL/MCL: every concat(f_i, f_j) through linear, BatchNorm over all pairs, ReLU, linear.

    first, norm, last: weight and bias of each.
    """
    n = len(features)
    hidden = []
    for i in range(n):
        for j in range(n):
            pair = torch.cat([features[i], features[j]])
            hidden.append([dot(row, pair) + bias for row, bias in zip(*first)])
    for unit in range(len(first[1])):
        values = [row[unit] for row in hidden]
        mean = sum(values) / n**2
        variance = sum((value - mean) ** 2 for value in values) / n**2
        for row in hidden:
            scaled = (row[unit] - mean) / torch.sqrt(variance + eps)
            row[unit] = torch.clamp(norm[0][unit] * scaled + norm[1][unit], min=0)
    logits = [
        torch.stack([dot(weight, torch.stack(row)) + bias for weight, bias in zip(*last)])
        for row in hidden
    ]
    return torch.stack(logits).reshape(n, n, len(last[1]))


def divergence(p: list[Tensor], target: list[Tensor]) -> Tensor:
    """KCL: KL(target || p), the target taught nothing, 1e-7 added to both."""
    total = zero()
    for c in range(len(p)):
        t = target[c].detach() + ADDED
        total = total + t * (torch.log(t) - torch.log(p[c] + ADDED))
    return total


def kcl(logits: Tensor, similar: Tensor) -> Tensor:
    """KCL: KL of similar pairs, a hinge of margin 2 of the others; the mean over all pairs."""
    p = [softmax(row) for row in logits]
    total = zero()
    for i in range(len(p)):
        for j in range(len(p)):
            kl = divergence(p[i], p[j])
            if similar[i, j]:
                total = total + kl
            elif kl < 2:
                total = total + 2 - kl
    return total / len(p) ** 2


def student_assignment(z: Tensor, centres: Tensor) -> Tensor:
    """DTC: q_ik = (1 + |z_i - c_k|^2)^-1, over its sum over k."""
    q = []
    for i in range(len(z)):
        kernel = []
        for k in range(len(centres)):
            squared = zero()
            for m in range(z.shape[1]):
                squared = squared + (z[i, m] - centres[k, m]) ** 2
            kernel.append(1 / (1 + squared))
        q.append(torch.stack([value / sum(kernel) for value in kernel]))
    return torch.stack(q)


def target_distribution(q: Tensor) -> Tensor:
    """DTC: p_ik = q_ik^2 / f_k, over its sum over k, f_k = sum_i q_ik."""
    n, n_categories = q.shape
    p = []
    for i in range(n):
        weights = []
        for k in range(n_categories):
            frequency = zero()
            for other in range(n):
                frequency = frequency + q[other, k]
            weights.append(q[i, k] ** 2 / frequency)
        p.append(torch.stack([weight / sum(weights) for weight in weights]))
    return torch.stack(p)


def mean_divergence(q: Tensor, p: Tensor) -> Tensor:
    """DTC: p log(p / q), the mean over items and categories."""
    total = zero()
    for i in range(len(q)):
        for k in range(q.shape[1]):
            total = total + p[i, k] * torch.log(p[i, k] / q[i, k])
    return total / q.numel()


def temporal_ensemble(epochs: list[Tensor], momentum: float) -> Tensor:
    """TE: Z <- a Z + (1 - a) z from Z = 0, over 1 - a^t at the end of epoch t = 1, 2, ..."""
    ensemble = torch.zeros_like(epochs[0])
    for predictions in epochs:
        ensemble = momentum * ensemble + (1 - momentum) * predictions
    return ensemble / (1 - momentum ** len(epochs))


def quarter_turn(picture: list[list[float]]) -> list[list[float]]:
    """RotNet: counter-clockwise by 90 degrees: the last column becomes the first row."""
    side = len(picture)
    return [[picture[x][side - 1 - y] for x in range(side)] for y in range(side)]
