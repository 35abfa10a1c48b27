"""The novel head settles on the trained network: what short runs add to the paper.

While the network changes, phi_u follows features that move under it, as a few pairs at a time show
them. Hundreds of epochs at a high rate suffice for that; in some thousand steps at a falling rate
phi_u may be left behind, and hold two categories for one that the features tell apart. So, once
training has ended, phi_u alone takes some steps more by the loss that taught it, Eqs. 6-8, on the
features by which it will sort. It starts from where it is, and no label takes part.

Where training has settled phi_u already, that is worse than nothing: training has seen every item
in many views, of which plain features know less. This shows in the loss, which then hardly falls,
and phi_u stays as training left it. See "The novel head settles" in docs/LOG.md.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from newfound.batch import UNLABELLED
from newfound.config import Config
from newfound.data.loader import Items
from newfound.distributed import agreed
from newfound.inference import ask
from newfound.objective.joint import pairwise_bce
from newfound.pseudo_labels import PseudoLabels
from newfound.stages import Ground

BATCH = 256
"""Items whose pairs make a step."""

RATE = 0.1
"""SGD's learning rate at the first step; it falls to zero as a cosine."""

WORTH_A_FALL = 0.1
"""Of the loss, as a share of it: with less of a fall phi_u had settled before."""

MEASURED = 10
"""Batches on which the loss is measured, before and after."""


class Settling(NamedTuple):
    """The mean loss of Eq. 8 before and after, and whether phi_u was replaced for it."""

    before: float
    after: float

    @property
    def is_kept(self) -> bool:
        """Whether the loss fell by so much that phi_u had not settled before."""
        return self.after <= (1 - WORTH_A_FALL) * self.before


def settles(config: Config) -> bool:
    """Whether the novel head is to settle: not where pairs teach it nothing, as without BCE."""
    return bool(config.settle_steps and config.bce_weight)


def settle(
    ground: Ground, items: Items, advance: Callable[[int], None] = lambda _: None
) -> Settling:
    """Let phi_u of the trained network learn for `settle_steps` more; the rest stays bit for bit.

    advance is called after each step.  Of several processes the writer takes the steps, and all
    get its phi_u.
    """
    network, config, head = ground.network, ground.config, ground.network.novel
    asked = ask(network, items, ground.unlabelled, config=config, device=ground.device)
    features = torch.from_numpy(asked.features).to(ground.device)
    pseudo_labels = PseudoLabels(config, network.windows, ground.threshold, head.out_features).to(
        ground.device
    )

    def settled() -> tuple[dict[str, Tensor], Settling]:
        settling = settle_head(head, features, pseudo_labels, config, advance)
        return {name: weight.cpu() for name, weight in head.state_dict().items()}, settling

    weights, settling = agreed(settled)
    head.load_state_dict(weights)
    return settling


def settle_head(
    head: nn.Module,
    features: Tensor,
    pseudo_labels: PseudoLabels,
    config: Config,
    advance: Callable[[int], None] = lambda _: None,
) -> Settling:
    """Train a head in place by Eqs. 6-8 on fixed features, p and q of Eq. 7 being one.

    features: (n, d) float32 of unlabelled items, on the head's device.  Where it was settled
    before, it is left bit for bit as it was.
    """
    generator = torch.Generator().manual_seed(config.seed)
    batches = [
        torch.randperm(len(features), generator=generator)[:BATCH].to(features.device)
        for _ in range(config.settle_steps)
    ]

    def loss(rows: Tensor) -> Tensor:
        batch, labels = features[rows], torch.full_like(rows, UNLABELLED)
        p = head(batch).softmax(dim=1)
        return pairwise_bce(p, p, pseudo_labels(batch, labels), labels < 0)

    @torch.no_grad()
    def measured() -> float:
        return float(torch.stack([loss(rows) for rows in batches[:MEASURED]]).mean())

    trained = {name: weight.clone() for name, weight in head.state_dict().items()}
    before = measured()
    optimiser = torch.optim.SGD(
        head.parameters(), lr=RATE, momentum=config.momentum, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.settle_steps)
    for rows in batches:
        optimiser.zero_grad()
        loss(rows).backward()
        optimiser.step()
        schedule.step()
        advance(1)
    settling = Settling(before, measured())
    if not settling.is_kept:
        head.load_state_dict(trained)
    return settling
