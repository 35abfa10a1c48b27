"""The novel head settles on the trained network: what short runs add to the paper.

While the network changes, phi_u follows features that move under it, as a few pairs at a time show
them. Hundreds of epochs at a high rate suffice for that; in some thousand steps at a falling rate
phi_u may be left behind, and hold two categories for one that the features tell apart. So, once
training has ended, phi_u alone takes some steps more on the features of the items as they are. No
label takes part. By directions it sorts images best; by the pairs that taught it what eta fuses of
two modalities, most of which is zero. See "The novel head settles" in docs/LOG.md.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from newfound.config import Config, VideoConfig
from newfound.errors import RunFolderError
from newfound.ground import Ground
from newfound.machine.distributed import agreed
from newfound.settling_by_directions import SettledByDirections, settle_by_directions
from newfound.settling_by_pairs import FEWEST, SettledByPairs, came_to_rest, settle_by_pairs

Settled = SettledByDirections | SettledByPairs


def may_settle(config: Config, unlabelled: int) -> bool:
    """Whether phi_u may have to settle: not where pairs teach it nothing, and by pairs not by few
    items."""
    is_taught = bool(config.settle_steps and config.bce_weight)
    return is_taught and (unlabelled >= FEWEST or not _by_pairs(config))


def settles(config: Config, unlabelled: int, epochs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether phi_u is to settle: if it may have to, and by pairs if training had not settled it.

    epochs: the figures of training's epochs.  Raises RunFolderError if these are lost and decide.
    """
    if not may_settle(config, unlabelled):
        return False
    if not _by_pairs(config):
        return True
    if not epochs:
        raise RunFolderError(
            "log.jsonl has lost its epochs, by which it is decided whether the novel head settles; "
            "put it back, or give another --out to train again"
        )
    return not came_to_rest(epochs)


def settle(
    ground: Ground, features: Tensor, advance: Callable[[int], None] = lambda _: None
) -> Settled:
    """Let phi_u of the trained network take at most `settle_steps`; the rest stays bit for bit.

    features: (n, d) float32 of the unlabelled items, as the trained network gives them.  advance is
    called with the steps done.  Of several processes the writer takes them, and all get its phi_u.
    """
    head = ground.network.novel
    assert isinstance(head, nn.Linear), "only our method's head settles"

    def settled() -> tuple[dict[str, Tensor], Settled]:
        on_device = features.to(ground.device)
        if _by_pairs(ground.config):
            found: Settled = settle_by_pairs(ground, on_device, advance)
        else:
            found = settle_by_directions(head, on_device, ground.config.settle_steps, advance)
        return {name: weight.cpu() for name, weight in head.state_dict().items()}, found

    weights, found = agreed(settled)
    head.load_state_dict(weights)
    return found


def _by_pairs(config: Config) -> bool:
    """Whether eta fuses two modalities."""
    return isinstance(config, VideoConfig) and config.modalities == "both"
