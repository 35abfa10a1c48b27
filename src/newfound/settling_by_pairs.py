"""The novel head settles by pairs: phi_u alone learns on by Eqs. 6-8 from the trained features.

Those are the features of the items as they are; of videos the mean over their clips.

Where training has settled phi_u already, that is worse than nothing: training has seen every item
in many views, of which plain features know less. Two signs of it are looked at, neither of which
suffices: hardly any item changed category in the last epochs, or the loss hardly falls. Then phi_u
stays as training left it. See "The novel head settles" in docs/LOG.md.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from newfound.batch import UNLABELLED
from newfound.config import Config
from newfound.ground import Ground
from newfound.models.network import weights_from
from newfound.objective.joint import pairwise_bce
from newfound.training.churn import RESTLESS, last_churn
from newfound.training.pseudo_labels import PseudoLabels

BATCH = 256
"""Items whose pairs make a step."""

RATE = 5.0
"""SGD's learning rate at the first step, times the features' mean squared length, so that their
scale does not matter; it falls to zero as a cosine."""

MEASURED = 10
"""At most so many batches the loss is measured on, before and after."""

WORTH_A_FALL = 0.1
"""Of the loss, as a share of it: with less of a fall phi_u had settled before."""

OTHER_STARTS = 4
"""Heads that settle beside the trained one by pairs of standardised features, which are new to it:
where it holds two categories for one, the nearest minimum may do so, too."""

FEWEST = 200
"""With fewer unlabelled items phi_u does not settle: it could learn their pairs by heart, and how
far the loss falls would tell nothing. Nor was it tried on fewer."""


class SettledByPairs(NamedTuple):
    """The mean loss of Eq. 8 before and after; NaN if it did not come to numbers."""

    before: float
    after: float

    @property
    def is_kept(self) -> bool:
        """Whether the loss fell by so much that phi_u had not settled before."""
        return self.after <= (1 - WORTH_A_FALL) * self.before


def came_to_rest(epochs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether phi_u stays as training left it, as hardly any item still changed category.

    epochs: the figures of training's epochs, of which too few tell nothing.
    """
    churn = last_churn(epochs)
    return churn is not None and churn.last <= RESTLESS


def settle_by_pairs(
    ground: Ground, features: Tensor, advance: Callable[[int], None] = lambda _: None
) -> SettledByPairs:
    """Let phi_u of the trained network learn for `settle_steps` more.

    features: (n, d) float32 of the unlabelled items, on the ground's device.  advance is called
    after each step.
    """
    network, head = ground.network, ground.network.novel
    pairs = PseudoLabels(ground.config, network.windows, ground.threshold, head.out_features)
    compared, others = features, []
    if _settles_standardised(ground):
        assert isinstance(head, nn.Linear), "only our method's head settles"
        compared, others = standardised(features), other_starts(head, ground.config.seed)
    labeller = pairs.to(ground.device)
    return settle_head(head, others, features, compared, labeller, ground.config, advance)


def _settles_standardised(ground: Ground) -> bool:
    """Whether pairs are found by standardised features: most of what eta has fused is zero, which
    tells WTA's codes little. A threshold that is set is meant for features as they are."""
    return ground.config.pairs == "wta" and ground.threshold is None


def settle_head(
    head: nn.Module,
    others: Sequence[nn.Module],
    features: Tensor,
    compared: Tensor,
    pseudo_labels: PseudoLabels,
    config: Config,
    advance: Callable[[int], None] = lambda _: None,
) -> SettledByPairs:
    """Train a head in place by Eqs. 6-8 on fixed features, p and q of Eq. 7 being one.

    others: heads alike that take the same steps from other weights; of all the one whose loss is
    least in the end is taken.  features: (n, d) floating, of unlabelled items, on the head's
    device.  compared: (n, d), by which their pairs are found.  Where the head was settled before,
    it is left bit for bit as it was.
    """
    heads = nn.ModuleList([head, *others])
    batches = _Batches(features, compared, pseudo_labels, config.seed)
    to_measure = batches.some_to_measure()
    trained = {name: weight.clone() for name, weight in head.state_dict().items()}
    before = _mean_losses(heads, to_measure)[0]
    _learn(heads, batches, config, advance)
    after = _mean_losses(heads, to_measure)
    best = min(range(len(heads)), key=after.__getitem__)
    settling = SettledByPairs(before, after[best])
    head.load_state_dict(heads[best].state_dict() if settling.is_kept else trained)
    return settling


class _Batches:
    """Random batches of features, with the pseudo-labels of their pairs by Eq. 6."""

    def __init__(
        self, features: Tensor, compared: Tensor, pseudo_labels: PseudoLabels, seed: int
    ) -> None:
        self.features, self.compared = features, compared
        self.pseudo_labels = pseudo_labels
        self.generator = torch.Generator().manual_seed(seed)

    def one(self) -> tuple[Tensor, Tensor]:
        """(BATCH, d) features and (BATCH, BATCH) bool, or of all items where they are fewer."""
        return self._of(self._drawn()[:BATCH])

    def some_to_measure(self) -> list[tuple[Tensor, Tensor]]:
        """At most `MEASURED` batches without an item twice."""
        return [self._of(rows) for rows in self._drawn()[: MEASURED * BATCH].split(BATCH)]

    def _drawn(self) -> Tensor:
        order = torch.randperm(len(self.features), generator=self.generator)
        return order.to(self.features.device)

    def _of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        positive = self.pseudo_labels(self.compared[rows], torch.full_like(rows, UNLABELLED))
        return self.features[rows], positive


def _losses(heads: nn.ModuleList, features: Tensor, positive: Tensor) -> Tensor:
    """Eq. 8 by each head on one batch, (heads,)."""
    every = torch.ones_like(positive.diagonal())
    of_heads = (head(features).softmax(dim=1) for head in heads)
    return torch.stack([pairwise_bce(p, p, positive, every) for p in of_heads])


@torch.no_grad()
def _mean_losses(heads: nn.ModuleList, batches: list[tuple[Tensor, Tensor]]) -> list[float]:
    means: list[float] = torch.stack([_losses(heads, *batch) for batch in batches]).mean(0).tolist()
    return means


def _learn(
    heads: nn.ModuleList, batches: _Batches, config: Config, advance: Callable[[int], None]
) -> None:
    """All heads side by side, each by its own loss."""
    optimiser = torch.optim.SGD(
        heads.parameters(),
        lr=RATE / float(batches.features.square().sum(dim=1).mean().clamp(min=1e-6)),
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.settle_steps)
    for _ in range(config.settle_steps):
        optimiser.zero_grad()
        _losses(heads, *batches.one()).sum().backward()
        optimiser.step()
        schedule.step()
        advance(1)


def standardised(features: Tensor) -> Tensor:
    """Each feature less its mean over the items, in units of its deviation; (n, d) floating.

    The codes of Eq. 6 compare features with each other. Some are greater than others in all items,
    and say by their rank nothing of the category.
    """
    deviation, mean = torch.std_mean(features, dim=0, correction=0)
    return (features - mean) / deviation.clamp(min=1e-6)


def other_starts(head: nn.Linear, seed: int) -> list[nn.Module]:
    """`OTHER_STARTS` heads alike, of random weights that are a function of the seed."""
    with weights_from(seed):
        others = [nn.Linear(head.in_features, head.out_features) for _ in range(OTHER_STARTS)]
    return [other.to(head.weight) for other in others]
