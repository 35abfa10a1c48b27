"""The stages in which a method is trained, one after another, on one network.

    ours          Eq. 10 alone
    kmeans        pretraining, or none at all
    kcl, mcl      pretraining, similarity network, clustering
    dtc           pretraining, [labels,] warm-up, clustering
    rs, rs-ll     pretraining, [labels,] joint

Lengths are shares of T = `epochs`, and the authors' own at T = 200; the settings of each stage are
a copy of the run's. Which rates, drops and decays are whose is said in `docs/method.md`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from newfound.baselines.deep_transfer_clustering import check_projection
from newfound.baselines.objectives import (
    ConstrainedClustering,
    Contrastive,
    CrossEntropy,
    DeepTransferClustering,
    Judge,
    RankingStatistics,
    Rotations,
    Similarity,
    WarmUp,
)
from newfound.baselines.ranking_statistics import widened_head
from newfound.config import Config
from newfound.data.batches import class_balanced_batches
from newfound.errors import InputError
from newfound.ground import Ground
from newfound.machine import distributed
from newfound.models.batch_norm import share_statistics
from newfound.models.network import Network
from newfound.ours import JointObjective
from newfound.training.look import Look
from newfound.training.train import Objective, Optimiser, Training

_ADAM: dict[str, Any] = {
    "lr": 1e-3,
    "weight_decay": 0.0,
    "schedule": "step",
    "drop_factor": 0.1,
    "warmup_epochs": 0.0,
}
"""KCL's and MCL's steps, as their authors' code has them."""

ITEMS_OF_A_CLASS = 5
"""In a batch of labelled items of KCL's and MCL's similarity network, as there."""


@dataclass(frozen=True)
class Stage:
    """One stage: `key` names its checkpoint and its lines in the log, `title` is for people.

    begin: makes its training, given the one of the stage before, if any.  is_pretraining: whether
    it is the same for all methods that have it.
    """

    key: str
    title: str
    begin: Callable[[Ground, Training | None], Training]
    is_pretraining: bool = False


def check_method(
    config: Config, labelled: int, unlabelled: int, num_novel: int, *, are_final: bool
) -> None:
    """Raise InputError now for what a method would stumble over after hours.

    labelled, unlabelled: how many items of each there are to train on.  are_final: whether it is
    known which can be read; whether the processes can share them is asked of these alone.
    """
    if config.method == "dtc":
        check_projection(unlabelled, config.fused_size, num_novel)
    if config.method != "ours" and are_final:
        for items in (labelled, unlabelled):
            _fitting_batch(_weak(config), items)


def stages(config: Config) -> list[Stage]:
    """Those of the method that the settings name, in their order; none is trained twice."""
    return [*_pretraining(config), *_METHODS[config.method](config)]


def _pretraining(config: Config) -> Iterator[Stage]:
    match config.first_stage:
        case "labels":
            yield Stage("labels", "Training on labels", _begin_labels, True)
        case "rotnet":
            yield Stage("rotnet", "Pretraining by rotations (RotNet)", _begin_rotnet, True)
        case "cl":
            yield Stage("cl", "Pretraining by CE, NCE-I and NCE-C (CL)", _begin_cl, True)
        case "simclr":
            yield Stage(
                "simclr", "Pretraining by contrastive learning (SimCLR)", _begin_simclr, True
            )


def _ours(_: Config) -> Iterator[Stage]:
    yield Stage("training", "Training", begin_ours)


def _kmeans(_: Config) -> Iterator[Stage]:
    yield from ()


def _constrained(_: Config) -> Iterator[Stage]:
    yield Stage("similarity", "Training the similarity network", _begin_similarity)
    yield Stage("training", "Clustering by its answers", _begin_clustering)


def _dtc(config: Config) -> Iterator[Stage]:
    if config.first_stage in ("rotnet", "simclr"):
        yield Stage("labels", "Training on labels", _begin_labels)
    yield Stage("warm-up", "Warming up to the clusters of k-means", _begin_warm_up)
    yield Stage("training", "Clustering", _begin_dtc)


def _ranking_statistics(config: Config) -> Iterator[Stage]:
    if config.first_stage in ("rotnet", "cl", "simclr"):
        yield Stage("labels", "Training on labels, lower layers frozen", _begin_frozen_labels)
    yield Stage("training", "Joint training", _begin_joint)


_METHODS: dict[str, Callable[[Config], Iterator[Stage]]] = {
    "ours": _ours,
    "kmeans": _kmeans,
    "kcl": _constrained,
    "mcl": _constrained,
    "dtc": _dtc,
    "rs": _ranking_statistics,
    "rs-ll": _ranking_statistics,
}


