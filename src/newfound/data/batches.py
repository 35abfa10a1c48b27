"""Which rows make a batch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from newfound.batch import UNLABELLED


def epoch_batches(
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    batch: int,
    epoch: int,
    seed: int,
    unlabelled_share: float | None = None,
) -> list[Tensor]:
    """The batches of one epoch, each (batch,) int64 rows of the catalogue.

    labels: (n,) of the whole catalogue, -1 = unlabelled.  rows: (m,) the rows to train on,
    `Catalogue.trainable`; no other occurs.  The same arguments give the same batches.

    There are m // batch batches. Unset `unlabelled_share`: they are drawn from
    Unif(D^u + D^l) without replacement (paper section 3.1), and what is left over is dropped.
    Set: each batch holds round(unlabelled_share * batch) unlabelled rows, at least 1 and at
    most batch - 1, and either stream goes through its rows in random order again and again.
    """
    assert 0 < batch <= len(rows), "check_counts lets no batch be larger than the set"
    generator = np.random.default_rng([seed, epoch])
    steps = len(rows) // batch
    if unlabelled_share is None:
        order = _stream(rows, steps * batch, generator).reshape(steps, batch)
    else:
        n_unlabelled = min(max(round(unlabelled_share * batch), 1), batch - 1)
        is_unlabelled = labels[rows] == UNLABELLED
        labelled = _stream(rows[~is_unlabelled], steps * (batch - n_unlabelled), generator)
        unlabelled = _stream(rows[is_unlabelled], steps * n_unlabelled, generator)
        order = np.hstack([labelled.reshape(steps, -1), unlabelled.reshape(steps, -1)])
    return list(torch.from_numpy(order))


def class_balanced_batches(
    labels: NDArray[np.int64], rows: NDArray[np.int64], batch: int, each: int, epoch: int, seed: int
) -> list[Tensor]:
    """The batches of one epoch, of random classes with `each` items, or more where they are few.

    labels: (n,) of the whole catalogue.  rows: (m,) labelled ones, that alone occur.  There are
    m // batch batches of (batch,) int64 rows. A batch has batch // each classes, at least two and
    at most all, and as equally many items of each as can be; a class with fewer repeats them.
    """
    generator = np.random.default_rng([seed, epoch])
    of_class = [rows[labels[rows] == label] for label in np.unique(labels[rows])]
    n_classes = min(max(batch // each, 2), len(of_class))
    sizes = [len(part) for part in np.array_split(np.arange(batch), n_classes)]
    return [
        torch.from_numpy(
            np.concatenate(
                [
                    _stream(of_class[chosen], size, generator)
                    for chosen, size in zip(generator.permutation(len(of_class))[:n_classes], sizes)
                ]
            )
        )
        for _ in range(len(rows) // batch)
    ]


def _stream(
    rows: NDArray[np.int64], length: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """The first `length` of an endless row of fresh permutations of `rows`."""
    assert len(rows) > 0, "a catalogue has labelled and unlabelled items"
    rounds = -(-length // len(rows))
    return np.concatenate([generator.permutation(rows) for _ in range(rounds)])[:length]
