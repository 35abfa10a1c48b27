"""The paper's equations, one function each, as nested loops over float64 scalars.

These are the slow, obvious twins of `newfound.objective`: nothing is vectorised, nothing is made
stable beyond what float64 gives, and every sum is written the way the paper prints it. The
results are 0-d tensors, so autograd yields reference gradients too.

Rows are ordered [view 0 | view 1]: row i < N is view 0 of item i and row i + N its view 1.
"""

import math

import torch
from torch import Tensor

UNLABELLED = -1
CLAMP = 1e-6
"""Eq. 7's probabilities are kept this far from 0 and 1."""


def dot(a: Tensor, b: Tensor) -> Tensor:
    """a . b of two vectors."""
    total = torch.zeros((), dtype=torch.float64)
    for m in range(len(a)):
        total = total + a[m] * b[m]
    return total


def softmax(logits: Tensor) -> list[Tensor]:
    """exp(x_c) / sum_c' exp(x_c'), the normalisation of phi^l and phi^u."""
    normaliser = torch.zeros((), dtype=torch.float64)
    for c in range(len(logits)):
        normaliser = normaliser + torch.exp(logits[c])
    return [torch.exp(logits[c]) / normaliser for c in range(len(logits))]


def log_ratio(z: Tensor, i: int, positive: int, tau: float) -> Tensor:
    """The log of the fraction that Eqs. 1 and 2 share: positive over all n != i."""
    denominator = torch.zeros((), dtype=torch.float64)
    for n in range(len(z)):
        if n != i:
            denominator = denominator + torch.exp(dot(z[i], z[n]) / tau)
    return torch.log(torch.exp(dot(z[i], z[positive]) / tau) / denominator)


def nce_instance(z: Tensor, i: int, tau: float) -> Tensor:
    """Eq. 1, L_i^{NCE-I}: the positive is the other view i' of the same item."""
    n_items = len(z) // 2
    counterpart = i + n_items if i < n_items else i - n_items
    return -log_ratio(z, i, counterpart, tau)


def nce_category(z: Tensor, labels: list[int], i: int, tau: float) -> Tensor:
    """Eq. 2, L_i^{NCE-C}, with one label per row; 0 where Q(i) is empty."""
    total = torch.zeros((), dtype=torch.float64)
    size_of_q = 0
    for q in range(len(z)):
        if q != i and labels[i] != UNLABELLED and labels[q] == labels[i]:
            total = total + log_ratio(z, i, q, tau)
            size_of_q += 1
    return -total / size_of_q if size_of_q else total


def contrastive(z: Tensor, labels: list[int], tau: float) -> Tensor:
    """Eq. 3, L^{CL}: the mean over all 2N anchors of Eq. 1 + Eq. 2."""
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(z)):
        total = total + nce_instance(z, i, tau) + nce_category(z, labels, i, tau)
    return total / len(z)


def summed_rows(i: int, takes_part: list[bool], itself: bool) -> list[int]:
    """The n of the sums in Eqs. 4-5: rows that take part; read literally, n != i."""
    return [n for n in range(len(takes_part)) if takes_part[n] and (n != i or itself)]


def log_ratio_of_modalities(
    g0: Tensor, g1: Tensor, i: int, positive: int, rows: list[int], tau: float
) -> Tensor:
    """The log of the fraction that Eqs. 4 and 5 share; the n of its sum are `rows`."""
    denominator = torch.zeros((), dtype=torch.float64)
    for n in rows:
        denominator = denominator + torch.exp(dot(g0[i], g1[n]) / tau)
    return torch.log(torch.exp(dot(g0[i], g1[positive]) / tau) / denominator)


def nce_instance_of_modalities(
    g0: Tensor, g1: Tensor, i: int, takes_part: list[bool], tau: float, cross: bool, kept: bool
) -> Tensor:
    """Eq. 4, L_i^{NCE-I}; 0 for an anchor that takes no part.

    cross: g0 and g1 are two modalities, and the positive of row i is row i of the other one, a
    term of the denominator only if `kept`. Within a modality the positive is the other view.
    """
    n_items = len(g0) // 2
    counterpart = i + n_items if i < n_items else i - n_items
    if not takes_part[i]:
        return torch.zeros((), dtype=torch.float64)
    rows = summed_rows(i, takes_part, itself=cross and kept)
    return -log_ratio_of_modalities(g0, g1, i, i if cross else counterpart, rows, tau)


