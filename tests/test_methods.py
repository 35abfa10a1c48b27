"""Every method, from the command line to a finished run: stopped, continued, asked of new files."""

import json
import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from newfound import stages as stages_module
from newfound.config import Runtime
from newfound.data.arrays import from_arrays
from newfound.data.catalogue import Truth
from newfound.disk.run_folder import RunFolder
from newfound.job import Job
from newfound.progress import Progress
from newfound.run import run
from newfound.training import kept_training
from newfound.training.train import Training
from support.made_images import CLASSES, made_arrays, save_images
from support.made_videos import Picture, Sound, steady, tone, write_video
from support.small_run import (
    assert_same_run,
    contents,
    discover_command,
    discover_videos_command,
    newfound,
    tensors,
    tiny_config,
)

METHODS: dict[str, tuple[dict[str, Any], str]] = {
    "kmeans": ({"method": "kmeans"}, "labels"),
    "kmeans w/ CL": ({"method": "kmeans", "pretraining": "cl"}, "cl"),
    "kmeans w/ SimCLR": ({"method": "kmeans", "pretraining": "simclr"}, "simclr"),
    "kcl": ({"method": "kcl"}, "labels similarity training"),
    "mcl": ({"method": "mcl"}, "labels similarity training"),
    "dtc": ({"method": "dtc", "dtc_variant": "plain"}, "rotnet labels warm-up training"),
    "dtc pi": ({"method": "dtc", "dtc_variant": "pi"}, "rotnet labels warm-up training"),
    "dtc te": ({"method": "dtc", "dtc_variant": "te"}, "rotnet labels warm-up training"),
    "dtc tep": ({"method": "dtc", "dtc_variant": "tep"}, "rotnet labels warm-up training"),
    "rs": ({"method": "rs"}, "rotnet labels training"),
    "rs w/ LL": ({"method": "rs-ll"}, "rotnet labels training"),
    "rs w/ CL": ({"method": "rs", "pretraining": "cl"}, "cl labels training"),
    "rs without pretraining": ({"method": "rs", "pretraining": "none"}, "training"),
    "rs of WTA pairs": (
        {"method": "rs", "pretraining": "labels", "pairs": "wta"},
        "labels training",
    ),
    "ours of cosine pairs": ({"pairs": "cosine"}, "training"),
    "ours of nearest pairs": ({"pairs": "nearest"}, "training"),
}
"""A command's settings, and the stages that they ask for."""

EPOCHS = 4
PROMISED = {
    "config.json",
    "model.safetensors",
    "log.jsonl",
    "items.csv",
    "items.parquet",
    "categories.csv",
    "embedding.npz",
    "thumbnails.npz",
    "skipped.csv",
    "result.json",
    "report.html",
}
MEMORY_OF_A_PROCESS = 50_000_000


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of six images each; the first two in name order are to be labelled."""
    root = tmp_path_factory.mktemp("photos")
    for kind in range(4):
        save_images(root / CLASSES[kind], kind, range(6))
    return root


@pytest.fixture(scope="module")
def new_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("new")
    for kind in range(4):
        save_images(root, kind, range(100, 102))
    return root


def command(photos: Path, out: Path, **settings: Any) -> list[str]:
    """With batches so small that every stage has several steps, and few checkpoints."""
    small = {"epochs": EPOCHS, "batch": 4, "own_batch": 4, "labelled_classes": 2}
    small["checkpoint_seconds"] = 1000
    return discover_command(photos, out, **small | settings)


Finished = Callable[[str], Path]


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The run of a method that nothing happened to; it is made when first asked for."""

    @cache
    def made(name: str) -> Path:
        out = tmp_path_factory.mktemp("finished") / "run"
        assert newfound(*command(photos, out, **METHODS[name][0])) == 0
        return out

    return made


