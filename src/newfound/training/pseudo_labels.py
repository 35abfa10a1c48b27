"""The pseudo-labels of a batch: Eq. 6, or one of its rivals of Table 7."""

import torch
from torch import Tensor, nn

from newfound.config import Config
from newfound.objective.pairs import (
    cosine_similarity,
    follow_threshold,
    nearest_neighbours,
    same_top,
    share_threshold,
    wta_agreement,
)


class PseudoLabels(nn.Module):
    """Which pairs of items are taken for one category, as the settings say.

    threshold: 0-d, what an agreement has to reach; NaN while there is none.  windows: (H, k) of
    the network.  fixed: the threshold, or None to follow the share of positive pairs that C_u =
    `categories` balanced categories would have, times `share_factor`.
    """

    threshold: Tensor

    def __init__(
        self, config: Config, windows: Tensor, fixed: float | None, categories: int
    ) -> None:
        super().__init__()
        self.config, self.windows = config, windows
        self.share = None if fixed is not None else config.share_factor / categories
        self.register_buffer("threshold", torch.tensor(torch.nan if fixed is None else fixed))

    @torch.no_grad()
    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """(N, N) bool, symmetric, true on the diagonal.

        features: (N, d), of view 0, detached from the graph or not.  labels: (N,) int64, -1 =
        unlabelled: the threshold follows pairs of these.
        """
        match self.config.pairs:
            case "rank":
                return same_top(features, self.config.rank_top)
            case "nearest":
                return nearest_neighbours(features, group=labels < 0)
            case "cosine":
                agreement = cosine_similarity(features)
            case "wta":
                agreement = wta_agreement(features, self.windows.to(features.device))
        if self.share is not None:
            batch_threshold = share_threshold(agreement, labels < 0, self.share)
            self.threshold = follow_threshold(self.threshold, batch_threshold)
        # Before there is a threshold an item is still like itself: its two views are a pair.
        return (agreement >= self.threshold).fill_diagonal_(True)


def fixed_threshold(config: Config) -> float | None:
    """The threshold that the settings name; None where it follows a share or pairs have none.

    A mu that is to be searched for has to be found first.
    """
    if config.pairs in ("rank", "nearest") or config.mu == "share":
        return None
    if config.pairs == "cosine":
        return config.cosine_threshold
    return config.mu_count()
