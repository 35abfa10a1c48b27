import numpy as np
import pytest
from sklearn.cluster import KMeans

from newfound.baselines.kmeans import centres_and_variance, kmeans
from newfound.evaluate import clustering_accuracy


def blobs(classes: int = 4, each: int = 30, size: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """(n, size) features about a middle of each class, and their classes."""
    random = np.random.default_rng(0)
    truth = np.repeat(np.arange(classes), each)
    return random.normal(size=(len(truth), size)) + 8 * np.eye(classes, size)[truth], truth


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blobs_are_found_and_the_seed_decides(dtype: type) -> None:
    features, truth = blobs()
    features = features.astype(dtype)
    clusters = kmeans(features, 4, seed=0)
    assert clustering_accuracy(truth, clusters) == 1
    assert (clusters == kmeans(features, 4, seed=0)).all()
    assert set(clusters) == {0, 1, 2, 3}


def test_centres_are_those_of_scikit_learn() -> None:
    features, _ = blobs()
    model = KMeans(4, n_init=20, random_state=3).fit(features.astype(np.float32))
    centres, _ = centres_and_variance(features, kmeans(features, 4, seed=3))
    np.testing.assert_allclose(centres, model.cluster_centers_, atol=1e-5)


def test_the_variance_is_that_within_clusters_along_one_feature() -> None:
    features, labels = blobs(classes=3, each=7)
    centres, variance = centres_and_variance(features, labels)
    squares = [
        (features[i, m] - features[labels == labels[i], m].mean()) ** 2
        for i in range(len(features))
        for m in range(features.shape[1])
    ]
    assert variance == pytest.approx(sum(squares) / len(squares))
    assert centres.shape == (3, 5)
    assert 0.5 < variance < 2  # the blobs', not that of all items


def test_items_on_their_centres_have_a_variance_to_divide_by() -> None:
    _, variance = centres_and_variance(np.eye(3), np.arange(3))
    assert variance > 0
