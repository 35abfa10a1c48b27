"""A shelf of finished pretraining: what is found on it, and that it changes nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from newfound.disk.checkpoint import load_checkpoint
from newfound.errors import RunFolderError
from newfound.ground import Ground
from newfound.models.network import make_network
from newfound.stages import stages
from newfound.training.shelf import Shelf
from newfound.training.train import Training
from support.made_images import make_folder
from support.small_run import assert_same_run, discover_command, newfound, tiny_config

DATA = "0123456789abcdef"


pytestmark = pytest.mark.usefixtures("one_thread")


# ---- through the command line ---------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("photos"), each=6)


def discovered(photos: Path, out: Path, **changed: Any) -> Path:
    """A tiny run; weight decay is strong, so that it shows what it moves."""
    assert newfound(*command(photos, out, **changed)) == 0
    return out


def command(photos: Path, out: Path, **changed: Any) -> list[str]:
    settings = {"epochs": 2, "weight_decay": 0.01, "checkpoint_seconds": 1000}
    return discover_command(photos, out, **settings | changed)


def kept(shelf: Path) -> list[str]:
    """The stages of which there is a file, once for each file."""
    return sorted(path.name.split("-")[0] for path in shelf.iterdir())


def stage_records(run: Path) -> dict[str, dict[str, Any]]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {record["stage"]: record for record in records if record["event"] == "stage"}


def test_a_run_with_a_shelf_equals_one_without(photos: Path, tmp_path: Path) -> None:
    """The first to put a RotNet there, and all that take it: RS, RS w/ LL and DTC."""
    shelf = tmp_path / "deep" / "shelf"
    for number, method in enumerate(["rs", "rs-ll", "dtc"]):
        alone = discovered(photos, tmp_path / f"{method}-alone", method=method)
        shared = discovered(photos, tmp_path / method, method=method, shelf=shelf)
        assert kept(shelf) == ["rotnet"]
        assert_same_run(alone, shared)
        of_stage = stage_records(shared)["rotnet"]
        assert ("taken_from" in of_stage) == (number > 0)
        assert (shared / "stage-rotnet.pt").exists() == (number == 0)
    seconds = [
        json.loads((tmp_path / m / "result.json").read_text())["seconds"]["rotnet"]
        for m in ("rs", "rs-ll", "dtc")
    ]
    [file] = shelf.iterdir()
    assert seconds[0] > 0 and seconds[1] == seconds[2] == load_checkpoint(file)["seconds"]


def test_contrastive_learning_is_shared_by_all_that_are_with_it(
    photos: Path, tmp_path: Path
) -> None:
    """phi_u of KCL is as pretraining found it: neither taught nor decayed in it."""
    shelf, settings = tmp_path / "shelf", {"pretraining": "cl"}
    discovered(photos, tmp_path / "kmeans", method="kmeans", shelf=shelf, **settings)
    assert kept(shelf) == ["cl"], "k-means puts its only stage there"
    alone = discovered(photos, tmp_path / "alone", method="kcl", **settings)
    shared = discovered(photos, tmp_path / "shared", method="kcl", shelf=shelf, **settings)
    assert "taken_from" in stage_records(shared)["cl"]
    assert_same_run(alone, shared)
    assert kept(shelf) == ["cl"]


def test_k_means_trains_its_only_stage_itself(photos: Path, tmp_path: Path) -> None:
    """It is the run's own training, with epochs in its log."""
    shelf, settings = tmp_path / "shelf", {"method": "kmeans", "pretraining": "rotnet"}
    first = discovered(photos, tmp_path / "first", shelf=shelf, **settings)
    second = discovered(photos, tmp_path / "second", shelf=shelf, **settings)
    assert "taken_from" not in stage_records(second)["rotnet"]
    assert_same_run(first, second)


