"""The novel head settles by directions: steps of spherical k-means from where training left it.

Dhillon, Modha. Concept decompositions for large sparse text data using clustering. Machine Learning
42, 2001. The length of an item's features says less of its category than their direction.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import brentq
from torch import Tensor, nn

from newfound.blocks import blocks, spread

SCALES = (0.1, 1000.0)
"""Logits are so many times the cosines, at least and at most: by the least a head is sure of
nothing, by the most of everything."""

MEASURED = 10_000
"""How sure a head is shows by so many items."""


class MovedItems(NamedTuple):
    """steps: how many were taken.  moved: share of the items that changed category by them."""

    steps: int
    moved: float

    @property
    def is_kept(self) -> bool:
        """The head is another one in any case."""
        return True


@torch.no_grad()
def settle_by_directions(
    head: nn.Linear,
    features: Tensor,
    most_steps: int,
    advance: Callable[[int], None] = lambda _: None,
) -> MovedItems:
    """Make the rows of a head, in place, the mean directions of the items that it puts there.

    The first means weigh every item by the head's probabilities. Then a step puts each item where
    its direction is nearest, and takes the means anew: until no item moves, or `most_steps` times.
    A category that loses its last item keeps its direction. In the mean the head is as sure of the
    items as it was.

    features: (n, d) float32, n >= 1, on the head's device.  advance is called after each step.
    """
    lengths = features.norm(dim=1).clamp(min=1e-12)
    sample = torch.from_numpy(spread(len(features), MEASURED)).to(features.device)
    sureness = _sureness(head(features[sample]))
    as_trained = _in_blocks(features, lambda part: head(part).argmax(dim=1))
    directions = _mean_directions(features, lengths, lambda rows: head(features[rows]).softmax(1))
    members = _nearest(features, directions)
    steps, moves = 0, True
    while moves and steps < most_steps:
        weights = F.one_hot(members, head.out_features).to(features)
        means = _mean_directions(features, lengths, weights.__getitem__)
        directions = means.where(means.any(dim=1, keepdim=True), directions)
        last, members = members, _nearest(features, directions)
        steps, moves = steps + 1, not torch.equal(members, last)
        advance(1)
    # Less their mean: that changes no difference of logits, and leaves none of them huge.
    rows = (directions - directions.mean(dim=0)) / lengths.mean()
    head.weight.copy_(_scale(features[sample] @ rows.T, sureness) * rows)
    head.bias.zero_()
    return MovedItems(steps, float((members != as_trained).double().mean()))


def _mean_directions(
    features: Tensor, lengths: Tensor, weights: Callable[[slice], Tensor]
) -> Tensor:
    """Of each category, (C, d) of length one, or zeros without items.

    lengths: (n,) of the features.  weights: rows -> (m, C) of these items.
    """
    total = torch.zeros((), dtype=torch.float64, device=features.device)
    for rows in blocks(len(features)):
        total = total + (weights(rows) / lengths[rows, None]).T.double() @ features[rows].double()
    return F.normalize(total, dim=1).to(features.dtype)


def _nearest(features: Tensor, directions: Tensor) -> Tensor:
    """The category of the greatest cosine, (n,) int64."""
    return _in_blocks(features, lambda part: (part @ directions.T).argmax(dim=1))


def _in_blocks(features: Tensor, answer: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.cat([answer(features[rows]) for rows in blocks(len(features))])


def _sureness(logits: Tensor) -> float:
    """The mean of the greatest probability, 1/C..1."""
    return float(logits.softmax(dim=1).amax(dim=1).mean())


def _scale(logits: Tensor, sureness: float) -> float:
    """By what to multiply the logits for that sureness, within `SCALES`."""

    def surplus(log_scale: float) -> float:
        return _sureness(math.exp(log_scale) * logits) - sureness

    least, most = map(math.log, SCALES)
    if surplus(least) >= 0:
        return SCALES[0]
    return SCALES[1] if surplus(most) <= 0 else math.exp(brentq(surplus, least, most, xtol=1e-6))
