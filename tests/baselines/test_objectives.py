"""What the stages of the baselines minimise, from views and network to the loss, as loops.

Each step is retraced on a copy of the network: the same views, the outputs, then the paper's or the
authors' equation over float64 scalars, and what the objective keeps beside the network.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn

from newfound.baselines import objectives as module
from newfound.baselines.objectives import (
    RENEWALS,
    ConstrainedClustering,
    DeepTransferClustering,
    Rotations,
    Similarity,
    WarmUp,
)
from newfound.batch import Batch, Media, Outputs
from newfound.data.image_loader import KeptImages
from newfound.ground import Ground
from newfound.models.network import make_network
from newfound.settings import make_config
from newfound.stages import begin_labels_alone, stages
from newfound.training.pseudo_labels import fixed_threshold
from newfound.training.train import Training, _mix, train
from reference import baselines as loops
from reference import equations
from support.made_images import made_arrays
from support.small_run import TINY_VIDEOS, tiny_config

EACH = 6
MIXED = [0, 2, 7, 13, 15, 16, 18, 23]
"""Rows of a batch: three labelled ones, then five unlabelled ones."""


pytestmark = pytest.mark.usefixtures("one_thread")


def problem() -> tuple[KeptImages, np.ndarray]:
    """Two labelled and two unlabelled classes, grey, 16 pixels, six of each."""
    pixels, kinds = made_arrays((0, 1, 2, 3), EACH)
    grey = torch.from_numpy(pixels).float().mean(dim=3).byte()[:, None]
    return KeptImages(grey), np.where(kinds < 2, kinds, -1)


def stage(key: str, trained: bool = True, **settings: Any) -> tuple[Training, KeptImages]:
    """A stage about to begin; those before it are trained, or only begun."""
    config = tiny_config(**{"epochs": 4, "batch": 8} | settings)
    items, labels = problem()
    network = make_network(config, 2, 2)
    rows = np.arange(len(labels))
    threshold = fixed_threshold(config)
    on, before = Ground(network, config, labels, rows, threshold, torch.device("cpu")), None
    for plan in stages(config):
        before = plan.begin(on, before)
        if plan.key == key:
            break
        if trained:
            assert train(before, items)
    assert before is not None
    return before, items


def batch_of(training: Training, items: KeptImages, rows: list[int]) -> Batch:
    index = torch.tensor(rows)
    return Batch(Media(items.pixels[index]), training.labels[index], index)


def looked(training: Training, network: nn.Module, batch: Batch, views: int) -> Outputs:
    """What the network gives in training mode for the views that the next step will see."""
    generator = torch.Generator().manual_seed(_mix(training.config.seed, training.step))
    viewer = training.objective.look.viewer
    seen = (viewer.one if views == 1 else viewer.two)(batch.media, generator)
    outputs: Outputs = network.train()(seen)
    return outputs


def assert_next_losses(
    training: Training, batch: Batch, views: int, expected: Callable[[Outputs], dict[str, Tensor]]
) -> None:
    """A step has these terms, and goes where the gradient of their total says."""
    slow = copy.deepcopy(training.network)
    terms = expected(looked(training, slow, batch, views))
    training._sums.zero_()
    training.network.train().zero_grad()
    training.take_step(batch)
    made = dict(zip(training.objective.names, training._sums.tolist()))
    assert made == pytest.approx({name: term.item() for name, term in terms.items()}, rel=1e-4)

    terms["total"].backward()
    for name, parameter in training.network.named_parameters():
        gradient = dict(slow.named_parameters())[name].grad
        if gradient is None:
            assert parameter.grad is None or not parameter.grad.any(), name
        elif parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6, msg=name)


def probabilities(logits: Tensor) -> Tensor:
    return torch.stack([torch.stack(equations.softmax(row)) for row in logits.double()])


# ---- labels, contrast, rotations ------------------------------------------------------------


def test_cross_entropy_is_the_mean_over_labelled_items() -> None:
    training, items = stage("labels", method="kmeans")
    batch = batch_of(training, items, [0, 7, 2, 11])
    assert_next_losses(
        training,
        batch,
        1,
        lambda out: {
            "total": loops.first_view_cross_entropy(out.known.double(), batch.label.tolist())
        },
    )


def test_labels_alone_are_cross_entropy_of_both_views() -> None:
    items, labels = problem()
    config = tiny_config(epochs=9, warmup_epochs=3, ce_weight=0.0)
    network = make_network(config, 2, 2)
    on = Ground(network, config, labels, np.arange(len(labels)), None, torch.device("cpu"))
    training = begin_labels_alone(on)
    assert (training.config.epochs, training.config.warmup_epochs) == (3, 1)
    batch = batch_of(training, items, [0, 7, 2, 11])
    novel = copy.deepcopy(network.novel.state_dict())

    def expected(out: Outputs) -> dict[str, Tensor]:
        return {"total": equations.cross_entropy(out.known.double(), batch.label.tolist())}

    assert_next_losses(training, batch, 2, expected)
    assert all(torch.equal(was, network.novel.state_dict()[name]) for name, was in novel.items())


@pytest.mark.parametrize("pretraining", ["cl", "simclr"])
def test_contrast_is_nce_i_with_or_without_cross_entropy_and_nce_c(pretraining: str) -> None:
    training, items = stage(
        pretraining, method="kmeans", pretraining=pretraining, temperature=0.5, projection_size=3
    )
    batch = batch_of(training, items, MIXED)
    labels = batch.label.tolist() if pretraining == "cl" else [-1] * len(MIXED)

    def expected(out: Outputs) -> dict[str, Tensor]:
        z, both = out.contrast["visual"].double(), labels * 2
        rows = range(len(both))
        ce = equations.cross_entropy(out.known.double(), labels)
        instance = sum(equations.nce_instance(z, i, 0.5) for i in rows) / len(both)
        category = sum(equations.nce_category(z, both, i, 0.5) for i in rows) / len(both)
        assert (ce.item() > 0, category.item() > 0) == (pretraining == "cl",) * 2
        total = ce + instance + category
        return {"total": total, "ce": ce, "nce_instance": instance, "nce_category": category}

    assert_next_losses(training, batch, 2, expected)


def test_simclr_sees_no_label() -> None:
    losses = []
    for labels in ([0, 0, 1, -1], [-1, 1, -1, -1]):
        training, items = stage("simclr", method="kmeans", pretraining="simclr")
        batch = batch_of(training, items, [0, 1, 6, 13])
        training.take_step(Batch(batch.media, torch.tensor(labels), batch.index))
        losses.append(float(training.last_total))
    assert losses[0] == losses[1]


def test_contrast_without_labels_leaves_both_heads_alone_to_the_bit() -> None:
    """In place of shrinking them by weight decay, as a loss of zero would."""
    training, items = stage("simclr", method="kmeans", pretraining="simclr", weight_decay=0.1)
    before = copy.deepcopy(training.network.state_dict())
    training.take_step(batch_of(training, items, [0, 1, 6, 13]))
    after = training.network.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {"known.weight", "known.bias"} <= same
    assert not any(name.endswith("conv1.weight") for name in same)


@pytest.mark.parametrize(
    ("pretraining", "instance", "category"),
    [("cl", "cross", "within"), ("simclr", "within", "off")],
)
def test_contrast_of_videos_pairs_modalities_as_the_settings_say_and_simclrs_within(
    pretraining: str, instance: str, category: str
) -> None:
    """Table 2, row 4, is within each modality, whatever our method's settings are."""
    config = make_config(
        **TINY_VIDEOS
        | {
            "method": "kmeans",
            "pretraining": pretraining,
            "instance_pairs": "cross",
            "category_pairs": "within",
            "batch": 4,
        }
    )
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4, 3, 2, 16, 16), generator=generator).byte()
    sound = torch.randint(-9999, 9999, (4, 4800), generator=generator).short()
    media = Media(pixels, sound, torch.tensor([True, False, True, True]))
    labels = np.array([0, 0, 1, -1])
    on = Ground(make_network(config, 2, 2), config, labels, np.arange(4), None, torch.device("cpu"))
    training = stages(config)[0].begin(on, None)
    batch = Batch(media, torch.from_numpy(labels), torch.arange(4))
    out = looked(training, copy.deepcopy(training.network), batch, 2)
    training.take_step(batch)
    record = training.close_epoch()
    expected = equations.multimodal_contrastive(
        out.contrast["visual"].double(),
        out.contrast["audio"].double(),
        labels.tolist() * 2,
        [True, False, True, True] * 2,
        config.temperature,
        instance,
        category,
        instance == "cross",
    )
    made = (record["nce_instance"], record["nce_category"])
    assert made == pytest.approx([term.item() for term in expected], rel=1e-4)