def records(run: Path, event: str) -> list[dict[str, Any]]:
    """Lines of the log, without their timings."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    timings = ("seconds", "items_per_second")
    return [
        {name: value for name, value in record.items() if name not in timings}
        for record in map(json.loads, lines)
        if record["event"] == event
    ]


# ---- every method to its end ----------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_a_run_ends_with_all_that_is_promised(name: str, finished: Finished) -> None:
    run, stages = finished(name), METHODS[name][1].split()
    made = contents(run)
    checkpoints = {"checkpoint.pt" if s == "training" else f"stage-{s}.pt" for s in stages}
    assert made.keys() - {".lock"} == PROMISED | checkpoints

    items = pd.read_csv(run / "items.csv")
    unlabelled = {
        f"{CLASSES[kind]}/{CLASSES[kind]}-{i:03d}.png" for kind in (0, 3) for i in range(6)
    }
    assert set(items["path"]) == unlabelled and len(items) == 12
    assert set(items["category"]) <= {"novel-1", "novel-2"}
    assert items["confidence"].between(0.5, 1).all()
    assert (items["category"] != items["second"]).all()

    result = json.loads(made["result.json"])
    seconds = result["seconds"]
    assert seconds.keys() == {"reading", *stages, "sorting", "total"}
    assert all(value > 0 for value in seconds.values())
    assert seconds["total"] == pytest.approx(sum(seconds.values()) - seconds["total"])
    assert result["memory_bytes"] > MEMORY_OF_A_PROCESS
    assert {"acc", "nmi", "ari"} <= result["novel"].keys()
    assert 0.5 <= result["novel"]["acc"] <= 1
    assert "acc" in result["known"]
    config = json.loads(made["config.json"])
    assert "commit" in config
    assert config["config"]["method"] == METHODS[name][0].get("method", "ours")
    assert b"novel-1" in made["report.html"] and b"Traceback" not in made["report.html"]


@pytest.mark.parametrize("name", METHODS)
def test_the_log_tells_of_every_stage(name: str, finished: Finished) -> None:
    run, stages = finished(name), METHODS[name][1].split()
    assert [record["stage"] for record in records(run, "stage")] == stages
    before = records(run, "stage_epoch")
    assert list(dict.fromkeys(record["stage"] for record in before)) == stages[:-1]
    for stage in stages[:-1]:
        epochs = [record["epoch"] for record in before if record["stage"] == stage]
        assert epochs == list(range(1, len(epochs) + 1))
    last = records(run, "epoch")
    assert [record["epoch"] for record in last] == list(range(1, len(last) + 1))
    assert all(np.isfinite(record["total"]) for record in before + last)
    assert ("novel_acc" in last[-1]) == (stages[-1] == "training")


@pytest.mark.parametrize("name", METHODS)
def test_new_files_are_named_and_the_run_is_scored(
    name: str,
    finished: Finished,
    new_photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, out = finished(name), tmp_path / "named.csv"
    assert newfound("predict", run, new_photos, "--out", out, "--workers", 0, "--quiet") == 0
    table = pd.read_csv(out)
    assert len(table) == 8
    categories = {"blue-bar", "green-square", "novel-1", "novel-2"}
    assert set(table["category"]) <= categories and set(table["second"]) <= categories
    assert table["confidence"].between(0, 1).all()
    assert newfound("evaluate", run, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["novel"] == json.loads((run / "result.json").read_text())["novel"]
    assert {row["truth"] for row in scores["novel"]["per_category"]} == {"red-disc", "white-cross"}


@pytest.mark.parametrize("name", ["kmeans", "kcl", "dtc te", "rs w/ LL"])
def test_a_model_is_what_it_was_when_read_again(
    name: str, finished: Finished, photos: Path, tmp_path: Path
) -> None:
    """Heads that are no linear layer, or were widened, name the run's own items as it did."""
    run, out = finished(name), tmp_path / "own.csv"
    for kind in (0, 3):
        place = photos / CLASSES[kind]
        assert newfound("predict", run, place, "--out", out, "--workers", 0, "--quiet") == 0
        items, again = pd.read_csv(run / "items.csv"), pd.read_csv(out)
        items["path"] = items["path"].str.removeprefix(f"{CLASSES[kind]}/")
        both = items.merge(again[again["kind"] == "novel"], on="path")
        assert (both["category_x"] == both["category_y"]).all()
    known = 2
    assert tensors(run)["known.weight"].shape[0] == known


