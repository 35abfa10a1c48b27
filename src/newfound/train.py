"""Training: one way from a decoded batch to a step.

Every random choice is a function of the seed and the step, so a state needs no generators: what
`Training.state_dict` holds is all there is, and a run continued from it takes the same steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from newfound.batch import Batch, Losses, Outputs
from newfound.config import Config, VideoConfig
from newfound.data.loader import Draw, Items, epoch_batches
from newfound.device import uses_bfloat16
from newfound.errors import NonFiniteLossError
from newfound.models.network import Network
from newfound.objective.contrastive import ModalityPairs
from newfound.objective.joint import joint_loss, ramp
from newfound.objective.pairs import (
    PairCounts,
    count_pairs,
    follow_threshold,
    same_top,
    share_threshold,
    wta_agreement,
)
from newfound.views import Viewer

STEPS_BETWEEN_CHECKS = 20
"""How often the losses are looked at on an accelerator, for NaN."""


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch was like; shares are 0..1, NaN where there was nothing to count."""

    epoch: int
    step: int
    total: float
    ce: float
    bce: float
    nce_instance: float
    nce_category: float
    mse: float
    omega: float
    lr: float
    mu: float
    pairs_share: float
    pairs_labelled_share: float
    pairs_precision: float
    pairs_recall: float
    entropy: float
    churn: float


