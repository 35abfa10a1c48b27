"""How restless a training was at its end: which share of the items still changed category."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, NamedTuple

import numpy as np

RESTLESS = 0.1
"""Share of the unlabelled items that change category in an epoch: with more nothing is settled."""


class LastChurn(NamedTuple):
    """Mean churn, 0..1, of the last `epochs` epochs, and of as many `before` them."""

    epochs: int
    last: float
    before: float


def last_churn(records: Sequence[Mapping[str, Any]]) -> LastChurn | None:
    """Of the last tenth of the epochs, and at least two; None of fewer.

    records: of the epochs in order; those whose `churn` is missing, None or NaN do not count.
    """
    churn = [record.get("churn") for record in records]
    known = [value for value in churn if value is not None and not isnan(value)]
    stretch = max(2, len(known) // 10)
    if len(known) < stretch:
        return None
    last = float(np.mean(known[-stretch:]))
    return LastChurn(stretch, last, float(np.mean(known[-2 * stretch : -stretch] or last)))
