"""k-means on features, the baseline of Table 1, rows (1) and (7), and Table 2, rows (1)-(4).

MacQueen. Some methods for classification and analysis of multivariate observations. 1967.
"""

import warnings
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from newfound.blocks import blocks, mean_of

FITTED_ON = 50_000
"""The centres of more items than this are those of a random sample of so many."""


def kmeans(features: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Lloyd's k-means from 20 k-means++ starts, the best kept (as AutoNovel's code runs it).

    features: (n, d) floating, n >= clusters.  Returns (n,) int32, cluster 0..clusters-1, or
    fewer where fewer items differ.
    More than `FITTED_ON` items go to the nearest of the centres found for the sample.
    """

    def of(rows: NDArray[np.int64]) -> Iterable[np.ndarray]:
        return (features[rows[block]] for block in blocks(len(rows)))

    return kmeans_in_blocks(of, len(features), clusters, seed)


def kmeans_in_blocks(
    of: Callable[[NDArray[np.int64]], Iterable[np.ndarray]], n: int, clusters: int, seed: int
) -> np.ndarray:
    """`kmeans` of n items whose features are not at hand all at once.

    of: rows, (m,) in 0..n-1 and rising -> their features in order, in blocks of any size.
    """
    rows = np.arange(n)
    if n > FITTED_ON:
        rows = np.sort(np.random.default_rng(seed).choice(n, FITTED_ON, replace=False))
    sample = np.concatenate(list(of(rows)), dtype=np.float32)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # too few differ
        model = KMeans(clusters, n_init=20, random_state=seed, copy_x=False).fit(sample)
    labels: np.ndarray = model.labels_
    if n > FITTED_ON:
        everything = (block.astype(np.float32, copy=False) for block in of(np.arange(n)))
        labels = np.concatenate([model.predict(block) for block in everything])
    return labels


def centres_and_variance(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean of each cluster, and the mean variance within them along one feature, > 0.

    features: (n, d) floating.  labels: (n,) int, of `kmeans`.  Returns (clusters, d), and a float.
    """
    clusters = int(labels.max()) + 1
    members = (np.flatnonzero(labels == cluster) for cluster in range(clusters))
    centres = np.stack(
        [mean_of(features[rows[block]] for block in blocks(len(rows))) for rows in members]
    )
    squares = (
        np.square(features[block] - centres[labels[block]]).ravel() for block in blocks(len(labels))
    )
    return centres, max(float(mean_of(squares)), 1e-12)
