"""The likeliest category of each item, and the next one."""

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np


class TwoBest(NamedTuple):
    """Of n items the two likeliest of K categories, and how likely.

    best, second: (n,) int64, positions; of equals the first is the best, the last second.
    confidence: (n,) float64, the probability of the best.  margin: what it is above the second's.
    """

    best: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    margin: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray) -> Self:
        """probabilities: (n, K), K at least 2."""
        left = probabilities.copy()
        each, last = np.arange(len(left)), left.shape[1] - 1
        best = left.argmax(axis=1)
        confidence = left[each, best]
        left[each, best] = -1
        second = last - left[:, ::-1].argmax(axis=1)
        return cls(best, second, confidence, confidence - left[each, second])

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Those of all parts, one part after another."""
        nothing = cls(*np.empty((2, 0), np.int64), *np.empty((2, 0)))
        return cls(*map(np.concatenate, zip(nothing, *parts)))