def test_rotations_are_told_from_one_view_turned_four_times() -> None:
    training, items = stage("rotnet", method="rs")
    objective, batch = training.objective, batch_of(training, items, MIXED)
    assert isinstance(objective, Rotations)
    slow, head = copy.deepcopy(training.network).train(), copy.deepcopy(objective.head)
    generator = torch.Generator().manual_seed(_mix(training.config.seed, 0))
    view = objective.look.viewer.one(batch.media, generator).pixels
    turned = []
    for quarters in range(4):
        pictures = [channels.tolist() for channels in view[:, 0]]
        for _ in range(quarters):
            pictures = [loops.quarter_turn(picture) for picture in pictures]
        turned.append(torch.tensor(pictures)[:, None])
    logits = head(slow.encoder("visual")(torch.cat(turned))).double()
    quarter_of_row = [r for r in range(4) for _ in MIXED]
    training.take_step(batch)
    expected = loops.first_view_cross_entropy(logits, quarter_of_row)
    assert float(training.last_total) == pytest.approx(expected.item(), rel=1e-4)


def test_rotations_are_learnt() -> None:
    """Both the encoder and the head, which the seed draws and a checkpoint keeps."""
    easy = {"lr": 0.1, "flip": 0.0, "weak_crop_scale": (1.0, 1.0), "batch": 12}
    training, items = stage("rotnet", method="rs", epochs=20, **easy)
    other, _ = stage("rotnet", method="rs", seed=1)
    was = copy.deepcopy(training.objective.state_dict())
    assert was.keys() == {"head.weight", "head.bias"}
    assert not torch.equal(was["head.weight"], other.objective.state_dict()["head.weight"])
    records: list[dict[str, Any]] = []
    assert train(training, items, after_epoch=lambda record, _: records.append(record))
    assert records[0]["total"] > 1.2 and records[-1]["total"] < 0.6  # by chance log 4
    assert not torch.equal(was["head.weight"], training.objective.state_dict()["head.weight"])
    assert training.categories is None


