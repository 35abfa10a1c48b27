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


def centres_and_variance(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean of each cluster, and the mean variance within them along one feature, > 0.

    features: (n, d) floating.  labels: (n,) int, of `kmeans`.  Returns (clusters, d), and a float.
    """
    clusters = int(labels.max()) + 1
    centres = np.stack([features[labels == cluster].mean(axis=0) for cluster in range(clusters)])
    return centres, max(float(np.square(features - centres[labels]).mean()), 1e-12)