def nce_category_of_modalities(
    g0: Tensor,
    g1: Tensor,
    labels: list[int],
    i: int,
    takes_part: list[bool],
    tau: float,
    cross: bool,
    kept: bool,
) -> Tensor:
    """Eq. 5, L_i^{NCE-C}; 0 where Q(i) is empty or the anchor takes no part."""
    rows = summed_rows(i, takes_part, itself=cross and kept)
    total = torch.zeros((), dtype=torch.float64)
    size_of_q = 0
    for q in range(len(g1)):
        same_label = labels[i] != UNLABELLED and labels[q] == labels[i]
        if q != i and same_label and takes_part[i] and takes_part[q]:
            total = total + log_ratio_of_modalities(g0, g1, i, q, rows, tau)
            size_of_q += 1
    return -total / size_of_q if size_of_q else total


def mean_over_anchors(per_anchor: list[Tensor], takes_part: list[bool]) -> Tensor:
    """The mean over the anchors that take part; 0 if none does."""
    total = torch.zeros((), dtype=torch.float64)
    n_anchors = 0
    for i in range(len(per_anchor)):
        if takes_part[i]:
            total = total + per_anchor[i]
            n_anchors += 1
    return total / n_anchors if n_anchors else total


def multimodal_contrastive(
    visual: Tensor,
    audio: Tensor,
    labels: list[int],
    heard: list[bool],
    tau: float,
    instance: str,
    category: str,
    kept: bool,
) -> tuple[Tensor, Tensor]:
    """NCE-I and NCE-C of one row of Table 4: each "within" = (a, a) + (v, v), "cross" or "off"."""
    everyone = [True] * len(heard)
    choices = {
        "within": [(audio, audio, heard, False), (visual, visual, everyone, False)],
        "cross": [(visual, audio, heard, True)],
        "off": [],
    }
    nce_i = torch.zeros((), dtype=torch.float64)
    for g0, g1, takes_part, cross in choices[instance]:
        anchors = [
            nce_instance_of_modalities(g0, g1, i, takes_part, tau, cross, kept)
            for i in range(len(g0))
        ]
        nce_i = nce_i + mean_over_anchors(anchors, takes_part)
    nce_c = torch.zeros((), dtype=torch.float64)
    for g0, g1, takes_part, cross in choices[category]:
        anchors = [
            nce_category_of_modalities(g0, g1, labels, i, takes_part, tau, cross, kept)
            for i in range(len(g0))
        ]
        nce_c = nce_c + mean_over_anchors(anchors, takes_part)
    return nce_i, nce_c


def wta_windows(vector: Tensor, permutations: Tensor, k: int) -> list[list[float]]:
    """The first k elements of each rho_h(z): the vector shuffled whole, then cut (section 3.2)."""
    values = vector.tolist()
    windows = []
    for permutation in permutations.tolist():
        shuffled = [values[source] for source in permutation]
        windows.append(shuffled[:k])
    return windows


def wta_code(vector: Tensor, permutations: Tensor, k: int) -> list[int]:
    """c_i = (c_i^1, ..., c_i^H), c_i^h the (first) index of the maximum in the window."""
    code = []
    for window in wta_windows(vector, permutations, k):
        best = 0
        for m in range(k):
            if window[m] > window[best]:
                best = m
        code.append(best)
    return code


def wta_count(a: Tensor, b: Tensor, permutations: Tensor, k: int) -> int:
    """1^T (c_i = c_j) of Eq. 6, with the ties of `wta_code`: the first index wins."""
    count = 0
    for code_a, code_b in zip(wta_code(a, permutations, k), wta_code(b, permutations, k)):
        if code_a == code_b:
            count += 1
    return count


