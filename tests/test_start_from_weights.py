"""Runs that start from trained weights: each stage does, and the run is known by them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import newfound
from newfound import mu_search
from newfound.config import Runtime
from newfound.data.arrays import from_arrays
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError
from newfound.feasible import check_features
from newfound.job import Job
from newfound.models.network import make_network
from newfound.models.weights import Weights, read_weights
from newfound.settings import make_config
from newfound.training.train import Training
from support.made_images import made_arrays, make_folder
from support.signals import signalled
from support.small_run import (
    TINY,
    TINY_VIDEOS,
    assert_same_run,
    contents,
    discover_command,
    epoch_records,
    flags,
    one_thread,
    tensors,
)
from support.small_run import newfound as run_newfound

STILL: dict[str, Any] = {"lr": 1e-12, "epochs": 1}
"""Trained like this, weights stay what they were, but for the running statistics."""

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four known classes, of which a search for settings can hide two."""
    return make_folder(tmp_path_factory.mktemp("photos"), (0, 1, 2, 3), (4, 5), each=7)


@pytest.fixture(scope="module")
def earlier(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another seed."""
    out = tmp_path_factory.mktemp("earlier") / "run"
    with one_thread():
        assert run_newfound(*discover_command(photos, out, seed=1)) == 0
    return out


def weights_of(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convolutions and contrastive MLPs, which nothing but training changes."""
    kept = ("conv1.weight", "conv2.weight", "0.weight", "2.weight")
    names = [name for name in parts if name.startswith(("encoders.", "projections."))]
    return {name: parts[name] for name in names if name.endswith(kept)}


def assert_starts_from(earlier: Path, later: dict[str, Tensor]) -> None:
    ours, theirs = weights_of(later), weights_of(tensors(earlier))
    assert ours.keys() == theirs.keys() and len(ours) > 10
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-6, atol=1e-8, msg=name)


@pytest.mark.parametrize("method", [{}, {"method": "kmeans", "settle_steps": 0}, {"method": "rs"}])
def test_a_run_starts_from_the_weights_of_another(
    photos: Path, earlier: Path, tmp_path: Path, method: dict[str, Any]
) -> None:
    out = tmp_path / "run"
    assert run_newfound(*discover_command(photos, out, weights=earlier, **STILL, **method)) == 0
    assert_starts_from(earlier, tensors(out))


def test_python_takes_a_path(photos: Path, earlier: Path, tmp_path: Path) -> None:
    still = TINY | STILL
    runtime = newfound.Runtime(workers=0, device="cpu")
    out = tmp_path / "run"
    newfound.discover(
        photos, num_novel=2, weights=earlier, out=out, quiet=True, runtime=runtime, **still
    )
    assert_starts_from(earlier, tensors(out))


def test_labels_alone_start_from_them_too(photos: Path, earlier: Path, tmp_path: Path) -> None:
    command = discover_command(photos, tmp_path / "run", weights=earlier, **STILL)
    assert run_newfound(*command, "--compare-labelled-only") == 0
    alone = torch.load(tmp_path / "run" / "labelled_only.pt", weights_only=True)
    assert_starts_from(earlier, alone["training"]["network"])


def test_so_do_the_trials_of_mu(
    photos: Path, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Weights | None] = []

    def spy(config: Any, known: int, novel: int, weights: Weights | None = None) -> Any:
        given.append(weights)
        return make_network(config, known, novel, weights)

    monkeypatch.setattr(mu_search, "make_network", spy)
    searching = {"mu": "heldout", "heldout_epochs": 1, "epochs": 1}
    command = discover_command(photos, tmp_path / "run", weights=earlier, **searching)
    assert run_newfound(*command) == 0
    fingerprint = read_weights(earlier).fingerprint
    assert len(given) > 1
    assert all(weights and weights.fingerprint == fingerprint for weights in given)


def test_so_do_the_trials_of_tune(photos: Path, earlier: Path, tmp_path: Path) -> None:
    settings = flags(**TINY | {"mu": (0.4, 0.6), "window": 4, "workers": 0} | STILL)
    command = ["tune", "images", photos, "--num-novel", 2, "--out", tmp_path / "tuning"]
    assert run_newfound(*command, "--weights", earlier, "--quiet", *settings) == 0
    trials = [path for path in (tmp_path / "tuning").iterdir() if path.is_dir()]
    assert len(trials) == 2
    for trial in trials:
        assert_starts_from(earlier, tensors(trial))