def test_ours_has_nothing_to_put_there(photos: Path, tmp_path: Path) -> None:
    discovered(photos, tmp_path / "run", shelf=tmp_path / "shelf")
    assert not (tmp_path / "shelf").exists()


def test_a_run_that_has_begun_goes_on_with_its_own_pretraining(
    photos: Path, tmp_path: Path
) -> None:
    """And one that has taken it from the shelf does without the shelf later."""
    shelf, settings = tmp_path / "shelf", {"method": "rs"}
    run = discovered(photos, tmp_path / "run", shelf=shelf, **settings)
    taking = discovered(photos, tmp_path / "taking", shelf=shelf, **settings)
    for path in shelf.iterdir():
        path.unlink()
    for again in (run, taking):
        before = (again / "items.csv").read_bytes()
        for name in ("result.json", "model.safetensors", "items.csv"):
            (again / name).unlink()
        discovered(photos, again, shelf=shelf, **settings)
        assert (again / "items.csv").read_bytes() == before
        assert set(stage_records(again)) == {"rotnet", "labels", "training"}
    assert_same_run(run, taking)
    assert kept(shelf) == []


def test_a_damaged_file_is_named_with_what_to_do(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf, run, settings = tmp_path / "shelf", tmp_path / "run", {"method": "rs"}
    whole = discovered(photos, tmp_path / "whole", shelf=shelf, **settings)
    [file] = shelf.iterdir()
    file.write_bytes(file.read_bytes()[:5000])
    again = command(photos, run, shelf=shelf, **settings)
    assert newfound(*again) == 2
    message = capsys.readouterr().err
    assert f"{file} is damaged" in message
    assert "Delete that file" in message
    assert "Traceback" not in message
    file.unlink()
    assert newfound(*again) == 0, "what it says helps"
    assert_same_run(run, whole)


def test_a_shelf_that_cannot_be_written_is_said(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("dear")
    asked = command(photos, tmp_path / "run", method="rs", shelf=tmp_path / "file")
    assert newfound(*asked) == 2
    message = capsys.readouterr().err
    assert f"cannot write {tmp_path / 'file'}" in message and "Traceback" not in message
    assert (tmp_path / "file").read_text() == "dear"


# ---- which settings find which file ---------------------------------------------------------


def pretraining(known: int = 2, rows: int = 16, **settings: Any) -> Training:
    """A first stage, not trained. DTC's is by rotations if nothing else is said."""
    config = tiny_config(**{"method": "dtc"} | settings)
    labels = np.array([number % known for number in range(8)] + [-1] * 8)
    network = make_network(config, known, 3)
    on = Ground(network, config, labels, np.arange(16)[:rows], None, torch.device("cpu"))
    return stages(config)[0].begin(on, None)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "rs"},
        {"method": "rs-ll", "pairs": "nearest"},
        {"method": "kmeans", "pretraining": "rotnet"},
        {"dtc_variant": "te"},
        {"hashes": 64, "window": 3, "mu": 0.7, "share_factor": 0.9, "rank_top": 3},
        {"cosine_threshold": 0.5, "heldout_epochs": 3, "same_view_pairs": True},
        {"ce_weight": 0.5, "bce_weight": 2, "instance_weight": 3, "category_weight": 4},
        {"consistency_weight": 50, "ramp_length": 0.75, "ramp_scale": 0.5},
        {"own_epochs": 90, "own_drops": (0.5,), "own_drop_factor": 0.5, "own_weight_decay": 0.0},
        {"batch": 4, "own_batch": 8},
    ],
)
def test_settings_of_later_stages_are_of_no_account(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    shelf = Shelf(tmp_path, DATA)
    shelf.put("rotnet", pretraining(), 12.5)
    other = pretraining(**settings)
    assert shelf.take("rotnet", other) == 12.5


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 1},
        {"epochs": 4},
        {"lr": 0.05},
        {"batch": 16},
        {"own_batch": 4},
        {"momentum": 0.8},
        {"weight_decay": 1e-3},
        {"width": 5},
        {"px": 15},
        {"channels": 3},
        {"flip": 0.25},
        {"rotate_degrees": 3},
        {"weak_shift": 0.25},
        {"weak_crop_scale": (0.6, 1.0)},
        {"warmup_epochs": 0.5},
        {"precision": "bfloat16"},
        {"unlabelled_share": 0.25},
        {"projection_size": 4},
        {"known": 4},
        {"rows": 15},
    ],
)
def test_what_pretraining_depends_on_is(tmp_path: Path, settings: dict[str, Any]) -> None:
    shelf = Shelf(tmp_path, DATA)
    shelf.put("rotnet", pretraining(), 1.0)
    assert shelf.take("rotnet", pretraining()) == 1.0
    other = pretraining(**settings)
    before = {name: value.clone() for name, value in other.network.state_dict().items()}
    assert shelf.take("rotnet", other) is None
    assert all(torch.equal(before[n], v) for n, v in other.network.state_dict().items())


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.2}, {"jitter": 0.1}, {"crop_scale": (0.5, 1.0)}, {"grey": 0.9}]
)
def test_contrastive_learning_depends_on_more(tmp_path: Path, settings: dict[str, Any]) -> None:
    shelf = Shelf(tmp_path, DATA)
    shelf.put("cl", pretraining(pretraining="cl"), 1.0)
    assert shelf.take("cl", pretraining(pretraining="cl", method="kcl", own_batch=4)) == 1.0
    assert shelf.take("cl", pretraining(pretraining="cl", **settings)) is None


