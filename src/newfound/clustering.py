"""k-means as a method: phi_u, and where nothing is trained phi_l, by features as they are."""

import numpy as np
import torch

from newfound.baselines.kmeans import centres_and_variance, kmeans
from newfound.data.items import Items
from newfound.ground import Ground
from newfound.models.heads import NearestCentre
from newfound.progress import Progress


def cluster_features(ground: Ground, items: Items, progress: Progress) -> None:
    """k-means on the features of the unlabelled items; phi_u names the nearest centre."""
    progress.stage("Clustering the features by k-means", len(ground.unlabelled))
    answers = ground.ask(items, ground.unlabelled, progress.advance)
    head = ground.network.novel
    assert isinstance(head, NearestCentre), "as make_network makes it for k-means"
    labels = kmeans(answers.features, head.out_features, ground.config.seed)
    _, labels = np.unique(labels, return_inverse=True)  # some are empty where too few items differ
    centres, variance = centres_and_variance(answers.features, labels)
    # The last centre stands in for the empty ones: of equal distances arg max takes the first.
    missing = head.out_features - len(centres)
    head.place(torch.from_numpy(np.pad(centres, ((0, missing), (0, 0)), mode="edge")), variance)


def know_by_means(ground: Ground, items: Items, progress: Progress) -> None:
    """phi_l names the known class whose labelled items' mean is nearest.

    Its softmax is the posterior of round Gaussians of equal size and weight, as phi_u's is.
    """
    progress.stage("Looking at the labelled", len(ground.labelled))
    answers = ground.ask(items, ground.labelled, progress.advance)
    means, variance = centres_and_variance(answers.features, ground.labels[ground.labelled])
    head, placed = ground.network.known, torch.from_numpy(means)
    with torch.no_grad():
        head.weight.copy_(placed / variance)
        head.bias.copy_(-placed.square().sum(dim=1) / (2 * variance))