def wta_expected_count(a: Tensor, b: Tensor, permutations: Tensor, k: int) -> float:
    """The expectation of Eq. 6's 1^T (c_i = c_j) for two different items.

    Each item breaks every tie for the maximum of a window uniformly at random, independently of
    the other: both land on position m with probability 1/t_a * 1/t_b where both attain their
    maximum there, t being how many positions of the window do. Without ties: `wta_count`.
    """
    expected = 0.0
    windows_a, windows_b = wta_windows(a, permutations, k), wta_windows(b, permutations, k)
    for window_a, window_b in zip(windows_a, windows_b):
        ties_a = sum(value == max(window_a) for value in window_a)
        ties_b = sum(value == max(window_b) for value in window_b)
        for m in range(k):
            if window_a[m] == max(window_a) and window_b[m] == max(window_b):
                expected += 1 / ties_a * 1 / ties_b
    return expected


def wta_agreement(features: Tensor, permutations: Tensor, k: int) -> Tensor:
    """(M, M) agreements for Eq. 6: expected counts, and H of each item with itself."""
    n = len(features)
    agreement = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        for j in range(n):
            if i == j:
                agreement[i, j] = len(permutations)
            else:
                agreement[i, j] = wta_expected_count(features[i], features[j], permutations, k)
    return agreement


def similar(agreement: Tensor, mu: float) -> Tensor:
    """Eq. 6, s_ij: 1 where at least mu codes agree, else 0."""
    s = torch.zeros(agreement.shape, dtype=torch.float64)
    for i in range(len(agreement)):
        for j in range(len(agreement)):
            s[i, j] = 1 if agreement[i, j] >= mu else 0
    return s


def same_greatest(a: Tensor, b: Tensor, top: int) -> bool:
    """AutoNovel, section 3.2: whether the `top` greatest features of both have the same indices."""
    sets = []
    for vector in (a.tolist(), b.tolist()):
        ranked = sorted(range(len(vector)), key=lambda feature: -vector[feature])
        sets.append(set(ranked[:top]))
    return sets[0] == sets[1]


def pairwise_bce(p: Tensor, q: Tensor, s: Tensor) -> Tensor:
    """Eqs. 7-8, L^{BCE}: all M^2 pairs, p of view 0 against q of view 1; 0 for M = 0."""
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(p)):
        for j in range(len(q)):
            probability = dot(p[i], q[j])
            if probability < CLAMP:
                probability = torch.tensor(CLAMP, dtype=torch.float64)
            if probability > 1 - CLAMP:
                probability = torch.tensor(1 - CLAMP, dtype=torch.float64)
            total = total + s[i, j] * torch.log(probability)
            total = total + (1 - s[i, j]) * torch.log(1 - probability)
    return -total / len(p) ** 2 if len(p) else total


def consistency(known: Tensor, novel: Tensor, labels: list[int]) -> Tensor:
    """Eq. 9, the mean over N items of L_i^{MSE}, from (2N, C_l) and (2N, C_u) logits.

    The squared difference of the two views' predictions is summed over the classes of phi^l for
    a labelled item and of phi^u for an unlabelled one; `labels` has one per item.
    """
    n_items = len(labels)
    total = torch.zeros((), dtype=torch.float64)
    for i in range(n_items):
        phi = novel if labels[i] == UNLABELLED else known
        first, second = softmax(phi[i]), softmax(phi[i + n_items])
        for c in range(len(first)):
            total = total + (first[c] - second[c]) ** 2
    return total / n_items


def ramp(epoch: float, epochs: float, scale: float) -> float:
    """omega(r) = lambda exp(-5 (1 - r/T)^2), under Eq. 10."""
    return scale * math.exp(-5 * (1 - epoch / epochs) ** 2)


def cross_entropy(known: Tensor, labels: list[int]) -> Tensor:
    """L^{CE}: -log phi^l(z)_y, the mean over both views of every labelled item; 0 for none."""
    n_items = len(labels)
    total = torch.zeros((), dtype=torch.float64)
    n_rows = 0
    for i in range(n_items):
        if labels[i] != UNLABELLED:
            for row in (i, i + n_items):
                total = total - torch.log(softmax(known[row])[labels[i]])
                n_rows += 1
    return total / n_rows if n_rows else total


def joint(ce: Tensor, bce: Tensor, cl: Tensor, mse: Tensor, omega: float) -> Tensor:
    """Eq. 10, L = L^{CE} + L^{BCE} + (1 - omega(r)) L^{CL} + omega(r) L^{MSE}."""
    return ce + bce + (1 - omega) * cl + omega * mse