def test_the_run_is_known_by_them(
    photos: Path, earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same values from another place go on; others, or none, are another run."""
    out = tmp_path / "run"
    assert run_newfound(*discover_command(photos, out, weights=earlier)) == 0
    header = json.loads((out / "config.json").read_text())
    assert header["weights"] == str(earlier / "model.safetensors")
    assert str(earlier) in (out / "report.html").read_text()
    before = contents(out)
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((earlier / "model.safetensors").read_bytes())
    for same in (copy, earlier / "checkpoint.pt"):
        assert run_newfound(*discover_command(photos, out, weights=same)) == 0
        assert contents(out) == before
    capsys.readouterr()
    for command in (discover_command(photos, out), discover_command(photos, out, weights=out)):
        assert run_newfound(*command) == 2
        told = capsys.readouterr().err
        assert f"weights: those of '{earlier}/model.safetensors' there" in told
        assert ("none asked" in told) == ("--weights" not in command)
    assert contents(out) == before


def test_what_the_weights_have_learnt_is_told(
    photos: Path, earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of classes that a search takes as unknown, and of items that are held out."""

    def told_by(*command: str) -> str:
        assert run_newfound(*command) == 0
        return " ".join("".join(capsys.readouterr()).split())

    def discover(out: str, **changed: Any) -> str:
        command = discover_command(photos, tmp_path / out, weights=earlier, epochs=1, **changed)
        command.remove("--quiet")
        return told_by(*command)

    chosen_wrongly = "which are taken as unknown here: what is chosen by them may be wrong"
    told = discover("run")
    assert "trained with labels of 'blue-bar', 'green-square'" in told
    assert "the accuracy on them may be too high" in told and chosen_wrongly not in told
    warned = json.loads((tmp_path / "run" / "result.json").read_text())
    assert "may be too high" in (tmp_path / "run" / "report.html").read_text(), warned["warnings"]
    assert chosen_wrongly in discover("search", mu="heldout", heldout_epochs=1)
    tuned = flags(**TINY | {"mu": (0.4, 0.6), "window": 4, "workers": 0, "epochs": 1})
    command = ["tune", "images", photos, "--num-novel", 2, "--out", tmp_path / "t"]
    assert chosen_wrongly in told_by(*map(str, command), "--weights", str(earlier), *tuned)
    others = make_folder(tmp_path / "others", (4, 5), (2, 3), each=7)
    command = discover_command(others, tmp_path / "o", weights=earlier, epochs=1)
    command.remove("--quiet")
    assert "trained with labels" not in told_by(*command)


def test_stopped_within_training_it_goes_on_bit_for_bit(
    photos: Path, earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run_newfound(*discover_command(photos, whole, weights=earlier)) == 0
    with monkeypatch.context() as patched:
        patched.setattr(Training, "take_step", signalled(lambda training: training.step == 5))
        assert run_newfound(*discover_command(photos, cut, weights=earlier)) == 130
    assert run_newfound(*discover_command(photos, cut, weights=earlier)) == 0
    assert_same_run(whole, cut)


def test_weights_of_another_network_are_told_before_anything_is_decoded(
    photos: Path, earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = discover_command(photos, tmp_path / "run", weights=earlier, width=8)
    for more in ([], ["--dry-run"]):
        assert run_newfound(*command, *more) == 2
        assert "give --width 4" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_a_dry_run_says_what_it_would_start_from(
    photos: Path, earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = discover_command(photos, tmp_path / "run", weights=earlier)
    assert run_newfound(*command, "--dry-run") == 0
    told = capsys.readouterr().out
    assert f"starting from {earlier}/model.safetensors (encoders.visual" in told


def test_the_shelf_keeps_pretraining_from_other_weights_apart(
    photos: Path, earlier: Path, tmp_path: Path
) -> None:
    shelf = tmp_path / "shelf"
    of_a_kind = {"method": "kmeans", "pretraining": "cl", "shelf": shelf, "epochs": 1}
    dtc = of_a_kind | {"method": "dtc"}
    weights = {"weights": earlier}
    for number, settings in enumerate((dtc, dtc | weights, dtc | weights | {"window": 2})):
        out = tmp_path / str(number)
        assert run_newfound(*discover_command(photos, out, **settings)) == 0
    assert len(list(shelf.iterdir())) == 2
    taken = [
        "taken_from" in (tmp_path / str(number) / "log.jsonl").read_text() for number in range(3)
    ]
    assert taken == [False, False, True]


UNTRAINED = {"method": "kmeans", "pretraining": "none", "settle_steps": 0}


def test_k_means_on_the_features_of_the_weights_trains_nothing(
    photos: Path, earlier: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = discover_command(photos, out, weights=earlier, **UNTRAINED)
    assert run_newfound(*command) == 0
    ours, theirs = tensors(out), tensors(earlier)
    encoder = [name for name in ours if name.startswith("encoders.")]
    assert encoder and all(torch.equal(ours[name], theirs[name]) for name in encoder)
    assert not list(out.glob("*.pt")) and not epoch_records(out)
    items, embedding = pd.read_csv(out / "items.csv"), np.load(out / "embedding.npz")
    assert items["category"].nunique() == 2
    table = pd.crosstab(items["category"], items["features_kmeans"])
    assert (table > 0).to_numpy().sum() == 2, "one cluster to one category"
    features = torch.from_numpy(embedding["features"])
    nearest = torch.cdist(features, ours["novel.centres"]).argmin(dim=1)
    assert nearest.tolist() == embedding["probabilities"].argmax(axis=1).tolist()

    before = contents(out)
    (out / "items.csv").unlink()
    assert run_newfound(*command) == 0, "what is lost is made anew"
    assert contents(out)["items.csv"] == before["items.csv"]


def test_nothing_trained_needs_weights_for_all_that_is_seen_and_heard(
    photos: Path, earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_newfound(*discover_command(photos, tmp_path / "run", **UNTRAINED)) == 2
    assert "pretraining is none, and method is kmeans" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    config = make_config(**TINY_VIDEOS | UNTRAINED)
    seen = make_network(config, 2, 2).encoder("visual").state_dict()
    weights = Weights(Path("r3d.pth"), {"encoders.visual": seen})
    pixels, kinds = made_arrays((0, 1, 2), 4)
    catalogue = from_arrays(pixels, np.where(kinds == 2, -1, kinds))
    films = Job(
        RunFolder(tmp_path / "films"), catalogue, None, 2, config, Runtime(), False, weights
    )
    with pytest.raises(InputError, match=r"r3d.pth has no weights for audio; give --pretraining"):
        check_features(films)


def test_its_dry_run_counts_no_step(
    photos: Path, earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = discover_command(photos, tmp_path / "run", weights=earlier, **UNTRAINED)
    assert run_newfound(*command, "--dry-run") == 0
    assert "training 0 s (0 steps)" in capsys.readouterr().out
