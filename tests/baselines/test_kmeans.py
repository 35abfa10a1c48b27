from functools import partial

import numpy as np
import pytest
from sklearn.cluster import KMeans

from newfound.baselines import kmeans as module
from newfound.baselines.kmeans import centres_and_variance, kmeans, kmeans_in_blocks
from newfound.blocks import blocks
from newfound.results.evaluate import clustering_accuracy


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


def test_fewer_different_items_than_clusters_are_no_noise(recwarn: pytest.WarningsRecorder) -> None:
    labels = kmeans(np.repeat(np.eye(2, 5), 4, axis=0), 3, seed=0)
    assert clustering_accuracy(np.repeat([0, 1], 4), labels) == 1
    assert not recwarn


def test_centres_are_those_of_scikit_learn() -> None:
    features, _ = blobs()
    model = KMeans(4, n_init=20, random_state=3).fit(features.astype(np.float32))
    centres, _ = centres_and_variance(features, kmeans(features, 4, seed=3))
    np.testing.assert_allclose(centres, model.cluster_centers_, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_up_to_the_limit_it_is_scikit_learns_of_all_items(dtype: type) -> None:
    features = np.random.default_rng(0).normal(size=(90, 5)).astype(dtype)  # no clear clusters
    before = features.copy()
    model = KMeans(4, n_init=20, random_state=3).fit(features.astype(np.float32))
    np.testing.assert_array_equal(kmeans(features, 4, seed=3), model.labels_)
    np.testing.assert_array_equal(features, before)


def test_beyond_the_limit_all_go_to_the_nearest_centre_of_a_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FITTED_ON", 40)
    features = np.random.default_rng(0).normal(size=(90, 5))
    asked: list[np.ndarray] = []

    def of(rows: np.ndarray) -> list[np.ndarray]:
        asked.append(rows)
        return [features[rows[block]] for block in blocks(len(rows), 7)]

    labels = kmeans_in_blocks(of, 90, 4, seed=3)
    sample, everything = asked
    assert len(set(sample)) == 40 and everything.tolist() == list(range(90))
    model = KMeans(4, n_init=20, random_state=3).fit(features[sample].astype(np.float32))
    for i in range(90):
        distances = [((features[i] - centre) ** 2).sum() for centre in model.cluster_centers_]
        assert labels[i] == np.argmin(distances)
    np.testing.assert_array_equal(kmeans(features, 4, seed=3), labels)
    assert (kmeans(features, 4, seed=4) != labels).any()


def test_a_sample_finds_the_blobs_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FITTED_ON", 30)
    features, truth = blobs()
    assert clustering_accuracy(truth, kmeans(features, 4, seed=0)) == 1


@pytest.mark.parametrize("block", [4, 1000])
def test_centres_and_variance_by_loops(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Also where they are summed few rows at a time."""
    monkeypatch.setattr(module, "blocks", partial(blocks, rows=block))
    features, labels = blobs(classes=3, each=7)
    centres, variance = centres_and_variance(features, labels)
    means = [
        [np.mean([row[m] for row, c in zip(features, labels) if c == k]) for m in range(5)]
        for k in range(3)
    ]
    np.testing.assert_allclose(centres, means)
    squares = [(row[m] - means[c][m]) ** 2 for row, c in zip(features, labels) for m in range(5)]
    assert variance == pytest.approx(sum(squares) / len(squares))
    assert centres.shape == (3, 5)
    assert 0.5 < variance < 2  # the blobs', not that of all items


def test_items_on_their_centres_have_a_variance_to_divide_by() -> None:
    _, variance = centres_and_variance(np.eye(3), np.arange(3))
    assert variance > 0
