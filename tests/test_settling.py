"""The novel head settles after training: by Eqs. 6-8, only if it had not, and nothing else does."""

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from newfound import mu_search, settling
from newfound import run as run_module
from newfound.candidates import MU_FRACTIONS
from newfound.config import Config
from newfound.data.image_loader import KeptImages
from newfound.data.opening import open_catalogue
from newfound.errors import InputError
from newfound.ground import Ground
from newfound.models.network import make_network
from newfound.mu_search import begin_trial, make_rehearsal, score_trial
from newfound.objective.pairs import wta_agreement, wta_windows
from newfound.presets import METHOD_SETTINGS, PRESETS
from newfound.reproduce.datasets import DATA_SETS
from newfound.reproduce.rows import ScaleName
from newfound.results.evaluate import clustering_accuracy
from newfound.results.inference import ask
from newfound.settings import make_config
from newfound.settling import (
    Settling,
    other_starts,
    settle,
    settle_head,
    settles,
    standardised,
)
from newfound.training.pseudo_labels import PseudoLabels
from newfound.training.train import train
from support.made_images import made_arrays, make_folder
from support.small_run import (
    TINY_VIDEOS,
    assert_same_run,
    contents,
    discover_command,
    events,
    newfound,
    one_thread,
    tensors,
    tiny_config,
)

ITEMS, SIZE, CATEGORIES = 60, 24, 3
TRUTH = np.arange(ITEMS) % CATEGORIES


def features(noise: float = 0.5) -> Tensor:
    """Sparse ones, as after ReLU, about three middles."""
    middles = 3 * torch.randn(CATEGORIES, SIZE, generator=torch.Generator().manual_seed(5))
    apart = torch.randn(ITEMS, SIZE, generator=torch.Generator().manual_seed(6))
    return (middles[TRUTH] + noise * apart).relu()


def settings(**changed: Any) -> Config:
    return tiny_config(**{"hashes": 64, "window": 4, "mu": "share", "settle_steps": 200} | changed)


def labeller(config: Config) -> PseudoLabels:
    windows = wta_windows(SIZE, config.hashes, config.window, torch.Generator().manual_seed(3))
    return PseudoLabels(config, windows, None, CATEGORIES)


def merged_head() -> nn.Linear:
    """Holds the first two of three categories for one, which its third hardly ever wins."""
    middles = torch.stack([features(0.0)[kind == TRUTH][0] for kind in range(CATEGORIES)])
    head = nn.Linear(SIZE, CATEGORIES)
    with torch.no_grad():
        both = (middles[0] + middles[1]) / 2
        head.weight.copy_(0.1 * torch.stack([both, middles[2], both]))
        head.bias.copy_(torch.tensor([0.5, 0.0, 0.0]))
    return head


def acc(head: nn.Module) -> float:
    return clustering_accuracy(TRUTH, head(features()).argmax(dim=1).numpy())


def test_categories_held_for_one_are_told_apart() -> None:
    head = merged_head()
    assert acc(head) == pytest.approx(2 / 3)
    settled = settle_head(head, [], features(), features(), labeller(settings()), settings())
    assert settled.is_kept
    assert settled.after < 0.9 * settled.before
    assert acc(head) == 1


def test_a_head_that_had_settled_stays_bit_for_bit() -> None:
    head = merged_head()
    settle_head(head, [], features(), features(), labeller(settings()), settings())
    before = copy.deepcopy(head.state_dict())
    again = settle_head(head, [], features(), features(), labeller(settings()), settings(seed=1))
    assert not again.is_kept
    assert all(torch.equal(weight, before[name]) for name, weight in head.state_dict().items())


