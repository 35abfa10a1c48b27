"""The whole product through its command line, and what it says of bad input."""

import html
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from safetensors.torch import load_file, save_file

import newfound as package
from newfound.cli import main as cli
from newfound.data.words import printable
from newfound.disk.run_folder import RunFolder
from support.made_images import CLASSES, made_image, make_folder, save_images
from support.made_shards import shard, write_shards
from support.small_run import contents, discover_command, flags, newfound, one_thread

KNOWN, NOVEL = (0, 1, 4, 5), (2, 3)
LABELS = {
    0: "../../evil",
    1: "[/b] <script>alert(1)</script>",
    4: 'new\nline, "quoted"',
    5: "plain",
}
EASY = {
    "channels": 3,
    "width": 8,
    "hashes": 128,
    "batch": 32,
    "epochs": 20,
    "lr": 0.03,
    "crop_scale": (0.8, 1.0),
    "jitter": 0.0,
    "grey": 0.0,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "checkpoint_seconds": 60,
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of six easy classes, four of them labelled, with names that mean harm."""
    folder = tmp_path_factory.mktemp("photos")
    rows = []
    for kind in KNOWN + NOVEL:
        paths = save_images(folder / "all files", kind, range(40))
        rows += [(str(path.relative_to(folder)), LABELS.get(kind, "")) for path in paths]
    table = folder / "photos.csv"
    pd.DataFrame(rows, columns=["path", "label"]).to_csv(table, index=False)
    return table


@pytest.fixture(scope="module")
def finished(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "easy"
    with one_thread():
        assert newfound(*discover_command(manifest, run, **EASY)) == 0
    return run


@pytest.fixture(scope="module")
def truth(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the unlabelled files really show, as a user would write it down."""
    table = tmp_path_factory.mktemp("truth") / "truth.csv"
    paths = pd.read_csv(finished / "items.csv")["path"]
    kinds = [re.sub(r"-\d+\.png", "", Path(path).name) for path in paths]
    pd.DataFrame({"path": paths, "label": kinds}).to_csv(table, index=False)
    return table


# ---- the main job --------------------------------------------------------------------------


def test_easy_categories_are_found_from_folder_to_report(
    finished: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert newfound("evaluate", finished, "--truth", truth, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["novel"]["acc"] > 0.9
    assert scores["novel"]["nmi"] > 0.7
    assert scores["known"]["acc"] > 0.8
    assert {row["truth"] for row in scores["novel"]["per_category"]} == {"blue-bar", "white-cross"}

    items = pd.read_csv(finished / "items.csv")
    assert len(items) == 80
    assert list(items.columns) == [
        "path",
        "category",
        "confidence",
        "second",
        "margin",
        "x",
        "y",
        "features_kmeans",
    ]
    parquet = pd.read_parquet(finished / "items.parquet")
    pd.testing.assert_frame_equal(items, parquet, check_dtype=False)
    assert items["confidence"].between(0, 1).all()
    assert (items["second"] != items["category"]).all()
    categories = pd.read_csv(finished / "categories.csv")
    assert categories["size"].tolist() == sorted(items["category"].value_counts(), reverse=True)
    assert set(json.loads(categories["typical"][0])) <= set(items["path"])

    result = json.loads((finished / "result.json").read_text())
    assert result["counts"] == {
        "known_classes": 4,
        "novel_categories": 2,
        "labelled": 144,
        "unlabelled": 80,
        "held_out": 16,
        "skipped": 0,
        "missing": 0,
    }
    assert "agreement" in result["baselines"]["kmeans_features"]
    page = (finished / "report.html").read_text()
    assert "novel-1" in page
    assert "<script>alert(1)</script>" not in page


def test_evaluate_says_it_in_words_too(
    finished: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert newfound("evaluate", finished, "--truth", truth) == 0
    printed = capsys.readouterr().out
    assert "novel: ACC" in printed
    assert "white-cross" in printed


def test_true_classes_that_look_like_none_are_told(
    finished: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(truth)
    table["label"] = table["label"].replace({"blue-bar": "NaN"})
    table.to_csv(tmp_path / "truth.csv", index=False)
    assert newfound("evaluate", finished, "--truth", tmp_path / "truth.csv") == 0
    told = capsys.readouterr().err
    assert "warning: 'NaN' of --truth are taken for classes; leave labels that are none" in told
    assert newfound("evaluate", finished, "--truth", truth) == 0
    assert not capsys.readouterr().err


def test_class_names_are_no_markup(
    finished: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(truth)
    table["label"] = table["label"].replace({"blue-bar": "[/b]", "white-cross": "[red]"})
    table.to_csv(tmp_path / "truth.csv", index=False)
    assert newfound("evaluate", finished, "--truth", tmp_path / "truth.csv") == 0
    printed = capsys.readouterr().out
    assert "[/b]" in printed
    assert "[red]" in printed


def test_the_python_interface_tells_the_same(finished: Path, truth: Path, tmp_path: Path) -> None:
    found = package.load(finished)
    items = pd.read_csv(finished / "items.csv")
    pd.testing.assert_frame_equal(found.table(), items, check_dtype=False)
    assert [found.categories_[label] for label in found.labels_] == items["category"].tolist()
    assert found.probabilities_.shape == (80, 2)
    np.testing.assert_allclose(found.probabilities_.sum(axis=1), 1)
    np.testing.assert_allclose(found.probabilities_.max(axis=1), items["confidence"])
    assert (found.probabilities_.argmax(axis=1) == found.labels_).all()
    assert found.embedding_.shape == (80, 64)
    assert found.known_ == tuple(sorted(LABELS.values()))
    assert f"novel-1: {(found.labels_ == 0).sum()}" in repr(found)
    table = pd.read_csv(truth)
    assert found.evaluate(dict(zip(table["path"], table["label"])))["acc"] > 0.9

    page = found.report(tmp_path / "page.html")
    assert page.read_text() == (finished / "report.html").read_text()
    found.save(tmp_path / "saved")
    (tmp_path / "saved" / "report.html").unlink()
    assert newfound("report", tmp_path / "saved") == 0
    assert (tmp_path / "saved" / "report.html").exists()
    pd.testing.assert_frame_equal(package.load(tmp_path / "saved").table(), found.table())
    with pytest.raises(package.InputError, match="is there already"):
        found.save(tmp_path / "saved")


# ---- new files -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def new_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten unseen files of each class, in two folders that share file names, and a bad one."""
    folder = tmp_path_factory.mktemp("more")
    for kind in KNOWN + NOVEL:
        save_images(folder, kind, range(100, 105))
        for number in range(200, 205):
            path = folder / "again" / f"{CLASSES[kind]}-{number - 100}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(made_image(kind, number)).save(path)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_files_that_a_table_lists_are_predicted_and_sorted(
    finished: Path, new_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = sorted((new_files / "again").iterdir())[:5]
    listed = tmp_path / "new.csv"
    pd.DataFrame({"path": paths}).to_csv(listed, index=False)
    command = ["predict", finished, listed, "--workers", 0, "--quiet", "--out"]
    out, into = tmp_path / "out.csv", tmp_path / "sorted"
    assert newfound(*command, out, "--copy-to", into) == 0
    table = pd.read_csv(out)
    assert table["path"].tolist() == [str(path) for path in paths]
    copied = {path.name: path.parent.name for path in into.rglob("*.png")}
    assert copied == {path.name: of for path, of in zip(paths, table["category"])}
    before = listed.read_bytes()
    (tmp_path / "link.csv").symlink_to(listed)
    for same in (listed, tmp_path / "link.csv"):
        assert newfound(*command, same) == 2
        assert "is the table that is read; give another name" in capsys.readouterr().err
    assert listed.read_bytes() == before
    assert newfound(*command, tmp_path / "d.csv", "--copy-to", tmp_path / "d.csv") == 2
    assert "d.csv is --out, too; give a new folder" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predict_names_known_and_discovered_categories(
    finished: Path,
    truth: Path,
    new_files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ending: str,
) -> None:
    out = tmp_path / f"more.{ending}"
    command = ["predict", finished, new_files, "--out", out, "--workers", 0]
    assert newfound(*command) == 0
    assert "left out: 'notes.txt': not an image that Pillow reads" in capsys.readouterr().err
    assert newfound(*command, "--quiet") == 0
    assert capsys.readouterr().err == (
        "newfound: 1 images are left out; without --quiet it is told why\n"
    )
    table = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
    assert list(table.columns) == ["path", "category", "kind", "confidence", "second", "margin"]
    assert len(table) == 60
    assert (table["kind"] == "novel").eq(table["category"].str.startswith("novel-")).all()
    assert (table["margin"] >= 0).all()

    items = pd.read_csv(finished / "items.csv").merge(pd.read_csv(truth), on="path")
    named = items.groupby("category")["label"].agg(lambda labels: labels.mode()[0]).to_dict()
    named |= {label: CLASSES[kind] for kind, label in LABELS.items()}
    really = [re.sub(r"-\d+\.png", "", Path(path).name) for path in table["path"]]
    assert (table["category"].map(named) == really).mean() > 0.8


def test_predict_agrees_with_the_run_on_its_own_items(
    finished: Path, manifest: Path, tmp_path: Path
) -> None:
    out = tmp_path / "own.csv"
    place = manifest.parent / "all files"
    assert newfound("predict", finished, place, "--out", out, "--workers", 0, "--quiet") == 0
    predicted = pd.read_csv(out)
    items = pd.read_csv(finished / "items.csv")
    items["path"] = items["path"].str.removeprefix("all files/")
    both = items.merge(predicted[predicted["kind"] == "novel"], on="path")
    assert len(both) > 60
    assert (both["category_x"] == both["category_y"]).all()


@pytest.mark.parametrize("where", ["here", "there"])
def test_predict_takes_shards_wherever_they_are(
    finished: Path,
    manifest: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    """What they are answered with is what the same files are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    photos = sorted((manifest.parent / "all files").iterdir())[::8]
    place = "memory://predict/one.tar"
    content = shard((path.name, path.read_bytes()) for path in photos)
    if where == "here":
        place = str(tmp_path / "one.tar")
        (tmp_path / "one.tar").write_bytes(content)
    else:
        MemoryFileSystem().pipe("/predict/one.tar", content)
    (tmp_path / "photos").mkdir()
    for path in photos:
        (tmp_path / "photos" / path.name).symlink_to(path)
    answers = []
    for data, out in ((place, tmp_path / "a.csv"), (tmp_path / "photos", tmp_path / "b.csv")):
        assert newfound("predict", finished, data, "--out", out, "--workers", 0) == 0
        answers.append(pd.read_csv(out))
    assert capsys.readouterr().err.count("Reading 1 new shard ...\n") == 1
    answers[0]["path"] = answers[0]["path"].str.removeprefix("one.tar/")
    pd.testing.assert_frame_equal(*answers)
    pd.testing.assert_frame_equal(
        package.load(finished).predict(place, workers=0).assign(path=answers[1]["path"]), answers[1]
    )
    sort = ["predict", finished, place, "--out", tmp_path / "c.csv", "--copy-to", tmp_path / "d"]
    assert newfound(*sort) == 2
    assert "lies in shards, so it cannot be copied" in capsys.readouterr().err
    assert not (tmp_path / "c.csv").exists()


@pytest.mark.parametrize("quiet", [[], ["--quiet"]], ids=["aloud", "quiet"])
@pytest.mark.parametrize("command", ["discover", "tune"])
def test_new_shards_are_counted_unless_quiet(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    quiet: list[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_shards(tmp_path / "d", [8, 8, 8])
    asked = [command, "images", tmp_path / "d", "--out", tmp_path / "run", "--preset", "quick"]
    assert newfound(*asked, "--num-novel", 1, "--mu", 3, *quiet) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[:-1] == ([] if quiet else ["Reading 3 new shards ..."])


def test_predict_takes_a_single_file(finished: Path, new_files: Path, tmp_path: Path) -> None:
    one = new_files / "red-disc-100.png"
    assert newfound("predict", finished, one, "--out", tmp_path / "one.csv", "--workers", 0) == 0
    assert pd.read_csv(tmp_path / "one.csv")["path"].tolist() == ["red-disc-100.png"]


@pytest.mark.parametrize("link", [False, True])
def test_files_are_sorted_into_folders_that_stay_inside(
    finished: Path, new_files: Path, tmp_path: Path, link: bool
) -> None:
    out, sorted_into = tmp_path / "more.csv", tmp_path / "deep" / "sorted"
    command = ["predict", finished, new_files, "--out", out, "--copy-to", sorted_into]
    assert newfound(*command, "--workers", 0, *(["--link"] if link else [])) == 0
    table = pd.read_csv(out)
    placed = [path for path in sorted_into.rglob("*") if not path.is_dir()]
    assert len(placed) == len(table)
    assert all(len(path.relative_to(sorted_into).parts) == 2 for path in placed)
    assert {path.name for path in tmp_path.iterdir()} == {"more.csv", "deep"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["sorted"]
    assert any("evil" in path.name for path in sorted_into.iterdir())
    assert all(path.is_symlink() == link for path in placed)
    originals = {path.read_bytes() for path in new_files.rglob("*.png")}
    assert {path.read_bytes() for path in placed} == originals  # no name took another's place


def test_files_are_not_sorted_into_a_folder_in_use(
    finished: Path, new_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sorted").mkdir()
    (tmp_path / "sorted" / "mine").write_text("dear")
    command = ["predict", finished, new_files, "--out", tmp_path / "more.csv", "--workers", 0]
    assert newfound(*command, "--copy-to", tmp_path / "sorted") == 2
    assert "is not empty; give a new folder to --copy-to" in capsys.readouterr().err
    assert contents(tmp_path / "sorted") == {"mine": b"dear"}
    assert not (tmp_path / "more.csv").exists()  # found out before the work
    assert newfound(*command, "--copy-to", new_files / "sorted") == 2
    assert "are data; give a folder outside of it" in capsys.readouterr().err
    assert not (new_files / "sorted").exists()
    assert newfound(*command, "--copy-to", tmp_path / "sorted" / "mine" / "below") == 2
    assert "cannot write" in capsys.readouterr().err
    assert newfound(*command, "--link") == 2
    assert "--link goes with --copy-to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "cure"),
    [
        ("more.xlsx", "give a name ending in .csv or .parquet"),
        ("absent/more.csv", "is no folder; --out goes into one that is there"),
        ("folder.csv", "is a folder; give --out the name of a file"),
        ("/proc/more.csv", "cannot write to /proc"),
    ],
)
def test_a_table_that_cannot_be_written_is_known_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, cure: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "files").mkdir()
    assert newfound("predict", "no-run", tmp_path / "files", "--out", tmp_path / out) == 2
    assert cure in capsys.readouterr().err


def test_predict_without_a_readable_file(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", finished, tmp_path, "--out", tmp_path.parent / "none.csv"]
    assert newfound(*command, "--workers", 0) == 2
    assert "holds no files" in capsys.readouterr().err
    (tmp_path / "bad.png").write_bytes(b"")
    (tmp_path.parent / "none.csv").write_text("a good table")
    assert newfound(*command, "--workers", 0) == 2
    message = capsys.readouterr().err
    assert "none of 1 images can be read: 'bad.png' (empty file); give images" in message
    assert (tmp_path.parent / "none.csv").read_text() == "a good table"


@pytest.mark.parametrize("name", ["items.parquet", "items.csv"])
def test_predict_leaves_a_runs_own_files_alone(
    finished: Path, new_files: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = contents(finished)
    assert newfound("predict", finished, new_files, "--out", finished / name) == 2
    assert "holds a run, whose own files stay; give another --out" in capsys.readouterr().err
    assert contents(finished) == before


def test_predict_writes_no_table_among_the_files_that_it_reads(
    finished: Path, new_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(new_files)
    assert newfound("predict", finished, new_files, "--out", new_files / "table.csv") == 2
    assert "are data; give a folder outside of it" in capsys.readouterr().err
    assert contents(new_files) == before


def test_predict_writes_to_what_a_link_leads_to(
    finished: Path, new_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link, target = tmp_path / "link.csv", tmp_path / "elsewhere" / "table.csv"
    target.parent.mkdir()
    link.symlink_to(target)
    command = ["predict", finished, new_files / "red-disc-100.png", "--workers", 0, "--out"]
    assert newfound(*command, link) == 0
    assert link.is_symlink()
    assert len(pd.read_csv(target)) == 1
    link.unlink()
    link.symlink_to(finished / "items.csv")
    assert newfound(*command, link) == 2
    assert "holds a run" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.safetensors", "items.parquet", "result.json"])
@pytest.mark.parametrize("damage", ["cut", "absent"])
def test_a_damaged_run_is_named(
    finished: Path,
    new_files: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: str,
) -> None:
    run = tmp_path / "run"
    package.load(finished).save(run)
    if damage == "cut":
        os.truncate(run / name, (run / name).stat().st_size // 2)
    else:
        (run / name).unlink()
    commands = {
        "model.safetensors": [["predict", run, new_files, "--out", tmp_path / "x.csv"]],
        "items.parquet": [["evaluate", run], ["report", run]],
        "result.json": [["evaluate", run], ["report", run]],
    }
    for command in commands[name]:
        assert newfound(*command) == 2
        message = capsys.readouterr().err
        assert str(run) in message
        assert "command again" in message
        assert "Traceback" not in message


def test_evaluate_wants_the_truth_of_every_item(
    finished: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert newfound("evaluate", finished) == 2
    assert "is not known; give --truth" in capsys.readouterr().err
    pd.read_csv(truth).iloc[3:].to_csv(tmp_path / "part.csv", index=False)
    assert newfound("evaluate", finished, "--truth", tmp_path / "part.csv") == 2
    assert "lacks 3 of 80 items" in capsys.readouterr().err
    assert newfound("evaluate", finished, "--truth", tmp_path / "part.csv", "--partial") == 0
    printed = capsys.readouterr().out
    assert "of 77 of 80 items:" in printed and "known: " not in printed
    assert newfound("evaluate", finished, "--partial") == 2
    assert "--partial goes with --truth" in capsys.readouterr().err
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "notes.txt").write_text("path,label")
    for name, wrong in {
        "absent.csv": "does not exist",
        "folder.csv": "is a folder",
        "notes.txt": "ends in '.txt'",
    }.items():
        assert newfound("evaluate", finished, "--truth", tmp_path / name) == 2
        message = capsys.readouterr().err
        assert f"{name} {wrong}; give a .csv or .parquet table with the columns path" in message
    pd.read_csv(truth).rename(columns={"label": "class"}).to_csv(tmp_path / "c.csv", index=False)
    assert newfound("evaluate", finished, "--truth", tmp_path / "c.csv") == 2
    assert "no column label" in capsys.readouterr().err


def test_no_run_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["evaluate", tmp_path], ["report", tmp_path]):
        assert newfound(*command) == 2
        assert "holds no run of newfound" in capsys.readouterr().err


def test_a_protocol_keeps_its_truth_for_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in range(4):
        save_images(tmp_path / "classes" / CLASSES[kind], kind, range(6))
    command = discover_command(tmp_path / "classes", tmp_path / "run", epochs=1)
    assert newfound(*command, "--labelled-classes", 2) == 0
    assert newfound("evaluate", tmp_path / "run", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert {row["truth"] for row in scores["novel"]["per_category"]} == {"red-disc", "white-cross"}
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["novel"] == scores["novel"]
    assert {"acc", "nmi", "ari", "agreement"} == result["baselines"]["kmeans_pixels"].keys()
    assert newfound("evaluate", tmp_path / "run") == 0
    assert "kmeans_features: ACC" in capsys.readouterr().out


def test_a_summary_is_printed_unless_quiet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_folder(tmp_path / "photos", each=5)
    command = discover_command(photos, tmp_path / "run", epochs=1)
    assert newfound(*command) == 0
    assert capsys.readouterr() == ("", "")
    loud = [a for a in discover_command(photos, tmp_path / "loud", epochs=1) if a != "--quiet"]
    assert newfound(*loud) == 0
    printed = capsys.readouterr()
    assert "novel-1" in printed.out
    assert f"report: {tmp_path / 'loud' / 'report.html'}" in printed.out
    assert "Training" in printed.err
    assert "nan" not in printed.out  # of an empty category, as here in one epoch, there is no mean


# ---- bad input -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("few"), each=6)


def test_settings_out_of_range_are_refused_in_a_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for settings, complaints in {
        ("mu", 8): ["mu is 8", "a count above 8 and at most 32"],
        ("mu", 33): ["mu is 33", "at most 32"],
        ("mu", 0.25): ["mu is 0.25", "a fraction above 0.25 and at most 1"],
        ("ramp_scale", 2): ["ramp_scale", "less than or equal to 1", "given: 2.0"],
        ("epochs", 0): ["epochs", "greater than or equal to 1", "given: 0"],
        ("lr", "nan"): ["lr", "finite", "given: nan"],
        ("crop_scale", (0.9, 0.5)): ["crop_scale is (0.9, 0.5)", "least <= largest"],
        ("warmup_epochs", 4): ["warmup_epochs is 4 of 3 epochs", "--warmup-epochs 0.3"],
        ("window", 40): ["window is 40", "the 32 features of width 4"],
        ("preset", "tiny"): ["no preset is named 'tiny'", ", ".join(package.PRESETS)],
        ("device", "abacus"): ["device 'abacus'", "give auto, cpu, cuda"],
        ("batch", 23): ["batch is 23", "only 22 items", "--batch 22 or less"],
        ("workers", -1): ["workers", "greater than or equal to 0", "given: -1"],
    }.items():
        name, value = settings
        run = tmp_path / "run"
        assert newfound(*discover_command(photos, run, **{name: value})) == 2, settings
        message = capsys.readouterr().err
        assert all(complaint in message for complaint in complaints), message
        assert len(message.splitlines()) == 1, message
        assert "Traceback" not in message
        assert not run.exists()


@pytest.mark.parametrize(
    "argument", [["--epochs", "many"], ["--nonsense", "1"], ["--mu", "sharp"], ["--cache", "disk"]]
)
def test_flags_that_make_no_sense_are_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: list[str]
) -> None:
    assert newfound(*discover_command(photos, tmp_path / "run"), *argument) == 2
    message = capsys.readouterr().err
    assert argument[1] in message
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("num_novel", "complaint"),
    [
        (1, "num_novel is 1; discovery tells categories apart, so give at least 2"),
        (13, "num_novel is 13, but there are only 12 unlabelled items"),
    ],
)
def test_categories_must_be_two_and_no_more_than_items(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    num_novel: int,
    complaint: str,
) -> None:
    assert newfound(*discover_command(photos, tmp_path / "run", num_novel)) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def refused(data: Path, out: Path, capsys: pytest.CaptureFixture[str], **changed: Any) -> str:
    """The message of a run that must be refused with no folder made, and no data changed."""
    before = contents(data) if data.is_dir() else None
    assert newfound(*discover_command(data, out, **changed)) == 2
    assert not out.exists()
    if before is not None:
        assert contents(data) == before
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_a_run_among_its_data(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(photos, photos / "unlabelled" / "run", capsys)
    assert "whose files and folders are data; give a folder outside of it" in message


def test_a_missing_path(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mistyped = photos.parent / (photos.name + "s")
    message = refused(mistyped, tmp_path / "run", capsys)
    assert f"'{mistyped}' does not exist; did you mean '{photos.name}'?" in message


def test_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    message = refused(tmp_path / "photos", tmp_path / "run", capsys)
    assert "holds no folders of images" in message
    assert "DATA/labelled/<class>/**" in message


@pytest.mark.parametrize("known", [(), (0,)])
def test_fewer_than_two_labelled_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], known: tuple[int, ...]
) -> None:
    data = make_folder(tmp_path / "photos", known=known, each=4)
    (data / "labelled").mkdir(exist_ok=True)
    message = refused(data, tmp_path / "run", capsys)
    assert "needs at least two labelled classes" in message
    assert "label images of more classes" in message


def test_nothing_unlabelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_folder(tmp_path / "photos", novel=(), each=4)
    (data / "unlabelled").mkdir()
    assert "nothing to discover" in refused(data, tmp_path / "run", capsys)


def test_no_data_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert newfound("discover", "images", "--num-novel", 2, "--out", run) == 2
    assert "no data given" in capsys.readouterr().err
    command = ["discover", "images", "--labelled", tmp_path, "--num-novel", 2, "--out", run]
    assert newfound(*command) == 2
    assert "--labelled and --unlabelled go together" in capsys.readouterr().err
    assert not run.exists()


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("file,class\na.png,x\n", "has no column path and no column label"),
        ("path,label\nabsent.png,x\n", "names 1 of 1 files that do not exist: 'absent.png'"),
        ("path,label\na.png,x\n./a.png,y\n", "under two labels, 'x' and 'y'"),
        ("path,label\n", "has no rows"),
        ("path,label\na.png,x,y\n", "cannot be read as a table"),
        ("", "cannot be read as a table"),
    ],
)
def test_a_bad_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, complaint: str
) -> None:
    Image.fromarray(made_image(0, 0)).save(tmp_path / "a.png")
    table = tmp_path / "photos.csv"
    table.write_text(rows)
    assert complaint in refused(table, tmp_path / "run", capsys)


def test_a_class_with_one_image_is_taken_with_a_warning(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "photos", each=6)
    save_images(data / "labelled" / "lonely", 4, range(1))
    assert newfound(*discover_command(data, tmp_path / "run", epochs=1)) == 0
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert "the labelled class 'lonely' has a single item" in log
    assert "has a single item" in (tmp_path / "run" / "report.html").read_text()


def test_up_to_a_share_of_unreadable_files_is_left_out(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "photos", each=20)
    (data / "unlabelled" / "empty.png").write_bytes(b"")
    whole = (data / "unlabelled" / "blue-bar-000.png").read_bytes()
    (data / "unlabelled" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (data / "labelled" / "red-disc" / "letter.jpg").write_text("Dear Sir")
    (data / "unlabelled" / "loop").symlink_to(data / "unlabelled")
    assert newfound(*discover_command(data, tmp_path / "run", epochs=1)) == 0
    skipped = pd.read_csv(tmp_path / "run" / "skipped.csv").set_index("path")["reason"]
    assert skipped["unlabelled/empty.png"] == "empty file"
    assert skipped["labelled/red-disc/letter.jpg"] == "not an image that Pillow reads"
    assert set(skipped.index) - {"unlabelled/cut.png"} == {
        "unlabelled/empty.png",
        "labelled/red-disc/letter.jpg",
    }
    assert "unlabelled/cut.png" in skipped.index
    items = pd.read_csv(tmp_path / "run" / "items.csv")["path"]
    assert len(items) == 40
    assert not set(items) & set(skipped.index)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["counts"]["skipped"] == 3


def test_texts_among_the_images_do_not_stop_a_run_and_a_class_of_them_alone_is_named(
    tmp_path: Path,
) -> None:
    data = make_folder(tmp_path / "photos", each=6)
    papers = data / "labelled" / "papers"
    papers.mkdir()
    for number in range(9):
        (papers / f"{number}.pdf").write_text("%PDF")
        (data / "unlabelled" / f"{number}.TXT").write_text("Dear Sir")
    assert newfound(*discover_command(data, tmp_path / "run", epochs=1)) == 0
    told = "no file of these labelled classes can be used, and they are left out: 'papers'"
    assert told in (tmp_path / "run" / "log.jsonl").read_text()
    assert told in html.unescape((tmp_path / "run" / "report.html").read_text())
    assert len(pd.read_csv(tmp_path / "run" / "skipped.csv")) == 18

    found = package.load(tmp_path / "run")
    assert found.known_ == ("green-square", "red-disc")
    answers = found.predict(data / "labelled" / "red-disc")
    assert set(answers["category"]) <= {*found.known_, *found.categories_}


def test_a_run_that_does_not_tell_what_it_left_out_is_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the files of older versions do not; the cure that is named helps."""
    data, run = make_folder(tmp_path / "photos", each=6), tmp_path / "run"
    (data / "labelled" / "papers").mkdir()
    (data / "labelled" / "papers" / "1.pdf").write_text("%PDF")
    assert newfound(*discover_command(data, run, epochs=1)) == 0
    tensors = load_file(run / "model.safetensors")
    save_file(tensors, run / "model.safetensors")
    files = data / "labelled" / "red-disc"
    capsys.readouterr()
    assert newfound("predict", run, files, "--out", tmp_path / "answers.csv") == 2
    assert "Delete it and give the run's command again" in capsys.readouterr().err
    (run / "model.safetensors").unlink()
    assert newfound(*discover_command(data, run, epochs=1)) == 0
    assert newfound("predict", run, files, "--out", tmp_path / "answers.csv") == 0


def test_what_is_labelled_and_unlabelled_is_warned_of(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "photos", each=6)
    file = next((data / "unlabelled").iterdir())
    shutil.copy(file, data / "labelled" / "red-disc" / "copy.png")
    assert newfound(*discover_command(data, tmp_path / "run", epochs=1)) == 0
    told = f"1 of the unlabelled images are labelled, too, such as 'unlabelled/{file.name}'"
    assert told in (tmp_path / "run" / "log.jsonl").read_text()


def test_what_can_be_read_has_to_suffice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_folder(tmp_path / "photos", each=6)
    for number in range(10):
        (data / "unlabelled" / f"bad-{number}.png").write_bytes(b"")
    command = discover_command(data, tmp_path / "run", epochs=1, batch=30, max_bad=0.9)
    assert newfound(*command) == 2
    assert "batch is 30, but there are only 22 items" in capsys.readouterr().err


def test_more_than_that_share_stops_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_folder(tmp_path / "photos", each=6)
    for number in range(2):
        (data / "unlabelled" / f"bad-{number}.png").write_bytes(b"")
    before = contents(data)
    command = discover_command(data, tmp_path / "run", epochs=1)
    assert newfound(*command) == 2
    message = capsys.readouterr().err
    assert "2 of 26 files (7.7%) cannot be used, more than the 5.0% allowed" in message
    assert "'unlabelled/bad-0.png' (empty file)" in message
    assert contents(data) == before
    cure = re.search(r"--max-bad [\d.]+", message)
    assert cure
    assert newfound(*command, *cure.group().split()) == 0  # what it says works, in the same place


def test_hostile_file_names_come_through_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_folder(tmp_path / "photos", each=8)
    names = [
        "with space.png",
        "quote\"s and 'ticks'.png",
        "new\nline.png",
        "carriage\rreturn.png",
        "comma, tab\t.png",
        "<script>alert(1)</script>.png",
        "[/bold] [red].png",
        "\u2028 \u202e.png",
        "=1+1.png",
        os.fsdecode(b"latin-\xe9.png"),
    ]
    for number, name in enumerate(n.replace("/", "\u2044") for n in names):
        Image.fromarray(made_image(2, 100 + number)).save(data / "unlabelled" / name)
    shown = {"unlabelled/" + printable(name.replace("/", "\u2044")) for name in names}
    command = discover_command(data, tmp_path / "run", epochs=1)
    assert newfound(*(a for a in command if a != "--quiet")) == 0
    capsys.readouterr()

    run = tmp_path / "run"
    as_parquet = pd.read_parquet(run / "items.parquet")["path"].tolist()
    assert shown <= set(as_parquet)
    assert pd.read_csv(run / "items.csv")["path"].tolist() == as_parquet
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "latin-\\xe9.png" in page.replace("\\\\", "\\")

    truth = pd.DataFrame({"path": as_parquet, "label": [p[:12] for p in as_parquet]})
    truth.to_parquet(tmp_path / "truth.parquet")
    assert newfound("evaluate", run, "--truth", tmp_path / "truth.parquet") == 0
    command = ["predict", run, data / "unlabelled", "--out", tmp_path / "more.csv"]
    assert newfound(*command, "--workers", 0, "--copy-to", tmp_path / "sorted") == 0
    assert len(list((tmp_path / "sorted").rglob("*.png"))) == len(as_parquet)


def test_debug_shows_where(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(package.InputError, match="num_novel is 1"):
        newfound(*discover_command(photos, tmp_path / "run", 1), "--debug")


def test_the_preset_follows_the_data_and_the_flags_follow_the_preset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Few WTA hashes do not fit the paper's mu, but they do fit that of the digits' preset."""
    run = tmp_path / "run"
    command = ["discover", "images", "digits", "--num-novel", 5, "--out", run, "--batch", 99999]
    assert newfound(*command, *flags(hashes=64)) == 2
    assert "batch is 99999" in capsys.readouterr().err
    assert newfound(*command, *flags(hashes=64, mu=240)) == 2
    assert "mu is 240" in capsys.readouterr().err


def test_a_method_stays_where_the_preset_is_chosen_by_the_data(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["discover", "images", "digits", "--num-novel", 5, "--out", run, "--preset", "auto"]
    settings = flags(method="kmeans", epochs=2, warmup_epochs=0, width=4, workers=0)
    assert newfound(*command, *settings, "--quiet") == 0
    assert RunFolder(run).config().method == "kmeans"


def test_several_processes_may_be_asked_to_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(cli, "_parse", lambda arguments: lambda: print(*arguments))
    assert newfound("--debug", "discover", "images") == 0
    with pytest.raises(package.InputError, match="start this command without torchrun"):
        newfound("--debug", "tune", "images")


def test_auto_is_a_preset_for_large_images_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("labelled/a", "labelled/b", "unlabelled"):
        (tmp_path / "large" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (80, 80)).save(tmp_path / "large" / name / f"{number}.png")
    command = [
        "discover",
        "images",
        tmp_path / "large",
        "--num-novel",
        2,
        "--out",
        tmp_path / "run",
    ]
    assert newfound(*command, "--preset", "auto") == 2
    assert "batch is 1024, but there are only" in capsys.readouterr().err


# ---- where it is run -----------------------------------------------------------------------


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_shell_may_close_what_it_prints_to(photos: Path, tmp_path: Path, closed: str) -> None:
    command = [sys.executable, "-m", "newfound", *discover_command(photos, tmp_path / "run")]
    command.remove("--quiet")
    ended = subprocess.run(
        f"{shlex.join(command)} {closed}", shell=True, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr.count("mistake")) == (0, 0)
    assert (tmp_path / "run" / "report.html").exists()


def test_a_current_folder_that_is_gone(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for command in (
        discover_command(photos, Path("run")),
        ["predict", tmp_path, photos, "--out", "a.csv"],
    ):
        assert newfound(*command) == 2
        assert "lies in the current folder, which is gone; cd to" in capsys.readouterr().err


def test_a_file_of_a_run_in_place_of_its_folder(
    finished: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = finished / "report.html"
    for command in (
        ["report", page],
        ["evaluate", page],
        ["predict", page, photos, "--out", tmp_path / "a.csv"],
    ):
        assert newfound(*command) == 2
        assert "report.html is a file; give the folder of the run" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert newfound("--version") == 0
    assert capsys.readouterr().out == f"newfound {package.__version__}\n"
