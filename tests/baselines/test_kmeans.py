import numpy as np
import pytest

from newfound.baselines.kmeans import kmeans
from newfound.evaluate import clustering_accuracy


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blobs_are_found_and_the_seed_decides(dtype: type) -> None:
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 30)
    features = (random.normal(size=(120, 5)) + 8 * np.eye(5)[truth]).astype(dtype)
    clusters = kmeans(features, 4, seed=0)
    assert clustering_accuracy(truth, clusters) == 1
    assert (clusters == kmeans(features, 4, seed=0)).all()
    assert set(clusters) == {0, 1, 2, 3}
