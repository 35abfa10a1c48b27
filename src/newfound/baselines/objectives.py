"""What the stages of the baselines minimise: their losses, tied to networks, views and epochs.

Losses, their references and what differs from their authors' code are in the module of the method.
"""

import copy
import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from newfound.baselines import constrained_clustering, deep_transfer_clustering, rotnet
from newfound.baselines.ranking_statistics import (
    PSEUDO_LABEL_WEIGHT,
    RankingStatisticsLosses,
    rs_loss,
)
from newfound.batch import UNLABELLED, Batch, Media, Outputs, Seen
from newfound.config import Config
from newfound.data.items import Items
from newfound.machine.distributed import agreed, gathered
from newfound.models.heads import StudentHead, student_logits
from newfound.models.network import Network, weights_from
from newfound.objective.contrastive import contrastive_losses
from newfound.objective.joint import cross_entropy
from newfound.ours import modality_terms
from newfound.results.inference import Answers, ask
from newfound.training.look import Look
from newfound.training.pairwise import PairwiseObjective, risen
from newfound.training.tally import Tally
from newfound.training.train import Objective

RENEWALS = 20
"""DTC's targets are made anew so many times in its last stage, as CIFAR-10's code does; more often
where its epochs are no multiple of that."""


class CrossEntropy(Objective):
    """Cross-entropy of phi_l: the encoder of rows (1)-(3), RS's second stage, and labels alone.

    views: of each item, 1 or 2.
    """

    def __init__(self, look: Look, views: int = 1) -> None:
        super().__init__()
        self.look, self.views = look, views

    def losses(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """The mean over the views of a batch of labelled items."""
        see = self.look.one if self.views == 1 else self.look.two
        known = see(batch.media, generator).known
        return {"total": F.cross_entropy(known, batch.label.repeat(self.views))}


class Contrastive(Objective):
    """CL: cross-entropy, NCE-I and NCE-C at full weight to the end, on two of SimCLR's views.

    The terms of our own Eq. 10 that need no novel head ("w/ CL" in Table 1). Without labels it is
    NCE-I alone, SimCLR's (Table 2, row 4), within each modality.
    """

    names = ("total", "ce", "nce_instance", "nce_category")

    def __init__(self, look: Look, config: Config, with_labels: bool) -> None:
        super().__init__()
        self.look, self.config, self.with_labels = look, config, with_labels
        self._contrastive_losses = look.compiled(contrastive_losses)

    def losses(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """Over labelled and unlabelled items together."""
        outputs = self.look.two(batch.media, generator)
        if self.with_labels:
            labels, terms = batch.label, modality_terms(self.config)
            ce = cross_entropy(outputs.known, labels.repeat(2))
        else:
            labels, terms = torch.full_like(batch.label, UNLABELLED), {}
            # Not a loss of zero, whose gradients, zeros, let weight decay shrink phi_l and eta.
            ce = outputs.known.new_zeros(())
        instance, category = self._contrastive_losses(
            outputs.contrast,
            labels.repeat(2),
            outputs.heard,
            temperature=self.config.temperature,
            **terms,
        )
        total = ce + instance + category
        return {"total": total, "ce": ce, "nce_instance": instance, "nce_category": category}


class Rotations(Objective):
    """RotNet's: the visual encoder and a linear head tell by how much pictures are turned."""

    def __init__(self, look: Look, seed: int) -> None:
        super().__init__()
        self.look = look
        with weights_from(seed):
            self.head = nn.Linear(look.network.encoder("visual").size, 4)

    def losses(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """Over all four rotations of one view of each item."""
        pixels = self.look.viewer.one(Media(batch.media.pixels), generator).pixels
        assert pixels is not None, "settings refuse rotations without pictures"
        with self.look.precision():
            encoder = self.look.network.encoder("visual")
            logits = self.head(gathered(encoder(rotnet.four_rotations(pixels))))
        quarters = rotnet.rotation_labels(len(batch.index), pixels.device)
        return {"total": F.cross_entropy(logits.float(), quarters)}


class RankingStatistics(PairwiseObjective):
    """RS's joint stage, on two weak views, with the labelled head widened (LL) or not.

    threshold: of pairs other than RS's own.
    """

    names = RankingStatisticsLosses._fields

    def __init__(
        self,
        look: Look,
        config: Config,
        labels: Tensor,
        threshold: float | None,
        incremental: bool,
    ) -> None:
        super().__init__(look, config, labels, threshold)
        self.incremental = incremental

    def terms(
        self, outputs: Outputs, labels: Tensor, positive: Tensor, omega: float
    ) -> dict[str, Tensor]:
        """RS's loss, or that of RS w/ LL, and its terms."""
        losses = rs_loss(
            outputs.known,
            outputs.novel,
            labels,
            positive,
            consistency_weight=self.config.consistency_weight * omega,
            pseudo_label_weight=PSEUDO_LABEL_WEIGHT * omega if self.incremental else None,
        )
        return losses._asdict()


class Judge(nn.Module):
    """A similarity network: its own copy of the network, and `PairClassifier` on its features.

    Forward: Seen -> (M, M, 2) logits of "different", "same".
    """

    def __init__(self, network: Network, seed: int) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        with weights_from(seed):
            self.pairs = constrained_clustering.PairClassifier(network.fused_size)

    def forward(self, seen: Seen) -> Tensor:
        """Every item of the batch against every one, M in all processes together."""
        fused, _ = self.network.represent(seen)
        logits: Tensor = self.pairs(gathered(fused))
        return logits


class Similarity(Objective):
    """The first stage of KCL and MCL: which labelled items are of one class. Trains a judge."""

    pairs: Tensor

    def __init__(self, look: Look, judge: Judge) -> None:
        super().__init__()
        self.look, self.judge = look, judge
        self.register_buffer("pairs", torch.zeros(3, dtype=torch.float64))

    def losses(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """Cross-entropy over all pairs of a batch of labelled items."""
        seen = self.look.viewer.one(batch.media, generator)
        with self.look.precision():
            logits = self.judge(seen)
        same = constrained_clustering.pair_targets(batch.label)
        found = logits.detach().argmax(dim=2).bool()
        self.pairs += torch.stack([same.sum(), found.sum(), (same & found).sum()])
        return {"total": F.cross_entropy(logits.flatten(0, 1), same.flatten().long())}

    def close_epoch(self, epoch: int) -> dict[str, float]:
        """How right the judge is on labelled pairs, each item with itself included."""
        same, found, both = self.pairs.tolist()
        self.pairs.zero_()
        return {
            "pairs_precision": both / found if found else math.nan,
            "pairs_recall": both / same,
        }


class ConstrainedClustering(Objective):
    """The second stage of KCL and MCL: clusters that follow the judge's hard answers.

    The judge is not taught, but its BatchNorm works in training mode, as in the authors' code:
    its running statistics move.
    """

    tally: Tally

    def __init__(
        self, look: Look, labels: Tensor, judge: Judge, loss: Literal["kcl", "mcl"]
    ) -> None:
        super().__init__()
        self.look = look
        self.judge = judge.requires_grad_(False)
        self.loss = {
            "kcl": constrained_clustering.kcl_loss,
            "mcl": constrained_clustering.mcl_loss,
        }[loss]
        self.tally = Tally(labels, look.network.novel.out_features)

    def losses(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """KCL or MCL of a batch of unlabelled items, in one view that both networks see."""
        seen = self.look.viewer.one(batch.media, generator)
        outputs = self.look.at(seen)
        with self.look.precision(), torch.no_grad():
            similar = self.judge(seen).argmax(dim=2).bool()
        self.tally.note_pairs(similar, batch.label)
        self.tally.note_predictions(batch, outputs.novel.detach().softmax(dim=1))
        return {"total": self.loss(outputs.novel, similar)}


class EmbeddedClustering(Objective):
    """What DTC's warm-up and last stage share: clusters of unlabelled items that follow targets.

    labels: (n,) int64 of the whole catalogue, -1 = unlabelled.  targets: (n, C_u) by catalogue row;
    those of labelled items are not used.
    """

    tally: Tally
    targets: Tensor

    def __init__(self, look: Look, config: Config, labels: Tensor) -> None:
        super().__init__()
        self.look, self.config, self.labels = look, config, labels
        categories = look.network.novel.out_features
        self.register_buffer("targets", torch.zeros(len(labels), categories))
        self.tally = Tally(labels, categories)

    def kl(self, batch: Batch, novel: Tensor) -> Tensor:
        """KL of a batch's predictions, given as logits, to the targets."""
        return deep_transfer_clustering.clustering_loss(novel, self.targets[batch.index])

    def unlabelled(self) -> Tensor:
        """Their catalogue rows."""
        return (self.labels < 0).nonzero()[:, 0]

    def answers(self, items: Items) -> Answers:
        """What the network says of all unlabelled items, un-augmented."""
        return ask(
            self.look.network,
            items,
            self.unlabelled().cpu().numpy(),
            config=self.config,
            device=self.look.device,
        )


class WarmUp(EmbeddedClustering):
    """DTC's warm-up: centres and targets are k-means', and the head learns them."""

    names = ("total", "kl")

    def begin_epoch(self, epoch: int, items: Items) -> None:
        """Before the first, k-means on the features, as `initial_centres` has it."""
        if epoch > 1:
            return
        head = self.look.network.novel
        assert isinstance(head, StudentHead), "as make_network makes it"
        features = self.answers(items).features
        projected, centres = (
            torch.from_numpy(array)
            for array in agreed(
                lambda: deep_transfer_clustering.initial_centres(
                    features, head.out_features, self.config.seed
                )
            )
        )
        q = student_logits(projected, centres).softmax(dim=1)
        with torch.no_grad():
            head.centres.copy_(centres)
        made = deep_transfer_clustering.target_distribution(q)
        self.targets[self.unlabelled()] = made.to(self.targets)

    def losses(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """KL to the targets, of one view of unlabelled items."""
        novel = self.look.one(batch.media, generator).novel
        self.tally.note_predictions(batch, novel.detach().softmax(dim=1))
        kl = self.kl(batch, novel)
        return {"total": kl, "kl": kl}


class DeepTransferClustering(EmbeddedClustering):
    """DTC's last stage, in the variant of the settings: its targets are its own predictions.

    ensemble: (n, C_u) by catalogue row, of TE and TEP.
    """

    names = ("total", "kl", "mse")
    ensemble: Tensor

    def __init__(self, look: Look, config: Config, labels: Tensor) -> None:
        super().__init__(look, config, labels)
        self.register_buffer("ensemble", torch.zeros_like(self.targets))

    def begin_epoch(self, epoch: int, items: Items) -> None:
        """Make targets where they are due, and with TE and TEP follow the ensemble."""
        variant = self.config.dtc_variant
        interval = max(1, self.config.epochs // RENEWALS)
        follows = variant in ("te", "tep") and epoch > 1
        is_due = (epoch - 1) % interval == 0
        if not follows and not is_due:
            return
        rows = self.unlabelled()
        q = torch.from_numpy(self.answers(items).novel).softmax(dim=1).to(self.targets.device)
        if follows:
            self.ensemble[rows] = deep_transfer_clustering.ensembled(
                self.ensemble[rows], q, epoch - 2
            )
        if is_due:
            source = self.ensemble[rows] if variant == "tep" and follows else q
            self.targets[rows] = deep_transfer_clustering.target_distribution(source)

    def losses(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """KL to the targets on view 0, and the variant's consistency, of unlabelled items."""
        if self.config.dtc_variant == "pi":
            novel, other = self.look.two(batch.media, generator).novel.chunk(2)
            mse = F.mse_loss(novel.softmax(dim=1), other.softmax(dim=1))
        else:
            novel = self.look.one(batch.media, generator).novel
            mse = torch.zeros((), device=novel.device)
            if self.config.dtc_variant == "te" and epoch > 1:
                mse = F.mse_loss(novel.softmax(dim=1), self.ensemble[batch.index])
        self.tally.note_predictions(batch, novel.detach().softmax(dim=1))
        kl = self.kl(batch, novel)
        weight = self.config.consistency_weight * self.omega(epoch)
        return {"total": kl + weight * mse, "kl": kl, "mse": mse}

    def omega(self, epoch: int) -> float:
        """How far the ramp has risen in an epoch."""
        return risen(self.config, epoch)

    def close_epoch(self, epoch: int) -> dict[str, float]:
        """The ramp and the tally's figures."""
        return {"omega": self.omega(epoch)} | super().close_epoch(epoch)
