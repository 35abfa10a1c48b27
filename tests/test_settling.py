"""The novel head settles after training, and nothing else does."""

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from newfound import run as run_module
from newfound.config import Config
from newfound.data.image_loader import KeptImages
from newfound.data.opening import open_catalogue
from newfound.errors import InputError
from newfound.ground import Ground
from newfound.models.network import make_network
from newfound.mu_search import begin_trial, make_rehearsal, score_trial
from newfound.presets import METHOD_SETTINGS, PRESETS
from newfound.reproduce.datasets import DATA_SETS
from newfound.reproduce.rows import ScaleName
from newfound.results.inference import ask
from newfound.settings import make_config
from newfound.settling import settle, settles
from newfound.settling_by_directions import (
    settle_by_directions,
    settle_by_standardised_directions,
)
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


def settings(**changed: Any) -> Config:
    return tiny_config(**{"mu": "share", "settle_steps": 200} | changed)


def test_only_a_head_that_pairs_have_taught_settles() -> None:
    assert settles(settings())
    assert not settles(settings(settle_steps=0))
    assert not settles(settings(bce_weight=0.0))
    with pytest.raises(InputError, match="settle_steps is 200, and method is rs"):
        settings(method="rs")


@pytest.mark.parametrize("modalities", ["none", "visual", "both"])
def test_a_ground_settles_as_its_modalities_do(modalities: str) -> None:
    more: dict[str, Any] = {"mu": "share", "settle_steps": 3}
    if modalities == "none":
        config: Config = settings(**more)
    else:
        within = {"instance_pairs": "within", "category_pairs": "within"}
        config = make_config(**TINY_VIDEOS | {"modalities": modalities} | within | more)
    network = make_network(config, 2, 3)
    labels, rows, cpu = np.array([0, 1] + [-1] * 60), np.arange(62), torch.device("cpu")
    given = torch.rand(60, network.fused_size, generator=torch.Generator().manual_seed(1))
    grounds = [Ground(copy.deepcopy(network), config, labels, rows, None, cpu) for _ in range(2)]
    told: list[int] = []
    found = settle(grounds[0], given, told.append)
    head = grounds[1].network.novel
    assert isinstance(head, nn.Linear)
    if modalities == "both":  # most of what eta fuses is zero
        expected = settle_by_standardised_directions(head, given, 3, restart=config.seed)
    else:
        expected = settle_by_directions(head, given, 3)
    assert found == expected and told
    for name, value in grounds[0].network.state_dict().items():
        assert torch.equal(value, grounds[1].network.state_dict()[name])


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


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "photos")


def settled_record(run: Path) -> dict[str, Any]:
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return next(line for line in lines if line["event"] == "settled")


def test_nothing_but_the_novel_head_settles_on_the_features_of_the_unlabelled(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def watched(ground: Ground, given: Tensor, advance: Any) -> Any:
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
    assert settled_record(tmp_path / "settled").keys() == {"event", "steps", "moved"}
    [given] = seen
    unlabelled = np.load(tmp_path / "settled" / "embedding.npz")["features"]
    np.testing.assert_array_equal(given.numpy(), unlabelled)
    assert json.loads((tmp_path / "settled" / "result.json").read_text())["seconds"]["settling"] > 0


def asked_of(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The rows of each time that the network is asked."""
    asked: list[list[int]] = []

    def watched(network: Any, items: Any, rows: np.ndarray, **named: Any) -> Any:
        asked.append(rows.tolist())
        return ask(network, items, rows, **named)

    monkeypatch.setattr("newfound.ground.ask", watched)
    return asked


def test_images_are_looked_at_once_and_get_the_answers_of_the_settled_head(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, run = asked_of(monkeypatch), tmp_path / "run"
    assert newfound(*discover_command(photos, run, settle_steps=20)) == 0
    assert asked.count(open_catalogue(photos)[0].unlabelled.tolist()) == 1
    embedding, saved = np.load(run / "embedding.npz"), tensors(run)
    logits = torch.from_numpy(embedding["features"]) @ saved["novel.weight"].T + saved["novel.bias"]
    found = embedding["probabilities"]
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), found, rtol=1e-5, atol=1e-6)


def test_the_report_of_images_knows_that_the_head_is_another(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []

    def watched(*_: Any, head_changed_since: bool, **__: Any) -> list[str]:
        told.append(head_changed_since)
        return []

    monkeypatch.setattr("newfound.conclusion.find_warnings", watched)
    for steps in (0, 2):
        command = discover_command(photos, tmp_path / str(steps), settle_steps=steps)
        assert newfound(*command) == 0
    assert told == [False, True]


def test_a_run_stopped_while_it_settles_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_what_is_lost_of_a_settled_run_is_made_anew(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = discover_command(photos, run, settle_steps=20)
    with one_thread():
        assert newfound(*command) == 0
        before = contents(run)
        for name in ("model.safetensors", "items.csv"):
            (run / name).unlink()
            assert newfound(*command) == 0
            assert contents(run)[name] == before[name]


def test_a_trial_of_mu_settles_too(monkeypatch: pytest.MonkeyPatch) -> None:
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
        assert train(training, grey)
        found.append(score_trial(rehearsal, ground, grey))
    assert thresholds == [16]
    assert found[2] == 0.5  # of the head that settled: all in one of two equal categories
