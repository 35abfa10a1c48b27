"""The two likeliest categories against sorting them, item by item."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from newfound.results.two_best import TwoBest

seeds = st.integers(0, 2**31)


@given(seeds, st.integers(1, 9), st.integers(2, 7))
def test_the_two_best_answers_by_loops(seed: int, n: int, count: int) -> None:
    """With ties: of equals the first is the best, the last of the others second."""
    probabilities = np.random.default_rng(seed).integers(0, 4, (n, count)) / 4
    before = probabilities.copy()
    found = TwoBest.of(probabilities)
    for i, row in enumerate(before):
        best = max(range(count), key=lambda k: (row[k], -k))
        second = max(set(range(count)) - {best}, key=lambda k: (row[k], k))
        assert (found.best[i], found.second[i]) == (best, second)
        assert (found.confidence[i], found.margin[i]) == (row[best], row[best] - row[second])
    np.testing.assert_array_equal(probabilities, before)


@given(seeds, st.lists(st.integers(0, 4), max_size=4))
def test_parts_join_in_their_order(seed: int, sizes: list[int]) -> None:
    random = np.random.default_rng(seed)
    parts = [random.random((size, 3)) for size in sizes]
    whole = TwoBest.of(np.concatenate([np.empty((0, 3)), *parts]))
    for joined, expected in zip(TwoBest.joined(map(TwoBest.of, parts)), whole, strict=True):
        np.testing.assert_array_equal(joined, expected)
        assert joined.dtype == expected.dtype