def test_k_means_names_the_nearest_centre(finished: Finished) -> None:
    """Of the features it keeps, with the category of the run's own k-means on them."""
    run = finished("kmeans")
    items = pd.read_csv(run / "items.csv")
    own = items["category"].str.removeprefix("novel-").astype(int)
    table = pd.crosstab(own, items["features_kmeans"])
    assert (table > 0).to_numpy().sum() == 2, "one cluster to one category"
    centres = tensors(run)["novel.centres"]
    features = torch.from_numpy(np.load(run / "embedding.npz")["features"])
    nearest = torch.cdist(features, centres).argmin(dim=1) + 1
    assert nearest.tolist() == own.tolist()


def test_k_means_ends_where_fewer_images_differ_than_there_are_categories(tmp_path: Path) -> None:
    pixels, labels = made_arrays((0, 1, 2), 6)
    labels = np.where(labels == 2, -1, labels)
    pixels[13:] = pixels[12] // 2  # two different ones in all
    catalogue = from_arrays(pixels, labels)
    config = tiny_config(method="kmeans", pretraining="labels", epochs=2)
    folder = RunFolder(tmp_path / "run")
    run(Job(folder, catalogue, None, 3, config, Runtime(device="cpu"), False), Progress(quiet=True))
    sizes = pd.read_csv(folder.categories)["size"]
    assert sizes.tolist().count(0) == 1 and sizes.sum() == (labels < 0).sum()


def test_k_means_may_leave_any_of_its_clusters_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, labels = made_arrays((0, 1, 2), 6)
    catalogue = from_arrays(pixels, np.where(labels == 2, -1, labels))
    monkeypatch.setattr("newfound.clustering.kmeans", lambda *_: np.array([2, 0, 0, 0, 2, 2]))
    config = tiny_config(method="kmeans", pretraining="labels", epochs=2)
    folder = RunFolder(tmp_path / "run")
    run(Job(folder, catalogue, None, 3, config, Runtime(device="cpu"), False), Progress(quiet=True))
    assert pd.read_csv(folder.categories)["size"].tolist()[2] == 0


def test_every_training_of_a_run_is_compiled_if_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the search for mu and on labels alone, too."""
    look, asked = stages_module.Look, []

    def noting(network: Any, config: Any, device: Any, compiles: bool) -> Any:
        asked.append(compiles)
        return look(network, config, device)

    monkeypatch.setattr(stages_module, "Look", noting)
    pixels, labels = made_arrays((0, 1, 2, 3, 4), 4)
    catalogue = from_arrays(pixels, np.where(labels == 4, -1, labels))
    config = tiny_config(mu="heldout", heldout_epochs=1, epochs=2, batch=8)
    folder, runtime = RunFolder(tmp_path / "run"), Runtime(device="cpu", compile=True)
    run(Job(folder, catalogue, None, 2, config, runtime, True), Progress(quiet=True))
    assert len(asked) > 2 and all(asked)


# ---- stopped and continued ------------------------------------------------------------------


def stage_of(training: Training) -> str:
    """Which stage of its method this is."""
    return type(training.objective).__name__


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("kcl", "the first"),
        ("kcl", "the last but one"),
        ("kcl", "the last"),
        ("dtc te", "the middle"),
        ("dtc te", "the last but one"),
        ("rs w/ LL", "the last but one"),
    ],
)
def test_stopped_in_every_stage_it_goes_on_bit_for_bit(
    name: str,
    at: str,
    photos: Path,
    finished: Finished,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By Ctrl-C at a step of each stage in turn, and the same command given again each time."""
    original, stopped_in = Training.take_step, []

    def take_step(self: Training, batch: Any) -> None:
        original(self, batch)
        step = {
            "the first": 1,
            "the middle": self.total_steps // 2,
            "the last but one": self.total_steps - 1,
            "the last": self.total_steps,
        }[at]
        if self.step == step and stage_of(self) not in stopped_in:
            stopped_in.append(stage_of(self))
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "run"
    again = command(photos, out, **METHODS[name][0])
    monkeypatch.setattr(Training, "take_step", take_step)
    codes = []
    while not codes or (codes[-1] == 130 and len(codes) < 9):
        codes.append(newfound(*again))
        message = capsys.readouterr().err
        assert ("The same command goes on from there" in message) == (codes[-1] == 130)
    assert codes == [130] * len(stopped_in) + [0]
    assert len(stopped_in) == len(METHODS[name][1].split())
    whole = finished(name)
    assert_same_run(whole, out)
    for event in ("stage_epoch", "stage"):
        assert records(out, event) == records(whole, event)