@pytest.mark.parametrize("is_better", [True, False])
def test_of_several_starts_the_one_whose_loss_ends_least_is_taken(
    is_better: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trained head has no time to leave its place; another one is, or is not, at a better."""
    good, useless = merged_head(), nn.Linear(SIZE, CATEGORIES)
    settle_head(good, [], features(), features(), labeller(settings()), settings())
    with torch.no_grad():
        useless.weight.zero_()
        useless.bias.copy_(torch.tensor([30.0, 0.0, 0.0]))  # all in one category, for sure
    others = [useless, copy.deepcopy(good) if is_better else copy.deepcopy(useless)]
    monkeypatch.setattr(settling, "WORTH_A_FALL", 0.0 if is_better else -9.0)
    head, few = merged_head(), settings(settle_steps=1)
    settled = settle_head(head, others, features(), features(), labeller(few), few)
    assert (acc(head) == 1) == is_better
    assert torch.equal(head.weight, others[1].weight) == is_better
    assert (settled.after < 0.9 * settled.before) == is_better


def test_other_starts_are_random_and_leave_the_process_generator_as_it_was() -> None:
    head, state = merged_head().double(), torch.get_rng_state()
    made = [[start.weight for start in other_starts(head, seed)] for seed in (3, 3, 4)]
    assert all(weight.dtype == torch.float64 for weight in made[0])
    sums = {weight.sum().item() for weight in (head.weight, *made[0], *made[2])}
    assert len(sums) == 1 + 2 * settling.OTHER_STARTS
    assert all(map(torch.equal, made[0], made[1]))
    assert torch.equal(state, torch.get_rng_state())


def test_standardised_features_have_no_mean_and_deviate_by_one() -> None:
    given = features().double()
    given[:, 3] = 2.0  # says nothing, and divides by nothing
    expected = StandardScaler().fit_transform(given.numpy())
    torch.testing.assert_close(standardised(given), torch.from_numpy(expected))


def test_steps_are_those_of_sgd_on_the_pairs_of_drawn_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Written out, with momentum, weight decay and the cosine; the pairs' loss item by item."""
    monkeypatch.setattr(settling, "BATCH", 12)
    monkeypatch.setattr(settling, "MEASURED", 2)
    monkeypatch.setattr(settling, "WORTH_A_FALL", -9.0)  # whatever becomes of the loss, keep it
    config = settings(settle_steps=4, seed=7, momentum=0.8, weight_decay=0.01)
    windows = labeller(config).windows
    given, head = features().double(), merged_head().double()
    compared = given.flip(1) ** 2
    weights = [weight.detach().clone() for weight in head.parameters()]

    def loss(rows: Tensor) -> Tensor:
        agree = wta_agreement(compared[rows], windows) >= 20
        p = (given[rows] @ weights[0].T + weights[1]).softmax(dim=1)
        terms = [
            -(same if agree[i, j] else 1 - same).log()
            for i in range(len(rows))
            for j in range(len(rows))
            for same in [(p[i] * p[j]).sum().clamp(1e-6, 1 - 1e-6)]
        ]
        return torch.stack(terms).mean()

    generator = torch.Generator().manual_seed(7)
    measured_on = torch.randperm(ITEMS, generator=generator)[:24].split(12)
    before = float(torch.stack([loss(rows) for rows in measured_on]).mean())
    velocity = [torch.zeros_like(weight) for weight in weights]
    for step in range(4):
        rows = torch.randperm(ITEMS, generator=generator)[:12]
        weights = [weight.requires_grad_() for weight in weights]
        slopes = torch.autograd.grad(loss(rows), weights)
        rate = 5 / float((given**2).sum(dim=1).mean()) * (1 + np.cos(np.pi * step / 4)) / 2
        velocity = [0.8 * v + g + 0.01 * w for v, g, w in zip(velocity, slopes, weights)]
        weights = [(w - rate * v).detach() for w, v in zip(weights, velocity)]
    after = float(torch.stack([loss(rows) for rows in measured_on]).mean())

    steps: list[int] = []
    pairs = PseudoLabels(config, windows, 20.0, CATEGORIES)
    settled = settle_head(head, [], given, compared, pairs, config, steps.append)
    torch.testing.assert_close(list(head.parameters()), weights, rtol=1e-6, atol=1e-9)
    assert settled == pytest.approx((before, after), rel=1e-6)
    assert steps == [1, 1, 1, 1]


@pytest.mark.parametrize("pairs", ["wta", "nearest"])
@pytest.mark.parametrize("modalities", ["none", "visual", "both"])
def test_the_network_and_threshold_of_the_ground_are_what_settles(
    modalities: str, pairs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fused features settle otherwise, if pairs are WTA's and their threshold may follow."""
    monkeypatch.setattr(settling, "WORTH_A_FALL", -9.0)
    more: dict[str, Any] = {"pairs": pairs, "mu": "share", "settle_steps": 5}
    if modalities == "none":
        config: Config = settings(**more)
    else:
        within = {"instance_pairs": "within", "category_pairs": "within"}
        config = make_config(**TINY_VIDEOS | {"modalities": modalities} | within | more)
    network = make_network(config, 2, CATEGORIES)
    labels = np.array([0, 1] + [-1] * ITEMS)
    given = torch.rand(ITEMS, network.fused_size, generator=torch.Generator().manual_seed(1))
    given *= torch.arange(network.fused_size)
    for threshold in (None, 12.0):
        head = copy.deepcopy(network.novel)
        assert isinstance(head, nn.Linear)
        compared, others = given, []
        if (modalities, pairs, threshold) == ("both", "wta", None):
            compared, others = standardised(given), other_starts(head, config.seed)
        labeller = PseudoLabels(config, network.windows, threshold, CATEGORIES)
        settle_head(head, others, given, compared, labeller, config)
        alike = copy.deepcopy(network)
        ground = Ground(alike, config, labels, np.arange(62), threshold, torch.device("cpu"))
        settle(ground, given)
        assert torch.equal(alike.novel.weight, head.weight)
        assert not torch.equal(alike.novel.weight, network.novel.weight)


def test_only_a_head_that_enough_pairs_teach_settles() -> None:
    def wanted(unlabelled: int = settling.FEWEST, **changed: Any) -> bool:
        return settles(settings(**changed), unlabelled, [])

    assert wanted()
    assert not wanted(settling.FEWEST - 1)
    assert not wanted(settle_steps=0)
    assert not wanted(bce_weight=0.0)
    told = Config.model_fields["settle_steps"].description
    assert told is not None
    assert f"if there are {settling.FEWEST} unlabelled items" in told
    with pytest.raises(InputError, match="settle_steps is 200, and method is rs"):
        settings(method="rs")


def test_the_head_settles_in_the_presets_for_a_cpu_alone() -> None:
    own = {name: make_config(name).settle_steps for name in PRESETS}
    assert {name for name, steps in own.items() if steps} == {"quick", "quick-videos", "digits"}
    for method, preset in itertools.product(METHOD_SETTINGS, PRESETS):
        if method != "ours":
            assert make_config(preset, method=method).settle_steps == 0


@pytest.mark.parametrize("scale", ["full", "small"])
def test_no_row_of_the_papers_tables_settles(scale: ScaleName) -> None:
    data_sets = [*DATA_SETS.values()]
    assert {data_set.config(scale, {}).settle_steps for data_set in data_sets} == {0}


# ---- in a run ------------------------------------------------------------------------------


def test_a_head_that_training_had_settled_is_left_alone() -> None:
    """As the README's digits, where plain features know less than training did."""

    def wanted(*churn: float | None) -> bool:
        return settles(settings(), settling.FEWEST, [{"churn": value} for value in churn])

    assert wanted(0.12) and wanted(None, 0.05), "too few epochs to tell"
    assert wanted(*[0.0] * 18, 0.09, 0.12)
    assert not wanted(*[0.5] * 18, 0.05, 0.14)
    assert not wanted(float("nan"), *[0.3] * 10, 0.1, 0.1)


def test_the_epochs_of_a_run_tell_whether_its_head_settles(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_kept: None
) -> None:
    command = discover_command(photos, tmp_path / "run", settle_steps=2, epochs=4)
    monkeypatch.setattr(settling, "RESTLESS", 1.0)
    assert newfound(*command) == 0
    assert "settled" not in events(tmp_path / "run")


def test_so_do_those_of_a_trial_of_mu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    def watched(_config: Config, _unlabelled: int, epochs: list[dict[str, Any]]) -> bool:
        told.append(sum("churn" in figures for figures in epochs))
        return False

    monkeypatch.setattr(mu_search, "settles", watched)
    photos = make_folder(tmp_path / "photos", known=(0, 1, 2, 3), novel=(4, 5), each=5)
    searching = {"mu": "heldout", "heldout_epochs": 3, "epochs": 1}
    assert newfound(*discover_command(photos, tmp_path / "run", **searching)) == 0
    assert told == [3] * len(MU_FRACTIONS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "photos")


def settled_record(run: Path) -> dict[str, Any]:
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return next(line for line in lines if line["event"] == "settled")


@pytest.fixture
def always_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "FEWEST", 1)
    monkeypatch.setattr(settling, "WORTH_A_FALL", -9.0)


def test_nothing_but_the_novel_head_settles_on_the_features_of_the_unlabelled(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_kept: None
) -> None:
    seen: list[Tensor] = []

    def watched(ground: Ground, given: Tensor, advance: Any) -> Settling:
        seen.append(given)
        return settle(ground, given, advance)

    monkeypatch.setattr(run_module, "settle", watched)
    with one_thread():
        for name, steps in (("still", 0), ("settled", 20)):
            assert newfound(*discover_command(photos, tmp_path / name, settle_steps=steps)) == 0
    still, settled = tensors(tmp_path / "still"), tensors(tmp_path / "settled")
    changed = {name for name in still if not torch.equal(still[name], settled[name])}
    assert changed == {"novel.weight", "novel.bias"}
    assert "settled" not in events(tmp_path / "still")
    assert settled_record(tmp_path / "settled")["kept"]
    [given] = seen
    unlabelled = np.load(tmp_path / "settled" / "embedding.npz")["features"]
    np.testing.assert_array_equal(given.numpy(), unlabelled)
    assert json.loads((tmp_path / "settled" / "result.json").read_text())["seconds"]["settling"] > 0


@pytest.mark.parametrize(("worth", "times"), [(-9.0, 2), (1.0, 1)])
def test_the_unlabelled_are_looked_at_again_only_by_another_head(
    worth: float,
    times: int,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    always_kept: None,
) -> None:
    asked: list[list[int]] = []

    def watched(network: Any, items: Any, rows: np.ndarray, **named: Any) -> Any:
        asked.append(rows.tolist())
        return ask(network, items, rows, **named)

    monkeypatch.setattr(settling, "WORTH_A_FALL", worth)
    monkeypatch.setattr("newfound.ground.ask", watched)
    with one_thread():
        for name, steps in (("still", 0), ("settled", 2)):
            asked.clear()
            assert newfound(*discover_command(photos, tmp_path / name, settle_steps=steps)) == 0
    unlabelled = open_catalogue(photos)[0].unlabelled.tolist()
    assert asked.count(unlabelled) == times
    tables = [(tmp_path / name / "items.csv").read_text() for name in ("still", "settled")]
    assert (tables[0] == tables[1]) == (times == 1)


@pytest.mark.parametrize("worth", [-9.0, 1.0])
def test_the_report_knows_whether_the_head_is_another(
    worth: float,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    always_kept: None,
) -> None:
    told: list[bool] = []

    def watched(*arguments: Any) -> list[str]:
        told.append(arguments[-1])
        return []

    monkeypatch.setattr(settling, "WORTH_A_FALL", worth)
    monkeypatch.setattr("newfound.conclusion.find_warnings", watched)
    assert newfound(*discover_command(photos, tmp_path / "run", settle_steps=2)) == 0
    assert told == [settled_record(tmp_path / "run")["kept"]] == [worth < 0]


def test_a_run_stopped_while_it_settles_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_kept: None
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    command = discover_command(photos, tmp_path / "run", settle_steps=20)
    with one_thread():
        assert newfound(*discover_command(photos, tmp_path / "whole", settle_steps=20)) == 0
        with monkeypatch.context() as patched:
            patched.setattr(run_module, "settle", interrupted)
            assert newfound(*command) == 130
        assert newfound(*command) == 0
        assert_same_run(tmp_path / "whole", tmp_path / "run")
        assert newfound(*command) == 0  # complete: nothing settles once more
        assert events(tmp_path / "run").count("settled") == 1


def test_what_is_lost_of_a_settled_run_is_made_anew(
    photos: Path, tmp_path: Path, always_kept: None
) -> None:
    run = tmp_path / "run"
    command = discover_command(photos, run, settle_steps=20)
    with one_thread():
        assert newfound(*command) == 0
        before = contents(run)
        for name in ("model.safetensors", "items.csv"):
            (run / name).unlink()
            assert newfound(*command) == 0
            assert contents(run)[name] == before[name]


def test_a_trial_of_mu_settles_too(monkeypatch: pytest.MonkeyPatch, always_kept: None) -> None:
    pixels, kinds = made_arrays((0, 1, 2, 3), 6)
    grey = KeptImages(torch.from_numpy(pixels).float().mean(dim=3).byte()[:, None])
    rehearsal = make_rehearsal(kinds.astype(np.int64), np.arange(24), 2)
    thresholds = []

    def watched(ground: Ground, given: Tensor) -> None:
        thresholds.append(ground.threshold)
        assert ground.unlabelled.tolist() == rehearsal.pretended.tolist()
        assert len(given) == len(rehearsal.pretended)
        ground.network.novel.weight.data.zero_()
        ground.network.novel.bias.data.copy_(torch.tensor([1.0, 0.0]))

    monkeypatch.setattr("newfound.mu_search.settle", watched)
    found = []
    for changed in ({"settle_steps": 0}, {"bce_weight": 0.0}, {}):
        config = tiny_config(**{"heldout_epochs": 1, "batch": 64, "settle_steps": 5} | changed)
        ground, training = begin_trial(rehearsal, 0.5, config, torch.device("cpu"), False)
        epochs: list[dict[str, Any]] = []
        assert train(training, grey, after_epoch=lambda told, _, to=epochs: to.append(told))
        found.append(score_trial(rehearsal, ground, grey, epochs))
    assert thresholds == [16]
    assert found[2] == 0.5  # of the head that settled: all in one of two equal categories
