"""The novel head settles on the trained network: what short runs add to the paper.

While the network changes, phi_u follows features that move under it, as a few pairs at a time show
them. Hundreds of epochs at a high rate suffice for that; in some thousand steps at a falling rate
phi_u may be left behind, and hold two categories for one that the features tell apart. So, once
training has ended, phi_u alone takes some steps of k-means on the directions of the items'
features, as they are, from where training left it. No label takes part. See "The novel head of
images settles by directions" and what follows it in docs/LOG.md.
"""

from collections.abc import Callable

from torch import Tensor, nn

from newfound.config import Config, VideoConfig
from newfound.ground import Ground
from newfound.machine.distributed import agreed
from newfound.settling_by_directions import (
    Settled,
    settle_by_directions,
    settle_by_standardised_directions,
)


def settles(config: Config) -> bool:
    """Whether phi_u is to settle: not where pairs teach it nothing."""
    return bool(config.settle_steps and config.bce_weight)


def settle(
    ground: Ground, features: Tensor, advance: Callable[[int], None] = lambda _: None
) -> Settled:
    """Let phi_u of the trained network take at most `settle_steps`; the rest stays bit for bit.

    features: (n, d) float32 of the unlabelled items, as the trained network gives them; of videos
    the mean over their clips.  advance is called with the steps done.  Of several processes the
    writer takes them, and all get its phi_u.
    """
    head = ground.network.novel
    assert isinstance(head, nn.Linear), "only our method's head settles"
    config = ground.config

    def settled() -> tuple[dict[str, Tensor], Settled]:
        given = head, features.to(ground.device), config.settle_steps, advance
        if _fuses(config):
            found = settle_by_standardised_directions(*given, restart=config.seed)
        else:
            found = settle_by_directions(*given)
        return {name: weight.cpu() for name, weight in head.state_dict().items()}, found

    weights, found = agreed(settled)
    head.load_state_dict(weights)
    return found


def _fuses(config: Config) -> bool:
    """Whether eta fuses two modalities."""
    return isinstance(config, VideoConfig) and config.modalities == "both"
