"""k-means on features, the baseline of Table 1, rows (1) and (7), and Table 2, rows (1)-(4).

MacQueen. Some methods for classification and analysis of multivariate observations. 1967.
"""

import numpy as np
from sklearn.cluster import KMeans


def kmeans(features: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Lloyd's k-means from 20 k-means++ starts, the best kept (as AutoNovel's code runs it).

    features: (n, d) floating, n >= clusters.  Returns (n,) int32, cluster 0..clusters-1.
    """
    model = KMeans(clusters, n_init=20, random_state=seed)
    labels: np.ndarray = model.fit_predict(features.astype(np.float32, copy=False))
    return labels


def centres_as_head(
    features: np.ndarray, clusters: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """k-means as a linear head, whose arg max is the nearest centre.

    ||x - c_k||^2 is ||x||^2, alike for all k, less 2 (c_k . x - ||c_k||^2 / 2). The logits are
    these over the mean variance within clusters and along one feature, so that the softmax is
    the posterior of round Gaussians of equal size and weight.

    features: (n, d) floating, n >= clusters.  Returns weights (clusters, d) and biases (clusters,)
    float32, for the clusters of `kmeans` with the same seed.
    """
    labels = kmeans(features, clusters, seed)
    centres = np.stack([features[labels == cluster].mean(axis=0) for cluster in range(clusters)])
    variance = max(float(np.square(features - centres[labels]).mean()), 1e-12)
    biases = -np.square(centres).sum(axis=1) / 2
    return (centres / variance).astype(np.float32), (biases / variance).astype(np.float32)