# ---- ranking statistics ---------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("pairs", ["rank", "wta", "cosine"])
@pytest.mark.parametrize("method", ["rs", "rs-ll"])
def test_a_step_of_ranking_statistics(method: str, pairs: str, epoch: int) -> None:
    """CE of view 0, BCE over all pairs of unlabelled items, both heads' consistency, LL."""
    training, items = stage(
        "training",
        method=method,
        pretraining="labels",
        pairs=pairs,
        rank_top=1,
        mu=14.1,
        cosine_threshold=0.75,
        ramp_length=0.75,
    )
    config, batch = training.config, batch_of(training, items, MIXED)
    training.step = (epoch - 1) * training.steps_per_epoch
    labels, items_of_batch = batch.label.tolist(), len(MIXED)
    novel_rows = [i for i in range(items_of_batch) if labels[i] < 0]
    omega = equations.ramp(epoch, 3, 1.0)

    def similar(features: Tensor) -> Tensor:
        if pairs == "rank":
            alike = [[equations.same_greatest(a, b, 1) for b in features] for a in features]
            return torch.tensor(alike, dtype=torch.float64)
        if pairs == "wta":
            windows = training.network.windows
            return equations.similar(equations.wta_agreement(features, windows, 4), 14.1)
        near = [[float(loops.cosine(a, b)) for b in features] for a in features]
        return equations.similar(torch.tensor(near), 0.75).fill_diagonal_(1)

    def expected(out: Outputs) -> dict[str, Tensor]:
        known, novel = out.known.double(), out.novel.double()
        s = similar(out.fused[:items_of_batch].detach().double())[novel_rows][:, novel_rows]
        assert len(novel_rows) < s.sum() < s.numel()
        p = probabilities(novel[novel_rows])
        q = probabilities(novel[[i + items_of_batch for i in novel_rows]])
        ce = loops.first_view_cross_entropy(known, labels)
        bce = equations.pairwise_bce(p, q, s)
        mse = loops.elementwise_consistency(known) + loops.elementwise_consistency(novel)
        total, pseudo_label = ce + bce + config.consistency_weight * omega * mse, loops.zero()
        if method == "rs-ll":
            made = loops.pseudo_labels(novel, labels, 2)
            pseudo_label = loops.first_view_cross_entropy(known, made)
            total = total + 0.05 * omega * pseudo_label
        return {"total": total, "ce": ce, "bce": bce, "mse": mse, "pseudo_label": pseudo_label}

    assert config.consistency_weight == 5
    assert_next_losses(training, batch, 2, expected)


