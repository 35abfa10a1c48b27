"""Our method's objective, Eq. 10, as training minimises it."""

from typing import TypedDict

from torch import Tensor

from newfound.batch import Outputs
from newfound.config import Config, VideoConfig
from newfound.objective.contrastive import ModalityPairs
from newfound.objective.joint import JointLosses, joint_loss, ramp
from newfound.training.pairwise import PairwiseObjective


class JointObjective(PairwiseObjective):
    """Eq. 10 on two views, with pseudo-labels made on the fly."""

    names = JointLosses._fields

    def terms(
        self, outputs: Outputs, labels: Tensor, positive: Tensor, omega: float
    ) -> dict[str, Tensor]:
        """Eq. 10 and its terms."""
        losses = joint_loss(
            outputs,
            labels,
            positive,
            omega=omega,
            temperature=self.config.temperature,
            ce_weight=self.config.ce_weight,
            bce_weight=self.config.bce_weight,
            instance_weight=self.config.instance_weight,
            category_weight=self.config.category_weight,
            consistency_weight=self.config.consistency_weight,
            same_view_pairs=self.config.same_view_pairs,
            **modality_terms(self.config),
        )
        return losses._asdict()

    def omega(self, epoch: int) -> float:
        """The ramp of Eq. 10."""
        config = self.config
        return ramp(epoch, config.epochs, config.ramp_scale, length=config.ramp_length)


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
