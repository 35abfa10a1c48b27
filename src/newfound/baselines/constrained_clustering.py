"""KCL and MCL: clustering from the pairs that a similarity network finds, Table 1, rows (2), (3).

KCL: Hsu, Lv, Kira. Learning to Cluster in Order to Transfer across Domains and Tasks. ICLR 2018.
MCL: Hsu, Lv, Schlosser, Odom, Kira. Multi-class Classification without Multi-class Labels. ICLR
2019. A network learns on labelled pairs whether two items are of one category, s_ij; then another
one gives each unlabelled item the probabilities p_i of K clusters such that, over all M^2 pairs,

    KCL = 1/M^2 sum_ij s_ij KL(p_j || p_i) + (1 - s_ij) max(0, 2 - KL(p_j || p_i))
    MCL = -1/M^2 sum_ij s_ij log p_i . p_j + (1 - s_ij) log(1 - p_i . p_j)

where KL(p_j || p_i) teaches p_i alone; i and j run over both orders, so each is taught.

What differs from the authors' code, and why:
- The pairs' first layer is the sum of a product with f_i and one with f_j: of the same weights the
  same numbers, without the (M^2, 2n) concatenation.
- MCL keeps p . p within 1e-6 of 0 and 1 where theirs adds 1e-7 inside each logarithm: it is the
  pairwise loss of our own Eqs. 7-8, with both p from one view.
- Both networks start from a pretrained encoder, as other methods do; theirs from none.
- KL is computed for all pairs by one matrix product, not pair by pair.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from newfound.objective.joint import pairwise_bce

MARGIN = 2.0
"""KCL's: dissimilar items whose predictions are this far apart, in nats, are taught no more."""

EPSILON = 1e-7
"""Added to KCL's probabilities before their logarithms, as in the authors' code."""


class PairClassifier(nn.Module):
    """Whether two items are of one category, from concat(f_i, f_j): 2n -> 4n -> BN -> ReLU -> 2.

    Forward: (M, n) float -> (M, M, 2) float32 logits of "different", "same"; [i, j] and [j, i] may
    differ. In training M is at least 2, for BatchNorm. Memory O(M^2 n).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * size, 4 * size)
        self.norm = nn.BatchNorm1d(4 * size)
        self.last = nn.Linear(4 * size, 2)

    def forward(self, features: Tensor) -> Tensor:
        """The first layer acts on f_i and f_j apart, so that no pair is concatenated."""
        of_i, of_j = self.first.weight.chunk(2, dim=1)
        rows = F.linear(features, of_i, self.first.bias)
        hidden = rows[:, None] + F.linear(features, of_j)
        normed: Tensor = self.norm(hidden.flatten(0, 1))
        logits: Tensor = self.last(F.relu(normed, inplace=True))
        return logits.float().view(len(features), len(features), 2)


def pair_targets(labels: Tensor) -> Tensor:
    """What `PairClassifier` is to say of labelled items, (M,) int64 >= 0: (M, M) bool, s_ij."""
    return labels[:, None] == labels


def kcl_loss(logits: Tensor, similar: Tensor) -> Tensor:
    """KCL: the predictions of similar items near in KL, those of others `MARGIN` apart.

    logits: (M, K).  similar: (M, M) bool, s_ij, not necessarily symmetric.  Returns 0-d, the mean
    over all M^2 pairs.  Call it outside autocast.
    """
    p = logits.softmax(dim=1) + EPSILON
    target = p.detach()
    negative_entropy = (target * target.log()).sum(dim=1)
    divergence = negative_entropy - p.log() @ target.T  # [i, j] is KL(p_j || p_i)
    return torch.where(similar, divergence, F.relu(MARGIN - divergence)).mean()


def mcl_loss(logits: Tensor, similar: Tensor) -> Tensor:
    """MCL: binary cross-entropy of p_i . p_j, the probability of one cluster, against s_ij.

    logits: (M, K).  similar: (M, M) bool.  Returns 0-d, the mean over all M^2 pairs, each item
    with itself included.  Call it outside autocast.
    """
    p = logits.softmax(dim=1)
    return pairwise_bce(p, p, similar, torch.ones_like(similar.diagonal()))
