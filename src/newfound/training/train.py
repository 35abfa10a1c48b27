"""Training: one way from a decoded batch to a step, whatever the objective.

Where several processes train, each decodes and sees its own rows of a batch, and all compute the
loss of the whole batch, whose gradients DistributedDataParallel makes the same in all.

Every random choice is a function of the seed and the step, so a state needs no generators: what
`Training.state_dict` holds is all there is, and a run continued from it takes the same steps.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from newfound.batch import Batch
from newfound.config import Config
from newfound.data.batches import epoch_batches
from newfound.data.items import Draw, Items
from newfound.errors import NonFiniteLossError
from newfound.machine import distributed
from newfound.machine.compiling import lack_of_compiler_in_words
from newfound.models.network import Network
from newfound.training.first_failure import FirstFailure
from newfound.training.tally import Tally


class Objective(nn.Module):
    """What a stage minimises.

    Its parameters are trained with the network's; these and its buffers are all that it keeps
    from step to step.
    """

    names: tuple[str, ...] = ("total",)
    """The terms of the loss, `total` first."""

    tally: Tally | None
    """What counts the predictions of novel categories, if the stage makes any."""

    def __init__(self) -> None:
        super().__init__()
        self.tally = None

    def begin_epoch(self, epoch: int, items: Items) -> None:
        """What is to be done before the first step of an epoch, counted from 1."""

    def losses(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """The terms of a batch by `names`, 0-d, `total` with its graph."""
        raise NotImplementedError

    def close_epoch(self, epoch: int) -> dict[str, float]:  # noqa: ARG002 - of use to others
        """Figures of the epoch beside the terms' means; what was summed begins anew."""
        return self.tally.close() if self.tally is not None else {}


class _Losses(nn.Module):
    """All that is trained in a stage, its forward pass a batch's losses."""

    def __init__(self, network: Network, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, batch: Batch, generator: Generator, epoch: int) -> dict[str, Tensor]:
        """See `Objective.losses`."""
        return self.objective.losses(batch, generator, epoch)


Optimiser = Literal["sgd", "nesterov", "adam"]


class Training:
    """A network in training: everything a step reads or changes.

    labels: (n,) int64 of the whole catalogue, -1 = unlabelled.  trainable: rows that training may
    draw.  draw_batches: an epoch, from 1 -> its batches of catalogue rows, always equally many;
    None: `epoch_batches`.  Parameters of the network that need no gradient are left as they are.
    """

    def __init__(
        self,
        network: Network,
        config: Config,
        labels: Tensor,
        trainable: np.ndarray,
        objective: Objective,
        device: torch.device,
        *,
        optimiser: Optimiser = "sgd",
        draw_batches: Callable[[int], list[Tensor]] | None = None,
    ) -> None:
        self.network = network.to(device).channels_last()
        self.config, self.device = config, device
        self.labels, self.trainable = labels.to(device), trainable
        self.objective = objective.to(device)
        self.optimiser_name, self._draw_batches = optimiser, draw_batches
        self.steps_per_epoch = len(trainable) // config.batch
        assert self.steps_per_epoch > 0, "check_counts lets no batch be larger than the set"
        losses = _Losses(self.network, self.objective)
        trained = [p for p in losses.parameters() if p.requires_grad]
        self.optimizer = _make_optimiser(optimiser, config, trained)
        self._losses = _synchronised(losses) if distributed.count() > 1 else losses
        self.step = 0
        self.last_total = torch.tensor(torch.nan)
        self._sums = self._zero_sums()
        self._failure = FirstFailure(len(objective.names), device)

    @property
    def total_steps(self) -> int:
        """Steps of the whole stage."""
        return self.config.epochs * self.steps_per_epoch

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to, from 1."""
        return self.step // self.steps_per_epoch + 1

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return learning_rate(self.step, self.steps_per_epoch, self.config)

    @property
    def categories(self) -> Tensor | None:
        """(n,) int64, the last category of every catalogue row, -1 = none; None without novel."""
        tally = self.objective.tally
        return None if tally is None else tally.categories

    def remaining_batches(self) -> list[Tensor]:
        """The batches of the current epoch that are still to come, catalogue rows."""
        draw_batches = self._draw_batches or self._epoch_batches
        return draw_batches(self.epoch)[self.step % self.steps_per_epoch :]

    def _epoch_batches(self, epoch: int) -> list[Tensor]:
        return epoch_batches(
            self.labels.cpu().numpy(),
            self.trainable,
            self.config.batch,
            epoch,
            self.config.seed,
            self.config.unlabelled_share,
        )

    def take_step(self, batch: Batch) -> None:
        """One step on a batch.

        Raises NonFiniteLossError, on an accelerator some steps later, and CompilerError.
        """
        generator = distributed.own_generator(self.device)
        generator.manual_seed(_mix(self.config.seed, self.step))
        self.optimizer.zero_grad(set_to_none=True)
        with lack_of_compiler_in_words():
            losses = self._losses(batch, generator, self.epoch)
            losses["total"].backward()
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
        self.optimizer.step()

        self.last_total = losses["total"].detach()
        self._account(losses)
        self.step += 1
        self._raise_if_failed(self._failure.glance(self.step))

    def close_epoch(self) -> dict[str, Any]:
        """Turn what was summed since the last close into figures, and begin anew.

        Returns epoch, step, the mean of each term, lr (of the last step), and the objective's own.
        """
        assert self.step % self.steps_per_epoch == 0, "an epoch closes after its last step"
        epoch = self.step // self.steps_per_epoch
        means = (self._sums / self.steps_per_epoch).tolist()
        self._sums = self._zero_sums()
        return {
            "epoch": epoch,
            "step": self.step,
            **dict(zip(self.objective.names, means)),
            "lr": learning_rate(self.step - 1, self.steps_per_epoch, self.config),
            **self.objective.close_epoch(epoch),
        }

    def check_finite(self) -> None:
        """Raise NonFiniteLossError if a loss term was NaN or infinite at some step so far.

        Waits for the device.
        """
        self._raise_if_failed(self._failure.look())

    def _raise_if_failed(self, failure: tuple[int, list[float]] | None) -> None:
        if failure is None:
            return
        step, terms = failure
        bad = [n for n, value in zip(self.objective.names, terms) if not np.isfinite(value)]
        raise self._no_numbers(
            f"the loss became {terms[0]} at step {step + 1} (term: {', '.join(bad)})"
        )

    def spoilt(self) -> NonFiniteLossError:
        """What tells that the weights are no numbers since the last step."""
        return self._no_numbers(f"the weights went astray at step {self.step}")

    def _no_numbers(self, what: str) -> NonFiniteLossError:
        return NonFiniteLossError(
            f"{what}; the last good checkpoint is kept. {self._cure()}, with another --out"
        )

    def _cure(self) -> str:
        if self.optimiser_name == "adam":  # whose rate is not the user's to choose
            return "Set --precision float32"
        return f"Lower --lr (now {self.config.lr:g}) or set --precision float32"

    def weights_are_finite(self) -> bool:
        """Whether the weights may be saved: a step can spoil them before a loss shows it."""
        return bool(get_total_norm(self._losses.parameters()).isfinite())

    def state_dict(self) -> dict[str, Any]:
        """All that a later process needs to take the same steps; tensors and plain values only."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "objective": self.objective.state_dict(),
            "step": self.step,
            "sums": self._sums,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.load_state_dict(state["objective"])
        self.step = state["step"]
        self._sums = state["sums"].to(self.device)

    @torch.no_grad()
    def _account(self, losses: dict[str, Tensor]) -> None:
        """Add the step to the epoch's sums, on the device, and note whether it is finite."""
        terms = torch.stack([losses[name].detach().float() for name in self.objective.names])
        self._sums += terms
        self._failure.note(self.step, terms)

    def _zero_sums(self) -> Tensor:
        return torch.zeros(len(self.objective.names), dtype=torch.float64, device=self.device)