def test_the_ramp_of_ranking_statistics_is_over_after_its_length() -> None:
    training, items = stage(
        "training", method="rs", pretraining="none", epochs=8, ramp_length=0.5, rank_top=1
    )
    records: list[dict[str, Any]] = []
    assert train(training, items, after_epoch=lambda record, _: records.append(record))
    expected = [math.exp(-5 * (1 - min(epoch / 4, 1)) ** 2) for epoch in range(1, 9)]
    assert [record["omega"] for record in records] == pytest.approx(expected)
    for r in records:
        total = r["ce"] + r["bce"] + 5 * r["omega"] * r["mse"]
        assert r["total"] == pytest.approx(total, rel=1e-5)
        assert math.isnan(r["mu"]), "sets of features have no threshold"
        assert 0 <= r["pairs_share"] < 1 and 0 <= r["entropy"] <= 1
    assert any(record["pairs_share"] > 0 for record in records)


# ---- similarity networks --------------------------------------------------------------------


def test_a_step_of_the_similarity_network() -> None:
    """Cross-entropy over all pairs; nothing but the judge is taught."""
    training, items = stage("similarity", method="kcl", own_batch=6)
    objective = training.objective
    assert isinstance(objective, Similarity)
    batch = batch_of(training, items, [0, 1, 2, 6, 7, 8])
    judge, network = copy.deepcopy(objective.judge).train(), copy.deepcopy(training.network)
    generator = torch.Generator().manual_seed(_mix(training.config.seed, 0))
    logits = judge(objective.look.viewer.one(batch.media, generator)).double()
    expected = loops.zero()
    for i in range(6):
        for j in range(6):
            is_same = int(batch.label[i] == batch.label[j])
            expected = expected - torch.log(equations.softmax(logits[i, j])[is_same])
    training.take_step(batch)
    assert float(training.last_total) == pytest.approx(expected.item() / 36, rel=1e-4)
    for name, value in network.state_dict().items():
        assert torch.equal(value, training.network.state_dict()[name]), name

    found = logits.argmax(dim=2).bool()
    same = batch.label[:, None] == batch.label
    right = int((found & same).sum())
    figures = objective.close_epoch(1)
    assert figures["pairs_recall"] == pytest.approx(right / int(same.sum()))
    assert figures["pairs_precision"] == pytest.approx(
        right / int(found.sum()) if found.any() else math.nan, nan_ok=True
    )
    assert not objective.pairs.any()


