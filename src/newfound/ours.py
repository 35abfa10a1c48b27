"""Our method's objective, Eq. 10, as training minimises it."""

from typing import TypedDict

from torch import Generator, Tensor

from newfound.batch import Batch, Losses
from newfound.config import Config, VideoConfig
from newfound.look import Look
from newfound.objective.contrastive import ModalityPairs
from newfound.objective.joint import joint_loss, ramp
from newfound.pseudo_labels import PseudoLabels
from newfound.tally import Tally
from newfound.train import Objective


class JointObjective(Objective):
    """Eq. 10 on two views, with pseudo-labels made on the fly.

    labels: (n,) int64 of the whole catalogue, -1 = unlabelled.  threshold: as `fixed` of
    `PseudoLabels`.
    """

    names = Losses.names()
    tally: Tally

    def __init__(self, look: Look, config: Config, labels: Tensor, threshold: float | None) -> None:
        super().__init__()
        self.look, self.config = look, config
        categories = look.network.novel.out_features
        self.pseudo_labels = PseudoLabels(config, look.network.windows, threshold, categories)
        self.tally = Tally(labels, categories)

    def losses(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """Eq. 10 and its terms of a batch, 0-d, `total` with its graph."""
        outputs = self.look.two(batch.media, generator)
        positive = self.pseudo_labels(outputs.fused.detach().chunk(2)[0], batch.label)
        losses = joint_loss(
            outputs,
            batch.label,
            positive,
            omega=self.omega(epoch),
            temperature=self.config.temperature,
            ce_weight=self.config.ce_weight,
            bce_weight=self.config.bce_weight,
            instance_weight=self.config.instance_weight,
            category_weight=self.config.category_weight,
            consistency_weight=self.config.consistency_weight,
            same_view_pairs=self.config.same_view_pairs,
            **modality_terms(self.config),
        )
        self.tally.note_pairs(positive, batch.label)
        self.tally.note_predictions(batch, outputs.novel.detach().chunk(2)[0].softmax(dim=1))
        return losses.terms()

    def omega(self, epoch: int) -> float:
        """The ramp of Eq. 10 in an epoch, from 1."""
        return ramp(
            epoch, self.config.epochs, self.config.ramp_scale, length=self.config.ramp_length
        )

    def close_epoch(self, epoch: int) -> dict[str, float]:
        """The epoch's omega and threshold, and the tally's figures."""
        figures = {"omega": self.omega(epoch), "mu": float(self.pseudo_labels.threshold)}
        return figures | super().close_epoch(epoch)


class ModalityTerms(TypedDict, total=False):
    """The arguments of the contrastive terms that only videos have."""

    instance_pairs: ModalityPairs
    category_pairs: ModalityPairs
    positive_in_denominator: bool


def modality_terms(config: Config) -> ModalityTerms:
    """How the settings of videos pair modalities; nothing for images."""
    if not isinstance(config, VideoConfig):
        return {}
    return {
        "instance_pairs": config.instance_pairs,
        "category_pairs": config.category_pairs,
        "positive_in_denominator": config.positive_in_denominator,
    }
