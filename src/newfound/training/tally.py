"""What an epoch's pseudo-labels and predictions were like, summed on the device."""

import numpy as np
import torch
from torch import Tensor, nn

from newfound.batch import Batch
from newfound.objective.pairs import PairCounts, count_pairs


class Tally(nn.Module):
    """Counts of an epoch, as buffers: what a checkpoint needs to go on counting.

    labels: (n,) int64 of the whole catalogue, -1 = unlabelled.  categories: (n,) int64, the last
    category that each catalogue row was given, -1 = none yet.
    """

    unlabelled: Tensor
    categories: Tensor
    previous: Tensor
    pairs: Tensor
    mass: Tensor

    def __init__(self, labels: Tensor, categories: int) -> None:
        super().__init__()
        self.register_buffer("unlabelled", labels < 0, persistent=False)
        self.register_buffer("categories", torch.full((len(labels),), -1))
        self.register_buffer("previous", torch.full((len(labels),), -1))
        self.register_buffer("pairs", torch.zeros(len(PairCounts._fields), dtype=torch.float64))
        self.register_buffer("mass", torch.zeros(categories, dtype=torch.float64))

    @torch.no_grad()
    def note_predictions(self, batch: Batch, novel: Tensor) -> None:
        """Count what phi_u says of a batch. novel: (N, C_u) probabilities."""
        unlabelled = (batch.label < 0)[:, None]
        self.mass += novel.where(unlabelled, 0).sum(dim=0)
        self.categories[batch.index] = novel.argmax(dim=1)

    @torch.no_grad()
    def note_pairs(self, positive: Tensor, labels: Tensor) -> None:
        """Count a batch's pseudo-labels. positive: (N, N) bool.  labels: (N,), -1 = unlabelled."""
        self.pairs += torch.stack(count_pairs(positive, labels))

    def close(self) -> dict[str, float]:
        """The epoch's figures, shares 0..1, NaN where there was nothing to count; begins anew."""
        pairs = PairCounts(*self.pairs.tolist())
        figures = {
            "pairs_share": _share(pairs.unlabelled_positive, pairs.unlabelled),
            "pairs_labelled_share": _share(pairs.labelled_positive, pairs.labelled),
            "pairs_precision": _share(pairs.labelled_same_positive, pairs.labelled_positive),
            "pairs_recall": _share(pairs.labelled_same_positive, pairs.labelled_same),
            "entropy": _evenness(self.mass.cpu().numpy()),
            "churn": self.churn(),
        }
        self.previous.copy_(self.categories)
        self.pairs.zero_()
        self.mass.zero_()
        return figures

    def churn(self) -> float:
        """Share of the unlabelled items drawn so far whose category changed in this epoch."""
        seen = self.unlabelled & (self.previous >= 0)
        changed = (self.categories != self.previous) & seen
        return _share(float(changed.sum()), float(seen.sum()))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _evenness(mass: np.ndarray) -> float:
    """Entropy of the mean prediction as a share of its greatest value: 1 = even, 0 = collapsed."""
    if not mass.sum():
        return float("nan")
    p = mass / mass.sum()
    return float(-(p * np.log(np.maximum(p, 1e-12))).sum() / np.log(len(p)))
