"""DTC: deep embedded clustering of the novel categories from known features, Table 1, row (4).

Han, Vedaldi, Zisserman. Learning to Discover Novel Visual Categories via Deep Transfer Clustering.
ICCV 2019. A head takes the features to z in R^K, as many dimensions as categories; with centres c:

    q_ik = (1 + ||z_i - c_k||^2)^-1 / sum_k' (1 + ||z_i - c_k'||^2)^-1   Student's t, alpha = 1
    p_ik = (q_ik^2 / f_k) / sum_k' (q_ik'^2 / f_k'),   f_k = sum_i q_ik
    L    = 1/(n K) sum_ik p_ik log(p_ik / q_ik)  [+ w(r) consistency]

z begins as the PCA of the features and c as the centres of k-means on it, then both are trained; p
is made anew every few epochs. Variants: consistency between two views (PI), with the predictions of
earlier epochs (TE: Laine, Aila. Temporal Ensembling for Semi-supervised Learning. ICLR 2017), or
targets made of these (TEP).

What differs from the authors' code, and why:
- The head (`models.heads.StudentHead`) gives logits, -log(1 + ||z - c||^2), whose softmax is q:
  what reads our heads reads it.
- The PCA and k-means have a seed, so that a run can be repeated.
- TE's ensemble is of un-augmented predictions after each epoch, as TEP's is; theirs are those made
  in training. In the first epoch, when there are none, nothing is pulled towards zeros.
- Targets are renewed before the 1st, 6th, 11th of 100 epochs; theirs after these. For CIFAR-100
  theirs are renewed half as often, after a warm-up three times as long.
- Both views of an item (PI) are of one forward pass, with one BatchNorm statistic; theirs of two.
- Only the corrected ensemble is kept, renewed by an interpolation: the same numbers, one table.
"""

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from newfound.errors import InputError

ENSEMBLE_MOMENTUM = 0.6
"""How much of the earlier epochs' predictions TE and TEP keep."""


def target_distribution(q: Tensor) -> Tensor:
    """p: q made surer of what it is sure of, each category weighing alike.

    q: (n, K) probabilities > 0 of *all* unlabelled items.  Returns (n, K), rows sum to 1.
    """
    weights = q.square() / q.sum(dim=0)
    return weights / weights.sum(dim=1, keepdim=True)


def clustering_loss(logits: Tensor, target: Tensor) -> Tensor:
    """KL(p || q), the mean over all M K elements, which is 1/K of a mean over items.

    logits: (M, K) of q.  target: (M, K) probabilities p, not taught.  Returns 0-d.
    """
    return F.kl_div(logits.log_softmax(dim=1), target, reduction="none").mean()


def check_projection(items: int, size: int, categories: int) -> None:
    """Raise InputError if so many items of so many features have not K directions."""
    if categories <= min(items, size):
        return
    cure = (
        f"give more of them or ask for at most {items} categories"
        if items < size
        else f"ask for at most {size} categories, or make the network wider"
    )
    raise InputError(
        f"DTC begins with a PCA to as many dimensions as there are novel categories, "
        f"{categories}, but {items} unlabelled items of {size} features have only "
        f"{min(items, size)}; {cure}"
    )


def initial_centres(
    features: np.ndarray, categories: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """PCA of the features to K dimensions, and there the centres of k-means, the best of 20.

    features: (n, d) floating, of all unlabelled items.  Returns (n, K) and (K, K) float32; the
    first targets are made of `student_logits` of the two.  Raises InputError where n or d is
    less than K, as there are then not K directions to tell the items apart by.
    """
    check_projection(len(features), features.shape[1], categories)
    # Of items that hardly differ nothing is left to explain, or to part.
    with np.errstate(invalid="ignore"):
        projected = PCA(categories, random_state=seed).fit_transform(features.astype(np.float32))
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model = KMeans(categories, n_init=20, random_state=seed).fit(projected)
    return projected, model.cluster_centers_


def ensembled(
    previous: Tensor, current: Tensor, epoch: int, momentum: float = ENSEMBLE_MOMENTUM
) -> Tensor:
    """TE: the mean of every epoch's predictions, each `momentum` times as heavy as the next.

    Z <- momentum Z + (1 - momentum) z, corrected for its start at zero by 1 / (1 - momentum^t),
    t = epoch + 1; written here for the corrected means, between which it interpolates.

    previous: (n, K), what this returned for the epoch before; of no account at epoch 0.
    current: (n, K).  epoch: from 0.  Returns (n, K); probabilities stay probabilities.
    """
    return torch.lerp(previous, current, (1 - momentum) / (1 - momentum ** (epoch + 1)))