@pytest.mark.parametrize("method", ["kcl", "mcl"])
def test_a_step_of_clustering_by_the_judges_hard_answers(method: str) -> None:
    """Both networks see one view; the judge works in training mode."""
    training, items = stage("training", method=method, epochs=8, own_batch=6)
    objective = training.objective
    assert isinstance(objective, ConstrainedClustering)
    batch = batch_of(training, items, [12, 13, 14, 18, 19, 20])
    for _ in range(2):
        judge = copy.deepcopy(objective.judge).train()
        generator = torch.Generator().manual_seed(_mix(training.config.seed, training.step))
        seen = objective.look.viewer.one(batch.media, generator)
        similar = judge(seen).argmax(dim=2).double()

        def expected(out: Outputs, s: Tensor = similar) -> dict[str, Tensor]:
            if method == "kcl":
                return {"total": loops.kcl(out.novel.double(), s)}
            p = probabilities(out.novel)
            return {"total": equations.pairwise_bce(p, p, s)}

        assert_next_losses(training, batch, 1, expected)


@pytest.mark.parametrize("method", ["kcl", "mcl"])
def test_the_judge_keeps_its_weights_but_its_statistics_move(method: str) -> None:
    training, items = stage("training", method=method, epochs=8, own_batch=6)
    objective = training.objective
    assert isinstance(objective, ConstrainedClustering)
    was, novel = copy.deepcopy(objective.judge.state_dict()), training.network.novel.weight.clone()
    assert train(training, items)
    now = objective.judge.state_dict()
    moved = {name for name in was if not torch.equal(was[name], now[name])}
    of_norms = {n for n in was if n.endswith(("running_mean", "running_var", "batches_tracked"))}
    assert of_norms == moved
    assert {"pairs.norm.running_mean", "network.encoders.visual.bn1.running_var"} <= moved
    assert not torch.equal(novel, training.network.novel.weight)


def test_the_losses_are_given_hard_answers() -> None:
    training, items = stage("training", method="mcl", own_batch=6)
    objective, given = training.objective, []
    assert isinstance(objective, ConstrainedClustering)
    original = objective.loss

    def loss(logits: Tensor, similar: Tensor) -> Tensor:
        given.append(similar)
        return original(logits, similar)

    objective.loss = loss
    assert train(training, items)
    assert given and all(s.dtype == torch.bool and s.shape == (6, 6) for s in given)
    assert not any(s.requires_grad for s in given)


# ---- deep transfer clustering ---------------------------------------------------------------


def answers(training: Training, items: KeptImages) -> tuple[np.ndarray, Tensor]:
    """Features, and the probabilities of phi_u, of the unlabelled items without augmentation."""
    plain = training.objective.look.viewer.plain(Media(items.pixels[12:]))
    with torch.no_grad():
        outputs = copy.deepcopy(training.network).eval()(plain)
    return outputs.fused.numpy(), outputs.novel.softmax(dim=1)


def objective_of(training: Training) -> DeepTransferClustering:
    assert isinstance(training.objective, DeepTransferClustering)
    return training.objective


def test_the_warm_up_begins_with_k_means_of_the_pca() -> None:
    training, items = stage("warm-up", method="dtc", pretraining="labels")
    objective, centres = training.objective, training.network.novel.centres
    assert isinstance(objective, WarmUp)
    assert not centres.any()
    features, _ = answers(training, items)
    projected = PCA(2, random_state=0).fit_transform(features)
    fitted = KMeans(2, n_init=20, random_state=0).fit(projected).cluster_centers_
    objective.begin_epoch(1, items)
    torch.testing.assert_close(centres.detach(), torch.from_numpy(fitted), rtol=1e-4, atol=1e-5)
    q = loops.student_assignment(torch.from_numpy(projected).double(), torch.from_numpy(fitted))
    expected = loops.target_distribution(q).float()
    torch.testing.assert_close(objective.targets[12:], expected, rtol=1e-3, atol=1e-5)
    assert not objective.targets[:12].any()

    targets = objective.targets.clone()
    assert train(training, items)  # an epoch, at whose beginning the very same targets are made
    objective.begin_epoch(2, items)
    assert torch.equal(objective.targets, targets), "the warm-up learns one set of targets"
    assert not torch.equal(centres.detach(), torch.from_numpy(fitted))


