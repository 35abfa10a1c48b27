"""Many rows: a block at a time, so that what is made on the way stays small, or some of them."""

from collections.abc import Iterable, Iterator

import numpy as np

BLOCK_ROWS = 2**15
"""64 MB of features of the paper's size, 512 float32."""


def blocks(n: int, rows: int = BLOCK_ROWS) -> Iterator[slice]:
    """Slices of at most `rows` rows that together are the rows 0..n-1."""
    return (slice(at, min(at + rows, n)) for at in range(0, n, rows))


def spread(n: int, at_most: int) -> np.ndarray:
    """So many of the rows 0..n-1, or all, evenly from the first to the last; int64."""
    return np.linspace(0, n - 1, min(at_most, n)).astype(np.int64)


def mean_of(parts: Iterable[np.ndarray]) -> np.ndarray:
    """The mean of all rows of the parts, (m, ...) each, at least one; in their dtype.

    One sum over a million rows in float32 would lose digits.
    """
    means, sizes = zip(*((part.mean(axis=0), len(part)) for part in parts))
    mean: np.ndarray = np.average(means, axis=0, weights=sizes).astype(means[0].dtype)
    return mean