def begin_ours(ground: Ground, _: Training | None = None) -> Training:
    """Eq. 10 on labelled and unlabelled items together."""

    def objective(look: Look, config: Config, labels: Tensor) -> Objective:
        return JointObjective(look, config, labels, ground.threshold)

    return _training(ground, ground.config, ground.trainable, objective)


def begin_labels_alone(ground: Ground) -> Training:
    """Eq. 10 with cross-entropy alone, at weight 1: what labels alone teach the network.

    For a third of the epochs, and at least two: labels are learnt long before the categories.
    """
    epochs = max(2, ground.config.epochs // 3)
    warmup = min(ground.config.warmup_epochs, 1.0)
    config = ground.config.model_copy(update={"epochs": epochs, "warmup_epochs": warmup})
    return _training(
        ground, config, ground.labelled, lambda look, _config, _labels: CrossEntropy(look, views=2)
    )


def _begin_labels(ground: Ground, _: Training | None) -> Training:
    return _training(
        ground,
        _weak(ground.config, 1 / 2),
        ground.labelled,
        lambda look, _config, _labels: CrossEntropy(look),
    )


def _begin_frozen_labels(ground: Ground, _: Training | None) -> Training:
    freeze_lower_layers(ground.network, ground.config)
    halved: dict[str, Any] = {"drops": tuple(k / 10 for k in range(1, 10)), "drop_factor": 0.5}
    return _training(
        ground,
        _weak(ground.config, 1 / 2, schedule="step", **halved),
        ground.labelled,
        lambda look, _config, _labels: CrossEntropy(look),
    )


def _begin_rotnet(ground: Ground, _: Training | None) -> Training:
    decay = 5 * ground.config.weight_decay
    drops: dict[str, Any] = {"schedule": "step", "drops": (0.3, 0.6, 0.8), "drop_factor": 0.2}
    return _training(
        ground,
        _weak(ground.config, weight_decay=decay, **drops),
        ground.trainable,
        lambda look, config, _labels: Rotations(look, config.seed),
        optimiser="nesterov",
    )


def _begin_cl(ground: Ground, _: Training | None) -> Training:
    return _begin_contrastive(ground, with_labels=True)


def _begin_simclr(ground: Ground, _: Training | None) -> Training:
    return _begin_contrastive(ground, with_labels=False)


def _begin_contrastive(ground: Ground, with_labels: bool) -> Training:
    return _training(
        ground,
        ground.config,
        ground.trainable,
        lambda look, config, _labels: Contrastive(look, config, with_labels),
    )


def _begin_similarity(ground: Ground, _: Training | None) -> Training:
    config = _weak(_own(ground.config), 1 / 4, **_ADAM, drops=(0.6, 0.8))
    rows, batch = ground.labelled, _fitting_batch(config, len(ground.labelled))
    return _training(
        ground,
        config,
        rows,
        lambda look, config, _labels: Similarity(look, Judge(look.network, config.seed)),
        optimiser="adam",
        draw_batches=lambda epoch: class_balanced_batches(
            ground.labels, rows, batch, ITEMS_OF_A_CLASS, epoch, config.seed
        ),
    )


def _begin_clustering(ground: Ground, before: Training | None) -> Training:
    assert before is not None and isinstance(before.objective, Similarity), "it comes after that"
    judge = before.objective.judge
    loss: Literal["kcl", "mcl"] = "kcl" if ground.config.method == "kcl" else "mcl"
    return _training(
        ground,
        _weak(_own(ground.config), 3 / 4, **_ADAM, drops=(2 / 3,)),
        ground.unlabelled,
        lambda look, _config, labels: ConstrainedClustering(look, labels, judge, loss),
        optimiser="adam",
    )


def _begin_warm_up(ground: Ground, _: Training | None) -> Training:
    constant: dict[str, Any] = {"schedule": "step", "drops": ()}
    config = _weak(_own(ground.config), 1 / 20, **constant)
    return _training(ground, config, ground.unlabelled, WarmUp)


def _begin_dtc(ground: Ground, _: Training | None) -> Training:
    config = _weak(_last(ground.config), 1 / 2, lr=ground.config.lr / 2)
    return _training(ground, config, ground.unlabelled, DeepTransferClustering)


def _begin_joint(ground: Ground, _: Training | None) -> Training:
    freeze_lower_layers(ground.network, ground.config)
    is_incremental = ground.config.method == "rs-ll"
    if is_incremental:
        generator = torch.Generator().manual_seed(ground.config.seed)
        novel = ground.network.novel.out_features
        ground.network.known = widened_head(ground.network.known, novel, generator)

    def objective(look: Look, config: Config, labels: Tensor) -> Objective:
        return RankingStatistics(look, config, labels, ground.threshold, is_incremental)

    return _training(ground, _weak(_last(ground.config)), ground.trainable, objective)


def narrow_known_head(network: Network, known: int) -> None:
    """Undo RS w/ LL's widening: phi_l answers for the C_l known classes alone again."""
    if network.known.out_features > known:
        narrow = torch.nn.utils.skip_init(torch.nn.Linear, network.fused_size, known)
        with torch.no_grad():
            narrow.weight.copy_(network.known.weight[:known])
            narrow.bias.copy_(network.known.bias[:known])
        network.known = narrow.to(network.known.weight.device)


def freeze_lower_layers(network: Network, config: Config) -> None:
    """Let nothing below the last stage of the pretrained encoders be trained, as RS does.

    Their BatchNorms' running statistics still move. RotNet has trained no audio encoder, which is
    left free; without pretraining all is.
    """
    if config.first_stage == "none":
        return
    for modality in network.encoders:
        if config.first_stage == "rotnet" and modality == "audio":
            continue
        for name, parameter in network.encoder(modality).named_parameters():
            parameter.requires_grad_(name.startswith("layer4."))
            parameter.grad = None  # what an earlier stage left there would stay


def _own(config: Config) -> Config:
    """The settings of the stages after pretraining."""
    return config.model_copy(update={"epochs": config.own_epochs or config.epochs})


def _last(config: Config) -> Config:
    """The settings of the last stage."""
    changed: dict[str, Any] = {}
    if config.own_weight_decay is not None:
        changed["weight_decay"] = config.own_weight_decay
    if config.own_drops is not None:
        changed |= {"schedule": "step", "drops": config.own_drops}
    if config.own_drop_factor is not None:
        changed["drop_factor"] = config.own_drop_factor
    return _own(config).model_copy(update=changed)


def _weak(config: Config, share: float = 1.0, **changed: Any) -> Config:
    """The settings of a baseline's own stage, which takes a share of the epochs: weak views."""
    epochs = max(1, round(share * config.epochs))
    views: dict[str, Any] = {
        "crop_scale": config.weak_crop_scale,
        "shift": config.weak_shift,
        "jitter": 0.0,
        "grey": 0.0,
        "blur": 0.0,
    }
    if config.weak_crop_scale[0] == 1:
        views["crop_ratio"] = (1.0, 1.0)
    steps = {
        "epochs": epochs,
        "batch": config.own_batch or config.batch,
        "warmup_epochs": min(config.warmup_epochs, epochs / 4),
    }
    return config.model_copy(update=views | steps | changed)


def _fitting_batch(config: Config, items: int) -> int:
    """The batch, or all items where they are fewer.

    Raises InputError if the processes cannot share it evenly: their number would then decide how
    many steps there are.
    """
    if items < distributed.count():
        raise InputError(
            f"a stage has only {items} items to train on, too few for {distributed.count()} "
            "processes; start fewer"
        )
    fitting = min(config.batch, items)
    is_own = config.batch == config.own_batch
    distributed.check_batch(fitting, "--own-batch" if is_own else "--batch")
    return fitting


def _training(
    ground: Ground,
    config: Config,
    rows: np.ndarray,
    make_objective: Callable[[Look, Config, Tensor], Objective],
    *,
    optimiser: Optimiser = "sgd",
    draw_batches: Callable[[int], list[Tensor]] | None = None,
) -> Training:
    """The training of a stage on some of the rows, by settings that fit them."""
    fitting: dict[str, Any] = {"batch": _fitting_batch(config, len(rows))}
    if len(rows) < len(ground.trainable):
        fitting["unlabelled_share"] = None
    config = config.model_copy(update=fitting)
    network = ground.network.to(ground.device)
    if config.sync_batch_norm and distributed.count() > 1:
        share_statistics(network, ground.device)
    labels = torch.from_numpy(ground.labels).to(ground.device)
    look = Look(network, config, ground.device, ground.compiles)
    objective = make_objective(look, config, labels)
    return Training(
        network,
        config,
        labels,
        rows,
        objective,
        ground.device,
        optimiser=optimiser,
        draw_batches=draw_batches,
    )