def test_schedules_count_where_a_stage_has_the_runs(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, DATA)
    shelf.put("rotnet", pretraining(), 1.0)
    shelf.put("labels", pretraining(pretraining="labels"), 1.0)
    assert shelf.take("rotnet", pretraining(drops=(0.5,))) == 1.0, "RotNet has drops of its own"
    assert shelf.take("labels", pretraining(pretraining="labels", drops=(0.5,))) is None


def test_other_data_another_stage_and_another_version_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path, DATA)
    shelf.put("rotnet", pretraining(), 1.0)
    assert Shelf(tmp_path, DATA[::-1]).take("rotnet", pretraining()) is None
    assert shelf.take("labels", pretraining()) is None
    monkeypatch.setattr("newfound.training.shelf.__version__", "99")
    assert shelf.take("rotnet", pretraining()) is None


def test_what_is_taken_is_all_but_phi_u_and_the_windows(tmp_path: Path) -> None:
    shelf, made = Shelf(tmp_path, DATA), pretraining()
    with torch.no_grad():
        for value in made.network.state_dict().values():
            value.fill_(7)
    shelf.put("rotnet", made, 1.0)
    taken = pretraining(method="rs")
    own = {name: value.clone() for name, value in taken.network.state_dict().items()}
    assert shelf.take("rotnet", taken) == 1.0
    for name, value in taken.network.state_dict().items():
        is_own = name.startswith("novel.") or name == "windows"
        assert torch.equal(value, own[name]) if is_own else (value == 7).all(), name


@pytest.mark.parametrize("content", [b"", b"x" * 5000])
def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    shelf = Shelf(tmp_path, DATA)
    shelf.put("rotnet", pretraining(), 1.0)
    [file] = tmp_path.iterdir()
    file.write_bytes(content)
    with pytest.raises(RunFolderError, match=f"{file} is damaged .* Delete that file"):
        shelf.take("rotnet", pretraining())


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, DATA)
    shelf.put("rotnet", pretraining(), 1.0)
    [file] = tmp_path.iterdir()
    state = load_checkpoint(file)
    state["network"]["known.weight"] = torch.zeros(3, 3)
    torch.save(state, file)
    with pytest.raises(RunFolderError, match=f"(?s){file} does not fit this run .*; delete it"):
        shelf.take("rotnet", pretraining())
