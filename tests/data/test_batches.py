"""Batches are what their definition says."""

from collections import Counter
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from newfound.data.batches import epoch_batches


def random_labels(n: int, seed: int) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(-1, 3, n)


@given(
    n=st.integers(4, 60), n_rows=st.integers(4, 60), batch=st.integers(1, 20), seed=st.integers(0)
)
def test_uniform_batches_are_rows_without_replacement(
    n: int, n_rows: int, batch: int, seed: int
) -> None:
    rows = np.random.default_rng(0).permutation(n)[:n_rows]
    batch = min(batch, len(rows))
    batches = epoch_batches(random_labels(n, 1), rows, batch, 0, seed)
    assert len(batches) == len(rows) // batch
    assert all(b.shape == (batch,) and b.dtype == torch.int64 for b in batches)
    used = torch.cat(batches).tolist()
    assert len(set(used)) == len(used) and set(used) <= set(rows.tolist())


@given(share=st.floats(0.01, 0.99), batch=st.integers(2, 16), seed=st.integers(0, 99))
def test_two_streams_keep_the_share_and_cycle_evenly(share: float, batch: int, seed: int) -> None:
    labels = random_labels(50, 1)
    rows = np.flatnonzero(np.random.default_rng(2).random(50) < 0.8)
    batches = epoch_batches(labels, rows, batch, 3, seed, unlabelled_share=share)
    assert len(batches) == len(rows) // batch
    n_unlabelled = min(max(round(share * batch), 1), batch - 1)
    for drawn in batches:
        assert (labels[drawn] == -1).sum() == n_unlabelled and len(drawn) == batch
    times = Counter(torch.cat(batches).tolist())
    assert set(times) <= set(rows.tolist())
    for stream in (rows[labels[rows] == -1], rows[labels[rows] != -1]):
        assert max(times[row] for row in stream) - min(times[row] for row in stream) <= 1


def test_batches_follow_seed_and_epoch_and_nothing_else() -> None:
    labels, rows = random_labels(40, 0), np.arange(40)

    def order(epoch: int, seed: int) -> list[int]:
        return torch.cat(epoch_batches(labels, rows, 8, epoch, seed)).tolist()

    first = order(0, 0)
    torch.manual_seed(1)
    np.random.seed(1)
    assert order(0, 0) == first
    assert len({tuple(order(epoch, seed)) for epoch in range(4) for seed in range(4)}) == 16


def test_every_row_is_equally_likely_to_be_dropped() -> None:
    labels, rows = np.zeros(10, np.int64), np.arange(10)
    dropped = Counter(
        row
        for epoch in range(2000)
        for row in set(range(10))
        - set(torch.cat(epoch_batches(labels, rows, 4, epoch, 0)).tolist())
    )
    assert sum(dropped.values()) == 2 * 2000
    assert all(abs(dropped[row] - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8) for row in range(10))