def learning_rate(step: int, steps_per_epoch: int, config: Config) -> float:
    """The rate of a step: linear warm-up, then down at each of the drops, or a cosine to zero."""
    warmup, total = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    if config.schedule == "step":
        return config.lr * config.drop_factor ** sum(step >= drop * total for drop in config.drops)
    return float(config.lr * 0.5 * (1 + np.cos(np.pi * (step - warmup) / (total - warmup))))


def train(
    training: Training,
    items: Items,
    *,
    after_step: Callable[[Training], bool] = lambda _: True,
    after_epoch: Callable[[dict[str, Any], Tensor | None], None] = lambda _figures, _cats: None,
) -> bool:
    """Take every step that is left.

    after_epoch gets the epoch's figures and `Training.categories`.  after_step comes last
    and returns whether to go on.  Returns whether training is complete.
    """
    while training.step < training.total_steps:
        if training.step % training.steps_per_epoch == 0:
            training.objective.begin_epoch(training.epoch, items)
        training.network.train()
        training.objective.train()
        batches = training.remaining_batches()
        draw = Draw(training.config.seed, training.epoch)
        own = [distributed.own_rows(rows) for rows in batches]
        for rows, decoded in zip(batches, items.batches(own, draw)):
            index = rows.to(training.device, non_blocking=True)
            media = decoded.to(training.device, non_blocking=True)
            training.take_step(Batch(media, training.labels[index], index))
            if training.step % training.steps_per_epoch == 0:
                after_epoch(training.close_epoch(), training.categories)
            if not after_step(training):
                return False
    return True


def _make_optimiser(
    optimiser: Optimiser, config: Config, parameters: list[nn.Parameter]
) -> torch.optim.Optimizer:
    if optimiser == "adam":
        return torch.optim.Adam(
            parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
    return torch.optim.SGD(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        nesterov=optimiser == "nesterov" and config.momentum > 0,
        weight_decay=config.weight_decay,
        fused=True,
    )


def _synchronised(losses: _Losses) -> nn.Module:
    """The same, whose gradients become the mean of all processes', as `gathered` wants them.

    BatchNorm's statistics are left to its own kind.  Which parameters the losses reach is the same
    at every step of a stage; the others keep no gradient, and weight decay does not shrink them.
    """
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        # Newer torch wants `forward_sync_buffers`, which older ones do not have.
        return DistributedDataParallel(losses, broadcast_buffers=False, static_graph=True)


def _mix(seed: int, step: int) -> int:
    """One number that says seed and step; neighbouring ones give unrelated generators."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)