@pytest.mark.parametrize("nth", [2, 6, 9])
def test_epochs_that_are_in_the_log_but_in_no_checkpoint_are_logged_once(
    nth: int, photos: Path, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch ends with a line in the log, and then a checkpoint fails; in each stage of KCL."""
    original, calls = kept_training.save_checkpoint, 0

    def failing(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == nth:
            raise RuntimeError("as if it were killed")
        original(*arguments)

    again = command(photos, tmp_path / "run", **METHODS["kcl"][0] | {"checkpoint_seconds": 0})
    with monkeypatch.context() as patched:
        patched.setattr(kept_training, "save_checkpoint", failing)
        assert newfound(*again) == 1
    assert newfound(*again) == 0
    assert_same_run(finished("kcl"), tmp_path / "run")
    for event in ("stage_epoch", "stage"):
        assert records(tmp_path / "run", event) == records(finished("kcl"), event)


def test_the_checkpoint_of_an_earlier_stage_is_not_needed_any_more(
    photos: Path, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a later stage has begun on is in its own."""
    original = Training.take_step

    def take_step(self: Training, batch: Any) -> None:
        original(self, batch)
        if stage_of(self) == "RankingStatistics" and self.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "run"
    again = command(photos, out, **METHODS["rs w/ LL"][0])
    with monkeypatch.context() as patched:
        patched.setattr(Training, "take_step", take_step)
        assert newfound(*again) == 130
    for name in ("stage-rotnet.pt", "stage-labels.pt"):
        (out / name).unlink()
    assert newfound(*again) == 0
    assert not (out / "stage-rotnet.pt").exists(), "it is not trained again"
    assert_same_run(finished("rs w/ LL"), out)


def test_another_method_in_the_same_folder_is_refused(
    photos: Path, finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finished("rs")
    before = contents(run)
    for changed, told in [
        ({"method": "rs-ll"}, "config.method: 'rs' there, 'rs-ll' asked"),
        ({"method": "rs", "pretraining": "cl"}, "config.pretraining: 'auto' there, 'cl' asked"),
        ({"method": "kcl", "own_batch": 8}, "config.own_batch: 4 there, 8 asked"),
        ({}, "config.pairs: 'rank' there, 'wta' asked"),
    ]:
        assert newfound(*command(photos, run, **changed)) == 2
        message = capsys.readouterr().err
        assert told in message
        assert "nothing was changed" in message and "Traceback" not in message
    assert contents(run) == before


@pytest.mark.parametrize("method", ["kcl", "dtc"])
def test_truth_changes_no_weight_and_no_item(method: str, tmp_path: Path) -> None:
    """Of methods whose targets are made of what networks say, in any stage."""
    pixels, kinds = made_arrays((0, 1, 2, 3), 6)
    catalogue = from_arrays(pixels, np.where(kinds < 2, kinds, -1))
    most_of_one = (np.arange(12) == 0).astype(np.int64)  # no sorting scores alike by both
    results = []
    for name, labels in (("true", kinds[kinds >= 2] - 2), ("scrambled", most_of_one)):
        config, folder = (
            tiny_config(method=method, epochs=2, channels=3),
            RunFolder(tmp_path / name),
        )
        truth = Truth(labels, CLASSES[2:4])
        job = Job(folder, catalogue, truth, 2, config, Runtime(device="cpu"), False)
        with Progress(quiet=True) as progress:
            run(job, progress)
        results.append(folder.result())
    ours, theirs = tensors(tmp_path / "true"), tensors(tmp_path / "scrambled")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    items = [(tmp_path / name / "items.csv").read_bytes() for name in ("true", "scrambled")]
    assert items[0] == items[1]
    assert results[0]["novel"] != results[1]["novel"]  # it did arrive where it belongs


# ---- on the command line --------------------------------------------------------------------


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The help page in one line."""
    assert newfound("discover", "images", *arguments, "--help") == 0
    return " ".join(capsys.readouterr().out.replace("\u2502", " ").split())


def test_the_defaults_shown_are_those_of_the_method(capsys: pytest.CaptureFixture[str]) -> None:
    ours = help_of(capsys)
    assert "(default: wta)" in ours and "(default: rank)" not in ours
    for given in (["--method", "rs"], ["--method=rs"]):
        rs = help_of(capsys, *given)
        assert "(default: rank)" in rs and "(default: rs)" in rs
        assert "(default: 5.0)" in rs and "(default: wta)" not in rs
    assert "(default: 100)" in help_of(capsys, "--method", "kcl")
    dtc = help_of(capsys, "--preset", "digits", "--method", "dtc")
    assert "(default: 10.0)" in dtc and "(default: digits)" in dtc


def test_an_unknown_method_is_told_what_there_is(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for method in ("uno", "RS", ""):
        assert newfound(*command(photos, tmp_path / "run", method=method)) == 2
        message = capsys.readouterr().err
        assert "method" in message and f"'{method}'" in message
        for known in ("ours", "kmeans", "kcl", "mcl", "dtc", "rs", "rs-ll"):
            assert f"'{known}'" in message
        assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


def test_settings_that_do_not_go_together_are_refused_before_the_work(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for settings, complaint in [
        ({"pretraining": "cl"}, "or give the --method of a baseline"),
        ({"method": "kmeans", "pretraining": "none"}, "or --pretraining labels, cl, simclr"),
        ({"method": "rs", "mu": "heldout"}, "mu `heldout` searches for our method's WTA pairs"),
    ]:
        assert newfound(*command(photos, tmp_path / "run", **settings)) == 2
        message = capsys.readouterr().err
        assert complaint in message and len(message.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_dtc_with_more_categories_than_features_ends_before_its_pretraining(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in range(4):
        save_images(tmp_path / "photos" / CLASSES[kind], kind, range(20))
    settings = {"method": "dtc", "labelled_classes": 2, "epochs": 1}
    asked = discover_command(tmp_path / "photos", tmp_path / "run", num_novel=33, **settings)
    assert newfound(*asked) == 2
    assert "ask for at most 32 categories, or make the network wider" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("*.pt"))


# ---- videos ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of short videos with sound; the first two in name order are labelled."""
    root = tmp_path_factory.mktemp("videos")
    for name, pitch in {"beep": 300, "hum": 800, "peep": 2000, "whistle": 5000}.items():
        (root / name).mkdir()
        for number in range(5):
            shape = Picture(steady(0.75, 8), 32, 24, key_every=3, split=name in ("beep", "peep"))
            voice = Sound(tone(0.75, pitch * (1 + number / 50), rate=16_000), rate=16_000)
            write_video(root / name / f"{number}.mp4", shape, voice)
    return root


@pytest.mark.parametrize(
    ("settings", "stages"),
    [
        ({"method": "rs"}, "rotnet labels training"),
        ({"method": "rs", "pretraining": "cl"}, "cl labels training"),
        ({"method": "kmeans", "modalities": "visual"}, "labels"),
        ({"method": "kmeans", "modalities": "audio"}, "labels"),
        ({"method": "kmeans", "pretraining": "simclr"}, "simclr"),
    ],
)
def test_videos_have_the_methods_too(
    videos: Path, tmp_path: Path, settings: dict[str, Any], stages: str
) -> None:
    if "modalities" in settings:
        settings = settings | {"instance_pairs": "within", "category_pairs": "within"}
    run = tmp_path / "run"
    settings = {"labelled_classes": 2, "checkpoint_seconds": 1000} | settings
    asked = discover_videos_command(videos, run, **settings)
    assert newfound(*asked) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["seconds"].keys() == {"reading", *stages.split(), "sorting", "total"}
    assert len(pd.read_csv(run / "items.csv")) == 10
    out = tmp_path / "named.csv"
    assert newfound("predict", run, videos / "peep", "--out", out, "--workers", 0, "--quiet") == 0
    assert len(pd.read_csv(out)) == 5
    encoders = {n.split("encoders.")[1].split(".")[0] for n in tensors(run) if "encoders." in n}
    alone = settings.get("modalities")
    assert encoders == ({alone} if alone else {"visual", "audio"})


# ---- what they find -------------------------------------------------------------------------

EASY = {
    "channels": 3,
    "width": 8,
    "hashes": 128,
    "batch": 16,
    "jitter": 0.0,
    "grey": 0.0,
    "crop_scale": (0.8, 1.0),
    "weak_crop_scale": (1.0, 1.0),
    "weak_shift": 0.125,
}
NOVEL, EACH, CHANCE = (1, 5), 20, 0.5


def accuracy(folder: Path, seed: int, **settings: Any) -> float:
    """ACC of a run on two novel of six classes that anyone can tell apart."""
    pixels, kinds = made_arrays(tuple(range(6)), EACH)
    is_novel = np.isin(kinds, NOVEL)
    names = np.array(CLASSES)[kinds]
    catalogue = from_arrays(
        pixels, np.where(is_novel, -1, np.unique(names, return_inverse=True)[1])
    )
    truth = Truth((kinds[is_novel] == NOVEL[1]).astype(np.int64), ("green-square", "cyan-stripes"))
    config = tiny_config(seed=seed, **EASY | settings)
    job = Job(RunFolder(folder), catalogue, truth, 2, config, Runtime(device="cpu"), False)
    with Progress(quiet=True) as progress:
        run(job, progress)
    return float(job.folder.result()["novel"]["acc"])


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"method": "kmeans", "epochs": 20}, id="kmeans"),
        pytest.param({"method": "kmeans", "pretraining": "cl", "epochs": 20}, id="cl", marks=SLOW),
        pytest.param({"method": "kcl", "epochs": 60, "own_batch": 16}, id="kcl", marks=SLOW),
        pytest.param({"method": "mcl", "epochs": 60, "own_batch": 16}, id="mcl", marks=SLOW),
        pytest.param(
            {"method": "dtc", "pretraining": "labels", "epochs": 100, "batch": 8, "lr": 0.1},
            id="dtc",
            marks=SLOW,
        ),
        pytest.param({"method": "rs", "epochs": 16, "width": 4}, id="rs", marks=SLOW),
        pytest.param({"method": "rs-ll", "epochs": 16, "width": 4}, id="rs-ll", marks=SLOW),
        pytest.param(
            {"method": "rs", "pretraining": "cl", "epochs": 30, "width": 4}, id="rs-cl", marks=SLOW
        ),
    ],
)
def test_easy_categories_are_found(settings: dict[str, Any], tmp_path: Path) -> None:
    """Three seeds on the mean, as some of these methods are known to vary."""
    found = [accuracy(tmp_path / f"{seed}", seed, **settings) for seed in range(3)]
    assert sum(found) / 3 > 0.8 > CHANCE + 0.2, found