class Training:
    """A network in training: everything a step reads or changes.

    labels: (n,) int64 of the whole catalogue, -1 = unlabelled.  trainable: rows that training may
    draw.  mu: the count of agreeing codes for a positive pair, or None to follow a share; unused by
    pairs that have none.
    """

    def __init__(
        self,
        network: Network,
        config: Config,
        labels: np.ndarray,
        trainable: np.ndarray,
        mu: float | None,
        device: torch.device,
    ) -> None:
        self.network = network.to(device).channels_last()
        self.config, self.device = config, device
        self.viewer = Viewer(config, device)
        self.labels, self.trainable = torch.as_tensor(labels, device=device), trainable
        self.steps_per_epoch = len(trainable) // config.batch
        assert self.steps_per_epoch > 0, "check_counts lets no batch be larger than the set"
        self.categories_count = network.novel.out_features
        self.bfloat16 = uses_bfloat16(config.precision, device)
        self.optimizer = torch.optim.SGD(
            network.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.follows_share = mu is None
        self.step = 0
        self.last_total = torch.tensor(torch.nan)
        self.threshold = torch.tensor(torch.nan if mu is None else mu, device=device)
        self.categories = torch.full((len(labels),), -1, device=device)
        self._previous = self.categories.clone()
        self._sums = self._zero_sums()
        self._failure = torch.full((1 + len(Losses.names()),), -1.0, device=device)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to, from 1."""
        return self.step // self.steps_per_epoch + 1

    @property
    def omega(self) -> float:
        """The ramp of Eq. 10 at the next step."""
        return ramp(self.epoch, self.config.epochs, self.config.ramp_scale)

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return learning_rate(self.step, self.steps_per_epoch, self.config)

    def remaining_batches(self) -> list[Tensor]:
        """The batches of the current epoch that are still to come, catalogue rows."""
        batches = epoch_batches(
            self.labels.cpu().numpy(),
            self.trainable,
            self.config.batch,
            self.epoch,
            self.config.seed,
            self.config.unlabelled_share,
        )
        return batches[self.step % self.steps_per_epoch :]

    def take_step(self, batch: Batch) -> None:
        """One step of SGD on a batch. Raises NonFiniteLossError, at once on a CPU."""
        generator = torch.Generator(self.device).manual_seed(_mix(self.config.seed, self.step))
        seen = self.viewer.two(batch.media, generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            outputs: Outputs = self.network(seen)

        positive = self._positive_pairs(outputs.fused.detach().chunk(2)[0], batch.label)
        losses = joint_loss(
            outputs,
            batch.label,
            positive,
            omega=self.omega,
            temperature=self.config.temperature,
            ce_weight=self.config.ce_weight,
            bce_weight=self.config.bce_weight,
            instance_weight=self.config.instance_weight,
            category_weight=self.config.category_weight,
            consistency_weight=self.config.consistency_weight,
            same_view_pairs=self.config.same_view_pairs,
            **_video_terms(self.config),
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        self.optimizer.step()

        self._account(batch, outputs, losses, positive)
        self.last_total = losses.total.detach()
        self.step += 1
        # Looking waits for the device, so an accelerator is looked at now and then only.
        if self.device.type == "cpu" or self.step % STEPS_BETWEEN_CHECKS == 0:
            self.check_finite()

    def close_epoch(self) -> EpochRecord:
        """Turn what was summed since the last close into a record, and begin anew."""
        assert self.step % self.steps_per_epoch == 0, "an epoch closes after its last step"
        steps = self.steps_per_epoch
        sums = self._sums.tolist()
        losses = dict(zip(Losses.names(), sums[:6]))
        pairs, novel = PairCounts(*sums[6:12]), np.array(sums[12:])
        last = self.step - 1
        record = EpochRecord(
            epoch=last // steps + 1,
            step=self.step,
            total=losses["total"] / steps,
            ce=losses["ce"] / steps,
            bce=losses["bce"] / steps,
            nce_instance=losses["nce_instance"] / steps,
            nce_category=losses["nce_category"] / steps,
            mse=losses["mse"] / steps,
            omega=ramp(last // steps + 1, self.config.epochs, self.config.ramp_scale),
            lr=learning_rate(last, steps, self.config),
            mu=float(self.threshold),
            pairs_share=_share(pairs.unlabelled_positive, pairs.unlabelled),
            pairs_labelled_share=_share(pairs.labelled_positive, pairs.labelled),
            pairs_precision=_share(pairs.labelled_same_positive, pairs.labelled_positive),
            pairs_recall=_share(pairs.labelled_same_positive, pairs.labelled_same),
            entropy=_evenness(novel),
            churn=self._churn(),
        )
        self._previous.copy_(self.categories)
        self._sums = self._zero_sums()
        return record

    def check_finite(self) -> None:
        """Raise NonFiniteLossError if a loss term was NaN or infinite at some step so far."""
        step, *terms = self._failure.tolist()
        if step < 0:
            return
        bad = [n for n, value in zip(Losses.names(), terms) if not np.isfinite(value)]
        raise NonFiniteLossError(
            f"the loss became {terms[0]} at step {int(step) + 1} (term: {', '.join(bad)}); "
            f"the last good checkpoint is kept. Lower --lr (now {self.config.lr:g}) or set "
            "--precision float32, with another --out"
        )

    def weights_are_finite(self) -> bool:
        """Whether the weights may be saved: a step can spoil them before a loss shows it."""
        return bool(get_total_norm(self.network.parameters()).isfinite())

    def state_dict(self) -> dict[str, Any]:
        """All that a later process needs to take the same steps; tensors and plain values only."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "threshold": self.threshold,
            "categories": self.categories,
            "previous": self._previous,
            "sums": self._sums,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.threshold = state["threshold"].to(self.device)
        self.categories = state["categories"].to(self.device)
        self._previous = state["previous"].to(self.device)
        self._sums = state["sums"].to(self.device)

    def _positive_pairs(self, fused: Tensor, labels: Tensor) -> Tensor:
        """Eq. 6 or its rival on view 0, (N, N) bool, after mu has followed this batch."""
        if self.config.pairs == "rank":
            return same_top(fused, self.config.rank_top)
        agreement = wta_agreement(fused, self.network.windows)
        if self.follows_share:
            share = min(1.0, self.config.share_factor / self.categories_count)
            batch_threshold = share_threshold(agreement, labels < 0, share)
            self.threshold = follow_threshold(self.threshold, batch_threshold)
        # Before there is a threshold an item is still like itself: its two views are a pair.
        return (agreement >= self.threshold).fill_diagonal_(True)

    @torch.no_grad()
    def _account(self, batch: Batch, outputs: Outputs, losses: Losses, positive: Tensor) -> None:
        """Add the step to the epoch's sums, on the device."""
        novel = outputs.novel.chunk(2)[0].softmax(dim=1)
        unlabelled = (batch.label < 0)[:, None]
        terms = losses.stacked()
        self._sums += torch.cat(
            [
                terms,
                torch.stack(count_pairs(positive, batch.label)),
                novel.where(unlabelled, 0).sum(dim=0),
            ]
        )
        self.categories[batch.index] = novel.argmax(dim=1)
        failed_now = ~terms.isfinite().all() & (self._failure[0] < 0)
        failure = torch.cat([terms.new_full((1,), self.step), terms])
        self._failure = torch.where(failed_now, failure, self._failure)

    def _churn(self) -> float:
        """Share of the unlabelled items drawn so far whose category changed in this epoch."""
        seen = (self.labels < 0) & (self._previous >= 0)
        changed = (self.categories != self._previous) & seen
        return _share(float(changed.sum()), float(seen.sum()))

    def _zero_sums(self) -> Tensor:
        size = len(Losses.names()) + len(PairCounts._fields) + self.categories_count
        return torch.zeros(size, dtype=torch.float64, device=self.device)


class _VideoTerms(TypedDict, total=False):
    """The arguments of `joint_loss` that only videos have."""

    instance_pairs: ModalityPairs
    category_pairs: ModalityPairs
    positive_in_denominator: bool


def _video_terms(config: Config) -> _VideoTerms:
    if not isinstance(config, VideoConfig):
        return {}
    return {
        "instance_pairs": config.instance_pairs,
        "category_pairs": config.category_pairs,
        "positive_in_denominator": config.positive_in_denominator,
    }


def learning_rate(step: int, steps_per_epoch: int, config: Config) -> float:
    """The rate of a step: linear warm-up, then x 0.1 at 85% of the epochs or a cosine to zero."""
    warmup, total = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    if config.schedule == "step":
        return config.lr * (0.1 if step >= 0.85 * total else 1.0)
    return float(config.lr * 0.5 * (1 + np.cos(np.pi * (step - warmup) / (total - warmup))))


def train(
    training: Training,
    items: Items,
    *,
    after_step: Callable[[Training], bool] = lambda _: True,
    after_epoch: Callable[[EpochRecord, Tensor], None] = lambda _record, _categories: None,
) -> bool:
    """Take every step that is left.

    after_epoch gets the epoch's record and (n,) int64, the last category of every catalogue row.
    after_step comes last and returns whether to go on.  Returns whether training is complete.
    """
    training.network.train()
    while training.step < training.total_steps:
        batches = training.remaining_batches()
        draw = Draw(training.config.seed, training.epoch)
        for rows, decoded in zip(batches, items.batches(batches, draw)):
            index = rows.to(training.device, non_blocking=True)
            media = decoded.to(training.device, non_blocking=True)
            training.take_step(Batch(media, training.labels[index], index))
            if training.step % training.steps_per_epoch == 0:
                after_epoch(training.close_epoch(), training.categories)
            if not after_step(training):
                return False
    return True


def _mix(seed: int, step: int) -> int:
    """One number that says seed and step; neighbouring ones give unrelated generators."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _evenness(mass: np.ndarray) -> float:
    """Entropy of the mean prediction as a share of its greatest value: 1 = even, 0 = collapsed."""
    if not mass.sum():
        return float("nan")
    p = mass / mass.sum()
    return float(-(p * np.log(np.maximum(p, 1e-12))).sum() / np.log(len(p)))