def clustering(variant: str, epochs: int = 4, **changed: Any) -> tuple[Training, KeptImages]:
    """The last stage, of so many epochs, after the warm-up."""
    settings = {"method": "dtc", "pretraining": "labels", "dtc_variant": variant}
    own = {"own_epochs": 2 * epochs, "ramp_length": 1.0}
    return stage("training", **settings | own | changed)


@pytest.mark.parametrize("variant", ["plain", "pi", "te", "tep"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_step_of_deep_transfer_clustering(variant: str, epoch: int) -> None:
    training, items = clustering(variant)
    objective, config = objective_of(training), training.config
    for earlier in range(1, epoch + 1):
        objective.begin_epoch(earlier, items)
    training.step = (epoch - 1) * training.steps_per_epoch
    rows = [12, 14, 15, 19, 20, 23]
    batch, targets = batch_of(training, items, rows), objective.targets[rows].double()
    omega = equations.ramp(epoch, 4, 1.0)
    other = objective.ensemble[rows].double()

    def expected(out: Outputs) -> dict[str, Tensor]:
        q = probabilities(out.novel[:6])
        kl, mse = loops.mean_divergence(q, targets), loops.zero()
        if variant == "pi":
            mse = loops.elementwise_consistency(out.novel.double())
        if variant == "te" and epoch > 1:
            for i in range(6):
                for c in range(2):
                    mse = mse + (q[i, c] - other[i, c]) ** 2 / 12
        return {"total": kl + config.consistency_weight * omega * mse, "kl": kl, "mse": mse}

    assert (targets > 0).all()
    assert_next_losses(training, batch, 2 if variant == "pi" else 1, expected)


def test_the_warm_up_has_no_consistency() -> None:
    training, items = stage("warm-up", method="dtc", pretraining="labels", dtc_variant="pi")
    records: list[dict[str, Any]] = []
    assert train(training, items, after_epoch=lambda record, _: records.append(record))
    assert records
    assert all("mse" not in record and record["total"] == record["kl"] for record in records)


def disturb(training: Training) -> None:
    """Let the network say something else."""
    with torch.no_grad():
        training.network.novel.linear.bias.add_(0.2)


@pytest.mark.parametrize("variant", ["plain", "te", "tep"])
def test_targets_are_renewed_when_they_are_due_and_only_then(variant: str) -> None:
    """Twenty times: before the 1st, 6th, 11th of 100 epochs."""
    training, items = clustering(variant, epochs=100)
    objective, said, renewed = objective_of(training), [], []
    assert training.config.epochs == 100
    for epoch in range(1, 14):
        before = objective.targets.clone()
        _, q = answers(training, items)
        objective.begin_epoch(epoch, items)
        if epoch > 1:
            said.append(q.double())
        if not torch.equal(before, objective.targets):
            renewed.append(epoch)
            source = q.double()
            if variant == "tep" and epoch > 1:
                source = loops.temporal_ensemble(said, 0.6)
            expected = loops.target_distribution(source).float()
            torch.testing.assert_close(objective.targets[12:], expected, rtol=1e-3, atol=1e-5)
        disturb(training)
    assert renewed == [1, 6, 11]
    assert not objective.targets[:12].any()


def test_in_a_short_stage_targets_are_renewed_in_every_epoch() -> None:
    training, items = clustering("plain", epochs=RENEWALS - 1)
    objective = objective_of(training)
    for epoch in range(1, 5):
        before = objective.targets.clone()
        objective.begin_epoch(epoch, items)
        assert not torch.equal(before, objective.targets)
        disturb(training)


@pytest.mark.parametrize("variant", ["te", "tep"])
def test_the_ensemble_is_of_what_was_said_after_each_epoch(variant: str) -> None:
    training, items = clustering(variant, epochs=100)
    objective, said = objective_of(training), []
    objective.begin_epoch(1, items)
    assert not objective.ensemble.any(), "there is no epoch before the first"
    for epoch in range(2, 9):
        disturb(training)
        said.append(answers(training, items)[1].double())
        objective.begin_epoch(epoch, items)
        expected = loops.temporal_ensemble(said, 0.6).float()
        torch.testing.assert_close(objective.ensemble[12:], expected, rtol=1e-4, atol=1e-6)
    assert not objective.ensemble[:12].any()


@pytest.mark.parametrize("variant", ["plain", "pi"])
def test_without_an_ensemble_nothing_is_asked_between_renewals(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, items = clustering(variant, epochs=100)
    asked, original = [], module.ask
    monkeypatch.setattr(module, "ask", lambda *a, **named: asked.append(1) or original(*a, **named))
    for epoch in range(1, 12):
        objective_of(training).begin_epoch(epoch, items)
    assert len(asked) == 3
    assert not objective_of(training).ensemble.any()


def test_centres_and_layers_are_trained_in_the_last_stage() -> None:
    training, items = clustering("plain")
    was = copy.deepcopy(training.network.state_dict())
    assert train(training, items)
    now = training.network.state_dict()
    moved = {name for name in was if not torch.equal(was[name], now[name])}
    assert {"novel.centres", "novel.linear.weight"} <= moved
    assert {n for n in was if n.startswith("encoders.") and "weight" in n} <= moved
    assert not moved & {"known.weight", "known.bias"}


def test_a_checkpoint_holds_targets_and_ensemble() -> None:
    (cut, items), (resumed, _), (whole, _) = (clustering("te", own_batch=4) for _ in range(3))
    assert cut.steps_per_epoch == 3
    assert not train(cut, items, after_step=lambda state: state.step < 7)  # within an epoch
    resumed.load_state_dict(copy.deepcopy(cut.state_dict()))
    assert train(whole, items) and train(resumed, items)
    for part in ("network", "objective"):
        for name, value in whole.state_dict()[part].items():
            other = resumed.state_dict()[part][name]
            torch.testing.assert_close(value, other, rtol=0, atol=0, equal_nan=True, msg=name)


# ---- what they have in common ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "key", "rows"),
    [
        ("rs", "training", MIXED),
        ("kcl", "training", [12, 13, 18, 20, 22, 23]),
        ("dtc", "training", [12, 13, 18, 20, 22, 23]),
    ],
)
def test_what_phi_u_says_of_view_0_is_tallied(method: str, key: str, rows: list[int]) -> None:
    training, items = stage(key, method=method, pretraining="labels", epochs=8)
    training.objective.begin_epoch(1, items)
    batch = batch_of(training, items, rows)
    views = 1 if method == "kcl" else 2
    out = looked(training, copy.deepcopy(training.network), batch, views)
    training.network.train()
    training.take_step(batch)
    said = out.novel[: len(rows)].softmax(dim=1)
    assert training.categories is not None
    assert torch.equal(training.categories[rows], said.argmax(dim=1))
    mass = training.objective.tally.mass.float()
    torch.testing.assert_close(mass, said[batch.label < 0].sum(dim=0), rtol=1e-4, atol=1e-5)
    others = np.setdiff1d(np.arange(24), rows)
    assert (training.categories[others] == -1).all()
    figures = training.objective.close_epoch(1)
    assert {"entropy", "churn"} <= figures.keys()


def test_bfloat16_reaches_the_networks_and_not_the_losses() -> None:
    for method in ("rs", "kcl", "dtc"):
        training, items = stage(
            "training", trained=False, method=method, pretraining="labels", precision="bfloat16"
        )
        types: set[torch.dtype] = set()
        convolution = training.network.encoder("visual").conv1
        convolution.register_forward_hook(lambda _m, _i, out, to=types: to.add(out.dtype))
        training.objective.begin_epoch(1, items)
        rows = MIXED if method == "rs" else list(range(12, 20))
        losses = training.objective.losses(
            batch_of(training, items, rows), torch.Generator().manual_seed(0), 1
        )
        assert types == {torch.bfloat16}
        assert {loss.dtype for loss in losses.values()} == {torch.float32}
