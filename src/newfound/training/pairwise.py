"""What our objective and ranking statistics' have in common: two views, and pairs taken for one."""

from torch import Generator, Tensor

from newfound.batch import Batch, Outputs
from newfound.config import Config
from newfound.objective.joint import ramp
from newfound.training.look import Look
from newfound.training.pseudo_labels import PseudoLabels
from newfound.training.tally import Tally
from newfound.training.train import Objective


class PairwiseObjective(Objective):
    """Learns from two views of each item, and from pairs of items, pseudo-labelled on the fly.

    labels: (n,) int64 of the whole catalogue, -1 = unlabelled.  threshold: of pairs, as `fixed`
    of `PseudoLabels`.
    """

    tally: Tally

    def __init__(self, look: Look, config: Config, labels: Tensor, threshold: float | None) -> None:
        super().__init__()
        self.look, self.config = look, config
        categories = look.network.novel.out_features
        self.pseudo_labels = PseudoLabels(config, look.network.windows, threshold, categories)
        self.tally = Tally(labels, categories)
        self._terms = look.compiled(self.terms)

    def losses(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """Over two views of labelled and unlabelled items together; see `terms`."""
        outputs = self.look.two(batch.media, generator)
        features, novel = (both.detach().chunk(2)[0] for both in (outputs.fused, outputs.novel))
        positive = self.pseudo_labels(features, batch.label)
        self.tally.note_pairs(positive, batch.label)
        self.tally.note_predictions(batch, novel.softmax(dim=1))
        return self._terms(outputs, batch.label, positive, self.omega(epoch))

    def terms(
        self, outputs: Outputs, labels: Tensor, positive: Tensor, omega: float
    ) -> dict[str, Tensor]:
        """The terms by `names`, 0-d, `total` with its graph.

        outputs: both views, rows [view 0 | view 1].  labels: (N,) int64, -1 = unlabelled.
        positive: (N, N) bool, the pseudo-labels.  omega: of the epoch.
        """
        raise NotImplementedError

    def omega(self, epoch: int) -> float:
        """How far the ramp has risen in an epoch, counted from 1."""
        return risen(self.config, epoch)

    def close_epoch(self, epoch: int) -> dict[str, float]:
        """The epoch's omega, the threshold of its pairs, if any, and the tally's figures."""
        figures = {"omega": self.omega(epoch), "mu": float(self.pseudo_labels.threshold)}
        return figures | super().close_epoch(epoch)


def risen(config: Config, epoch: int) -> float:
    """How far the ramp has risen in an epoch, counted from 1; 1 is its end."""
    return ramp(epoch, config.epochs, 1.0, length=config.ramp_length)
