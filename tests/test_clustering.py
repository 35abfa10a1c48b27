"""k-means as a method: the heads are placed among features as they are."""

import numpy as np
import torch

from newfound.clustering import know_by_means
from newfound.data.image_loader import KeptImages
from newfound.ground import Ground
from newfound.models.network import make_network
from newfound.progress import Progress
from support.made_images import made_arrays
from support.small_run import tiny_config


def test_a_known_class_is_that_of_the_nearest_mean() -> None:
    pixels, kinds = made_arrays((0, 1, 2, 3), 6)
    images = KeptImages(torch.from_numpy(pixels).float().mean(dim=3).byte()[:, None])
    labels = np.where(kinds == 3, -1, kinds).astype(np.int64)
    trainable = np.delete(np.arange(24), [0, 7])  # held out: they take no part in the means
    config = tiny_config(method="kmeans", pretraining="none", settle_steps=0)
    network = make_network(config, 3, 1)
    ground = Ground(network, config, labels, trainable, None, torch.device("cpu"))
    know_by_means(ground, images, Progress(quiet=True))

    answers = ground.ask(images, np.arange(24))
    features = torch.from_numpy(answers.features)
    rows = [[row for row in trainable if labels[row] == k] for k in range(3)]
    means = torch.stack([features[of_class].mean(dim=0) for of_class in rows])
    distances = torch.cdist(features, means).square()
    assert answers.known.argmax(axis=1).tolist() == distances.argmin(dim=1).tolist()
    within = torch.cat([(features[r] - mean).square().flatten() for r, mean in zip(rows, means)])
    torch.testing.assert_close(
        torch.from_numpy(answers.known).softmax(dim=1),
        (-distances / (2 * within.mean())).softmax(dim=1),
        rtol=1e-3,
        atol=1e-4,
    )
