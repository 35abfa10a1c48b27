"""The novel head settles after training: by Eqs. 6-8, only if it had not, and nothing else does."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from newfound import run as run_module
from newfound import settling
from newfound.config import Config, Runtime, make_config
from newfound.data.loader import CachedPixels
from newfound.errors import InputError
from newfound.evaluate import clustering_accuracy
from newfound.mu_search import make_rehearsal, rehearse
from newfound.objective.pairs import wta_windows
from newfound.pseudo_labels import PseudoLabels
from newfound.settling import settle_head, settles
from support.made_images import made_arrays, make_folder
from support.small_run import (
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
    settled = settle_head(head, features(), labeller(settings()), settings())
    assert settled.is_kept
    assert settled.after < 0.9 * settled.before
    assert acc(head) == 1


def test_a_head_that_had_settled_stays_bit_for_bit() -> None:
    head = merged_head()
    settle_head(head, features(), labeller(settings()), settings())
    before = copy.deepcopy(head.state_dict())
    again = settle_head(head, features(), labeller(settings()), settings(seed=1))
    assert not again.is_kept
    assert all(torch.equal(weight, before[name]) for name, weight in head.state_dict().items())


def test_a_step_is_one_of_sgd_on_the_pairs() -> None:
    """Written out: Eqs. 6-8 item by item, and the gradient by differences."""
    config = settings(settle_steps=1, weight_decay=0.0, mu=20)
    windows = wta_windows(SIZE, config.hashes, config.window, torch.Generator().manual_seed(3))
    codes = features()[:, windows].argmax(dim=2)  # there are hardly any ties but among zeros
    given = features()[(features() > 0).sum(dim=1) > 0]
    head = merged_head().double()

    def loss(weight: Tensor) -> float:
        total = 0.0
        p = (given.double() @ weight.T + head.bias.detach()).softmax(dim=1)
        for i in range(len(p)):
            for j in range(len(p)):
                same = float((p[i] * p[j]).sum().clamp(1e-6, 1 - 1e-6))
                total -= float(np.log(same if positive[i, j] else 1 - same))
        return total / len(p) ** 2

    labels = PseudoLabels(config, windows, 20.0, CATEGORIES)
    positive = labels(given.double(), torch.full((len(given),), -1))
    agree = (codes[:, None] == codes).sum(dim=2) >= 20
    assert (positive == agree).float().mean() > 0.9  # ties apart it is Eq. 6
    weight = head.weight.detach().clone()
    step = torch.zeros_like(weight)
    step[1, 4] = 1e-4
    slope = (loss(weight + step) - loss(weight - step)) / 2e-4

    settled = settle_head(head, given.double(), labels, config)
    assert settled.before == pytest.approx(loss(weight), rel=1e-6)
    assert not settled.is_kept
    assert torch.equal(head.weight, weight)  # one step is no tenth of the loss: put back
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(settling, "WORTH_A_FALL", -1.0)  # keep it all the same
        settle_head(head, given.double(), labels, config)
    moved = (head.weight.detach() - weight)[1, 4]
    assert float(moved) == pytest.approx(-settling.RATE * slope, rel=1e-4)


def test_only_a_head_that_pairs_teach_settles() -> None:
    assert settles(settings())
    assert not settles(settings(settle_steps=0))
    assert not settles(settings(bce_weight=0.0))
    with pytest.raises(InputError, match="settle_steps is 200, and method is rs"):
        settings(method="rs")
    for method in ("rs", "dtc", "kmeans", "kcl", "mcl", "rs-ll"):
        assert make_config("quick", method=method).settle_steps == 0


def test_the_papers_presets_leave_the_head_as_trained_and_quick_ones_do_not() -> None:
    found = {name: make_config(name).settle_steps > 0 for name in ("images", "videos", "quick")}
    assert found == {"images": False, "videos": False, "quick": True}


# ---- in a run ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "photos")


def settled_record(run: Path) -> dict[str, Any]:
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return next(line for line in lines if line["event"] == "settled")


@pytest.fixture
def always_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "WORTH_A_FALL", -9.0)


def test_nothing_but_the_novel_head_settles(
    photos: Path, tmp_path: Path, always_kept: None
) -> None:
    with one_thread():
        for name, steps in (("still", 0), ("settled", 20)):
            assert newfound(*discover_command(photos, tmp_path / name, settle_steps=steps)) == 0
    still, settled = tensors(tmp_path / "still"), tensors(tmp_path / "settled")
    changed = {name for name in still if not torch.equal(still[name], settled[name])}
    assert changed == {"novel.weight", "novel.bias"}
    assert "settled" not in events(tmp_path / "still")
    assert settled_record(tmp_path / "settled")["kept"]
    assert json.loads((tmp_path / "settled" / "result.json").read_text())["seconds"]["settling"] > 0


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


def test_a_trial_of_mu_settles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, kinds = made_arrays((0, 1, 2, 3), 6)
    grey = CachedPixels(torch.from_numpy(pixels).float().mean(dim=3).byte()[:, None])
    rehearsal = make_rehearsal(kinds.astype(np.int64), np.arange(24), 2)
    thresholds = []

    def watched(ground: Any, items: Any) -> None:
        thresholds.append(ground.threshold)
        assert set(ground.unlabelled) == set(rehearsal.pretended)

    monkeypatch.setattr("newfound.mu_search.settle", watched)
    for steps in (0, 5):
        config = tiny_config(heldout_epochs=1, batch=64, settle_steps=steps)
        rehearse(rehearsal, 0.5, grey, config, torch.device("cpu"), lambda _: True, Runtime())
    assert thresholds == [16]
