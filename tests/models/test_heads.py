"""Heads that are no linear layer; DTC's is tested with its method."""

import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from newfound.baselines.kmeans import centres_and_variance, kmeans
from newfound.models.heads import NearestCentre

SIZE, CLUSTERS = 12, 5


def fitted(seed: int = 0, scale: float = 1.0) -> tuple[np.ndarray, KMeans, NearestCentre]:
    """Random features, scikit-learn's k-means of them, and the head at its centres."""
    features = np.random.default_rng(seed).normal(scale, scale, (200, SIZE)).astype(np.float32)
    model = KMeans(CLUSTERS, n_init=20, random_state=seed).fit(features)
    labels = kmeans(features, CLUSTERS, seed)
    centres, variance = centres_and_variance(features, labels)
    head = NearestCentre(SIZE, CLUSTERS)
    head.place(torch.from_numpy(centres), variance)
    return features, model, head


@pytest.mark.parametrize("seed", range(4))
def test_the_greatest_logit_is_of_scikit_learns_nearest_centre(seed: int) -> None:
    """Of the clustered items and of new ones."""
    features, model, head = fitted(seed)
    new = np.random.default_rng(100).normal(1, 2, (300, SIZE)).astype(np.float32)
    for asked in (features, new):
        nearest = head(torch.from_numpy(asked)).argmax(dim=1).numpy()
        assert (nearest == model.predict(asked)).all()


def posterior(x: list[float], centres: list[list[float]], variance: float) -> list[float]:
    """Bayes: the density of each round Gaussian at x, over the sum of all."""
    densities = []
    for centre in centres:
        density = 1.0
        for a, b in zip(x, centre):
            exponent = -((a - b) ** 2) / (2 * variance)
            density *= math.exp(exponent) / math.sqrt(2 * math.pi * variance)
        densities.append(density)
    return [density / sum(densities) for density in densities]


def test_the_softmax_is_the_posterior_of_gaussians_of_one_size() -> None:
    features, _, head = fitted()
    expected = [
        posterior(x, head.centres.tolist(), float(head.variance)) for x in features[:20].tolist()
    ]
    made = head(torch.from_numpy(features[:20])).softmax(dim=1)
    torch.testing.assert_close(made, torch.tensor(expected), rtol=1e-3, atol=1e-5)
    assert made.max(dim=1).values.min() < 0.9  # no matter of course


def test_without_centres_nothing_is_said() -> None:
    torch.testing.assert_close(
        NearestCentre(SIZE, 4)(torch.randn(3, SIZE)).softmax(dim=1), torch.full((3, 4), 0.25)
    )


def test_distances_are_kept_in_float32_whatever_the_autocast() -> None:
    features, model, head = fitted(scale=30.0)
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(torch.from_numpy(features))
    assert logits.dtype == torch.float32
    assert (logits.argmax(dim=1).numpy() == model.predict(features)).all()


def test_categories_can_be_reordered_and_kept() -> None:
    features, _, head = fitted()
    asked = torch.from_numpy(features)
    before, order = head(asked), torch.tensor([3, 0, 4, 1, 2])
    head.reorder(order)
    torch.testing.assert_close(head(asked), before[:, order])
    kept = NearestCentre(SIZE, CLUSTERS)
    kept.load_state_dict(head.state_dict())
    assert torch.equal(kept(asked), head(asked))
    assert not list(head.parameters()), "nothing of it is trained"


def test_its_features_could_still_be_taught() -> None:
    given: Tensor = torch.randn(4, SIZE, requires_grad=True)
    fitted()[2](given).logsumexp(dim=1).sum().backward()
    assert given.grad is not None and given.grad.abs().sum() > 0
