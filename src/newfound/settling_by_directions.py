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

from newfound.baselines.kmeans import kmeans
from newfound.blocks import spread

SAMPLED = 50_000
"""Of more items than this the directions are those of so many."""

NEARER = 1.01
"""So many times the mean cosine another start has to reach: else the head knows better."""

SCALES = (0.1, 1e6)
"""Logits are so many times the cosines, at least and at most."""


class Settled(NamedTuple):
    """steps: how many were taken.  moved: share of the items that changed category by them."""

    steps: int
    moved: float


@torch.no_grad()
def settle_by_directions(
    head: nn.Linear,
    features: Tensor,
    most_steps: int,
    advance: Callable[[int], None] = lambda _: None,
    *,
    restart: int | None = None,
) -> Settled:
    """Make the rows of a head, in place, the mean directions of the items that it puts there.

    The first means weigh every item by the head's probabilities. Then a step puts each item where
    its direction is nearest, and takes the means anew: until no item moves, or `most_steps` times.
    A category that loses its last item keeps its direction. In the mean the head is as sure of the
    items as it was, as far as `SCALES` go.

    features: (n, d) float32, n >= 1, on the head's device; of more than `SAMPLED` so many are
    taken, evenly spread.  advance is called with the steps done since its last call, and with those
    that are left where it ends before.  restart: a seed, for another start beside the head's, the
    clusters of k-means on the directions, n >= C; it is taken if it ends `NEARER` to the items.
    """
    sample = features[torch.from_numpy(spread(len(features), SAMPLED)).to(features.device)]
    lengths = sample.norm(dim=1, keepdim=True).clamp(min=1e-12)
    unit = sample / lengths
    logits = head(sample)
    rest = _come_to_rest(unit, _mean_directions(unit, _shares(logits)), most_steps, advance)
    advance(most_steps - rest.steps)
    if restart is not None:
        clusters = torch.from_numpy(kmeans(unit.cpu().numpy(), head.out_features, restart)).long()
        weights = F.one_hot(clusters, head.out_features).to(unit)
        other = _come_to_rest(unit, _mean_directions(unit, weights), most_steps)
        rest = other if other.nearness > NEARER * rest.nearness else rest
    # Less their mean: that changes no difference of logits, and leaves none of them huge.
    rows = (rest.directions - rest.directions.mean(dim=0)) / lengths.mean()
    head.weight.copy_(_scale(sample @ rows.T, _sureness(logits)) * rows)
    head.bias.zero_()
    moved = head(sample).argmax(dim=1) != logits.argmax(dim=1)
    return Settled(rest.steps, float(moved.double().mean()))


@torch.no_grad()
def settle_by_standardised_directions(
    head: nn.Linear,
    features: Tensor,
    most_steps: int,
    advance: Callable[[int], None] = lambda _: None,
    *,
    restart: int | None = None,
) -> Settled:
    """`settle_by_directions` on features less their means, in units of their deviations.

    Of what eta fuses of two modalities most is zero, and some is great in all items: their
    directions lie close together. The head stays one of the features as they are; what is alike in
    all items tells it nothing, of new ones neither.
    """
    deviation, mean = torch.std_mean(features, dim=0, correction=0)
    varies = deviation > 1e-6
    unit = deviation.where(varies, torch.inf)
    on_standardised = nn.Linear(head.in_features, head.out_features).to(head.weight)
    on_standardised.weight.copy_(head.weight * deviation.where(varies, 0))
    on_standardised.bias.copy_(head(mean))
    standardised = (features - mean) / unit
    found = settle_by_directions(
        on_standardised, standardised, most_steps, advance, restart=restart
    )
    head.weight.copy_(on_standardised.weight / unit)
    head.bias.copy_(on_standardised.bias - head.weight @ mean)
    return found


class _Rest(NamedTuple):
    """directions: (C, d).  nearness: mean cosine of the items and their directions."""

    directions: Tensor
    steps: int
    nearness: float


def _come_to_rest(
    unit: Tensor,
    directions: Tensor,
    most_steps: int,
    advance: Callable[[int], None] = lambda _: None,
) -> _Rest:
    """Take steps until no item moves. unit: (n, d) of length one."""
    members = (unit @ directions.T).argmax(dim=1)
    steps, moves = 0, True
    while moves and steps < most_steps:
        means = _mean_directions(unit, F.one_hot(members, len(directions)).to(unit))
        directions = means.where(means.any(dim=1, keepdim=True), directions)
        last, members = members, (unit @ directions.T).argmax(dim=1)
        steps, moves = steps + 1, not torch.equal(members, last)
        advance(1)
    nearness = (unit @ directions.T).amax(dim=1).double().mean()
    return _Rest(directions, steps, float(nearness))


def _shares(logits: Tensor) -> Tensor:
    """The probabilities, (n, C), those of each category times what makes its greatest 1.

    A category that wins nothing has a direction, too, however improbable it is.
    """
    improbable = logits.log_softmax(dim=1)
    return (improbable - improbable.amax(dim=0)).exp()


def _mean_directions(unit: Tensor, weights: Tensor) -> Tensor:
    """Of each category, (C, d) of length one, or zeros without items.

    unit: (n, d) of length one.  weights: (n, C), >= 0.
    """
    return F.normalize(weights.T.double() @ unit.double(), dim=1).to(unit.dtype)


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
