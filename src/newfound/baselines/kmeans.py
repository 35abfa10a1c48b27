"""k-means, the baseline of Table 1, rows (1) and (7)."""

import numpy as np
from sklearn.cluster import KMeans


def kmeans(features: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """Lloyd's k-means from 20 k-means++ starts, the best kept (as AutoNovel's code runs it).

    features: (n, d) floating, n >= clusters.  Returns (n,) int32, cluster 0..clusters-1.
    """
    model = KMeans(clusters, n_init=20, random_state=seed)
    labels: np.ndarray = model.fit_predict(features.astype(np.float32, copy=False))
    return labels
