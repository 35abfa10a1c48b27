"""`newfound reproduce` by the command line, on made data: run, cut, continued, failed, shared."""

import csv
import json
import multiprocessing
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError
from newfound.reproduce import datasets
from newfound.reproduce.datasets import DATA_SETS, Scale
from newfound.reproduce.protocols import open_class_folders
from newfound.reproduce.results_page import write_page
from newfound.reproduce.rows import TABLES
from newfound.run import conclude
from newfound.training.train import Training
from support.made_images import CLASSES, save_images
from support.made_videos import Picture, Sound, steady, tone, write_video
from support.signals import signalled
from support.small_run import (
    TINY_VIDEOS,
    assert_same_run,
    contents,
    events,
    newfound,
    one_thread,
)

FORKED = multiprocessing.get_context("fork")
TINY = {
    "width": 4,
    "projection_hidden": 16,
    "projection_size": 8,
    "epochs": 2,
    "warmup_epochs": 0,
    "batch": 16,
    "precision": "float32",
}
TINY_CLIPS = {name: value for name, value in TINY_VIDEOS.items() if name != "preset"}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small scale is smaller still, and avdigits any four classes of videos."""
    monkeypatch.setattr(datasets, "SMALL_FOLDER", TINY)
    videos = replace(
        DATA_SETS["avdigits"],
        open=lambda place, _: open_class_folders(place, 2, 2, "videos"),
        small=Scale("quick-videos", TINY_CLIPS, per_class=4),
    )
    monkeypatch.setitem(DATA_SETS, "avdigits", videos)
    with one_thread():
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of six classes; four are labelled, so that two can be taken as unlabelled."""
    root = tmp_path_factory.mktemp("photos")
    for kind in range(6):
        save_images(root / CLASSES[kind], kind, range(8))
    return root


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of four classes of videos with sound."""
    root = tmp_path_factory.mktemp("videos")
    for kind, pitch in enumerate((300.0, 800.0, 2000.0, 5000.0)):
        (root / f"class {kind}").mkdir()
        for number in range(5):
            picture = Picture(steady(0.75, rate=8), 32, 24, key_every=3, split=kind % 2 == 0)
            sound = Sound(tone(0.75, pitch * (1 + number / 50), rate=16_000), rate=16_000)
            write_video(root / f"class {kind}" / f"{number}.mp4", picture, sound)
    return root


@pytest.fixture(scope="module")
def shared_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared") / "out"


def reproduce(table: str, data: Path, out: Path, *rows: int, **options: Any) -> int:
    """The exit code of the command at small scale: of `photos`, or of videos."""
    options = {
        "dataset": "folder",
        "scale": "small",
        "workers": 0,
        "checkpoint_seconds": 0,
    } | options
    if options["dataset"] == "folder":
        options["labelled_classes"] = 4
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    flags = [flag.replace("_", "-") if flag.startswith("--") else flag for flag in flags]
    given = ["--rows", *rows] if rows else []
    return newfound("reproduce", table, "--data", data, "--out", out, *flags, *given)


def table_of(out: Path, name: str, data_set: str = "folder") -> dict[str, Any]:
    table: dict[str, Any] = json.loads((out / f"{name}-{data_set}-small.json").read_text())
    return table


def seeds_of(out: Path, name: str) -> dict[int, list[str]]:
    """Row -> the seeds it counts."""
    return {row["number"]: list(row["seeds"]) for row in table_of(out, name)["rows"]}


# ---- every table ---------------------------------------------------------------------------


OF_IMAGES: dict[str, tuple[int, ...]] = {
    "table1": (1, 11),
    "table3": (3, 7),
    "table5": (1, 4),
    "table6": (1, 2),
    "table7": (4, 8),
    "fig2": (),
}
OF_VIDEOS: dict[str, tuple[int, ...]] = {"table2": (2, 7), "table4": (2, 6), "fig3": ()}


@pytest.mark.parametrize("name", OF_IMAGES)
def test_every_table_of_images(
    name: str, photos: Path, shared_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce(name, photos, shared_out, *OF_IMAGES[name]) == 0
    check_table(name, OF_IMAGES[name], shared_out, "folder", capsys.readouterr().out)


@pytest.mark.parametrize("name", OF_VIDEOS)
def test_every_table_of_videos(
    name: str, videos: Path, shared_out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce(name, videos, shared_out, *OF_VIDEOS[name], dataset="avdigits") == 0
    check_table(name, OF_VIDEOS[name], shared_out, "avdigits", capsys.readouterr().out)


@pytest.fixture
def everything(photos: Path, videos: Path, shared_out: Path) -> Path:
    """All of these tables; there is little to do if the tests above have made them."""
    for name, rows in OF_IMAGES.items():
        assert reproduce(name, photos, shared_out, *rows) == 0
    for name, rows in OF_VIDEOS.items():
        assert reproduce(name, videos, shared_out, *rows, dataset="avdigits") == 0
    return shared_out


def check_table(name: str, rows: tuple[int, ...], out: Path, data_set: str, printed: str) -> None:
    """The three files and what is printed tell the same, and at which scale."""
    stem = out / f"{name}-{data_set}-small"
    table = table_of(out, name, data_set)
    asked = rows or tuple(row.number for row in TABLES[name].rows)
    assert [row["number"] for row in table["rows"]] == list(asked)
    assert all(list(row["seeds"]) == ["0"] and row["n"] == 1 for row in table["rows"])
    assert "small scale" in table["heading"]

    with stem.with_suffix(".csv").open() as file:
        lines = list(csv.DictReader(file))
    for row, line in zip(table["rows"], lines):
        assert (int(line["number"]), line["name"], line["seed"]) == (
            row["number"],
            row["name"],
            "0",
        )
        assert float(line["acc"]) == row["mean"] == row["seeds"]["0"]["acc"]
        assert 0 < row["mean"] <= 100 and row["seconds"] > 0 and row["deviation"] is None
        assert line["hardware"].startswith("CPU")

    markdown = stem.with_suffix(".md").read_text()
    assert table["heading"] in markdown
    assert "ACC, %, small scale" in markdown and "the paper's, %, full scale" in markdown
    for row in table["rows"]:
        assert f"| ({row['number']}) | {row['name']} | {row['mean']:.1f} | 1 |" in markdown
        assert f"({row['number']})" in printed
        assert f"{row['mean']:.1f}" in printed
    assert str(stem) in printed


def test_tables_share_their_runs(everything: Path) -> None:
    """Ours is in four of them and has been run once."""
    runs = sorted(path.name for path in (everything / "runs").iterdir() if path.is_dir())
    assert [name for name in runs if name.startswith("folder-small")] == [
        "folder-small-kmeans-seed0",
        "folder-small-ours-bce_weight=0-seed0",
        "folder-small-ours-seed0",
        "folder-small-rs-pairs=wta-seed0",
    ]
    assert [name for name in runs if name.startswith("folder-pretended")] == [
        "folder-pretended-small-ours-mu=130-seed0",
        "folder-pretended-small-ours-mu=240-seed0",  # of Tables 5 and 6
        "folder-pretended-small-ours-window=2-mu=257-seed0",
    ]
    for run in runs:
        assert events(everything / "runs" / run).count("end") == 1
    pretended = json.loads(
        (everything / "runs/folder-pretended-small-ours-mu=130-seed0/result.json").read_text()
    )
    assert pretended["counts"]["known_classes"] == 2
    assert {row["truth"] for row in pretended["novel"]["per_category"]} == set(
        sorted(CLASSES)[2:4]
    )  # labelled classes, taken as unlabelled


def test_figures_are_drawn_of_the_runs(everything: Path, photos: Path) -> None:
    for stem in ("fig2-folder-small", "fig3-avdigits-small"):
        svg = (everything / f"{stem}.svg").read_text()
        assert "<svg" in svg
        assert (everything / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    before = contents(everything)
    assert reproduce("fig2", photos, everything) == 0  # nothing to run; drawn anew
    after = contents(everything)
    assert {name for name in before if before[name] != after[name]} == set()


def test_all_tables_go_onto_one_page(everything: Path, tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    assert newfound("reproduce", "page", "--out", everything, "--to", page) == 0
    text = page.read_text()
    places = [text.index(f"## {name}: ") for name in TABLES]
    assert places == sorted(places)
    assert "![fig2-folder-small](fig2-folder-small.png)" in text
    assert (tmp_path / "fig2-folder-small.png").exists()
    assert newfound("reproduce", "page", "--out", tmp_path, "--to", page) == 2


# ---- cut, continued, shared ----------------------------------------------------------------


def test_a_page_into_no_folder_is_refused_before_pictures_are_copied(tmp_path: Path) -> None:
    for ending in ("md", "png"):
        (tmp_path / f"fig2-cifar10-small.{ending}").write_text("## fig2")
    with pytest.raises(InputError, match="nowhere is no folder"):
        write_page(tmp_path, tmp_path / "nowhere" / "page.md")


def test_a_table_that_was_cut_goes_on_and_counts_no_seed_twice(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ("table3", photos, tmp_path / "cut", 3, 7)
    assert reproduce("table3", photos, tmp_path / "whole", 3, 7, seeds=2) == 0

    with monkeypatch.context() as patch:
        interrupt_at_the_third_conclusion(patch)
        assert reproduce(*command, seeds=2) == 130
    message = capsys.readouterr().err
    assert "stopped; " in message and "table3-folder-small.md holds what is complete" in message
    assert seeds_of(tmp_path / "cut", "table3") == {3: ["0"], 7: ["0"]}
    cut = tmp_path / "cut/runs/folder-small-ours-bce_weight=0-seed1"
    assert not (cut / "result.json").exists()

    assert reproduce(*command, seeds=2) == 0
    assert events(cut).count("resume") == 1
    for run in sorted((tmp_path / "whole/runs").iterdir()):
        assert_same_run(tmp_path / "cut/runs" / run.name, run)
    whole, resumed = table_of(tmp_path / "whole", "table3"), table_of(tmp_path / "cut", "table3")
    for row, again in zip(whole["rows"], resumed["rows"]):
        accs = [reading["acc"] for reading in row["seeds"].values()]
        assert row["mean"] == statistics.mean(accs) == again["mean"]
        assert row["deviation"] == statistics.stdev(accs) == again["deviation"]
        assert row["n"] == again["n"] == 2

    before = contents(tmp_path / "cut")
    assert reproduce(*command, seeds=2) == 0
    assert contents(tmp_path / "cut") == before  # nothing is left to do
    assert reproduce(*command[:3], 7, seeds=3) == 0
    assert seeds_of(tmp_path / "cut", "table3") == {3: ["0", "1"], 7: ["0", "1", "2"]}


def test_ctrl_c_at_the_last_step_of_a_run_begins_no_other(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_last = signalled(lambda training: training.step == training.total_steps)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "take_step", at_the_last)
        assert reproduce("table3", photos, tmp_path, 3, 7) == 130
    assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.parametrize("name", ["result.json", "report.html", "items.csv"])
@pytest.mark.parametrize("harm", ["lost", "emptied"])
def test_what_is_lost_of_a_run_is_made_anew(
    photos: Path, tmp_path: Path, name: str, harm: str
) -> None:
    command = ("table3", photos, tmp_path, 7)
    assert reproduce(*command) == 0
    [run] = (tmp_path / "runs").iterdir()
    whole = (run / name).stat().st_size
    (run / name).unlink()
    if harm == "emptied" and name != "report.html":
        (run / name).touch()
    assert reproduce(*command) == 0
    assert (run / name).stat().st_size == pytest.approx(whole, rel=0.01)
    assert events(run).count("end") == 2 - (name == "report.html")
    assert seeds_of(tmp_path, "table3") == {7: ["0"]}


def test_a_run_without_its_large_files_still_counts(photos: Path, tmp_path: Path) -> None:
    command = ("table3", photos, tmp_path, 7)
    assert reproduce(*command) == 0
    [run] = (tmp_path / "runs").iterdir()
    for name in ("checkpoint.pt", "embedding.npz", "model.safetensors"):
        (run / name).unlink()
    assert reproduce(*command) == 0
    assert seeds_of(tmp_path, "table3") == {7: ["0"]}


def test_results_do_not_go_among_the_data_or_into_a_run(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce("table3", photos, photos / "results", 7) == 2
    assert "whose files and folders are data; give a folder outside" in capsys.readouterr().err
    assert not (photos / "results").exists()
    (tmp_path / "config.json").write_text('{"newfound": "1", "format": 1}')
    assert reproduce("table3", photos, tmp_path, 7) == 2
    assert "is the folder of a run; give another --out" in capsys.readouterr().err


def interrupt_at_the_third_conclusion(patch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1, 99))

    def conclude_or_interrupt(*arguments: Any) -> None:
        if next(calls) == 3:
            raise KeyboardInterrupt
        conclude(*arguments)

    patch.setattr("newfound.run.conclude", conclude_or_interrupt)


def test_two_commands_side_by_side_share_the_work(photos: Path, tmp_path: Path) -> None:
    def command() -> None:
        raise SystemExit(reproduce("table3", photos, tmp_path, 1, 2, 7))

    other = FORKED.Process(target=command)
    other.start()
    assert reproduce("table3", photos, tmp_path, 1, 2, 7) == 0
    other.join()
    assert other.exitcode == 0
    assert seeds_of(tmp_path, "table3") == {1: ["0"], 2: ["0"], 7: ["0"]}
    for run in (tmp_path / "runs").iterdir():
        assert events(run).count("start") == events(run).count("end") == 1


def test_a_run_that_another_process_is_at_is_left_to_it(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce("table3", photos, tmp_path, 7) == 0
    run = RunFolder(tmp_path / "runs/folder-small-ours-seed0")
    run.result_file.unlink()
    capsys.readouterr()
    with run.lock():
        assert reproduce("table3", photos, tmp_path, 1, 7) == 0
    told = capsys.readouterr()
    assert "left to it: another process is working on" in told.err
    assert "runs left to another process: 1" in told.out
    assert seeds_of(tmp_path, "table3") == {1: ["0"], 7: []}


# ---- what cannot be ------------------------------------------------------------------------


def test_a_failed_run_is_told_and_the_others_go_on(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(datasets, "SMALL_FOLDER", TINY | {"hashes": 256})
    foreign = tmp_path / "runs/folder-pretended-small-ours-mu=130-seed0"
    foreign.mkdir(parents=True)
    (foreign / "mine").write_text("dear")
    assert reproduce("table5", photos, tmp_path, 1, 4, 6) == 2
    message = capsys.readouterr().err
    assert "2 of 3 runs failed; the table says why" in message
    rows = {row["number"]: row for row in table_of(tmp_path, "table5")["rows"]}
    assert rows[4]["n"] == 1
    assert rows[1]["n"] == rows[6]["n"] == 0
    assert "is there but is no run of newfound" in rows[1]["failed"]["0"]
    assert "mu is 300" in rows[6]["failed"]["0"]
    markdown = (tmp_path / "table5-folder-small.md").read_text()
    assert "| (6) | mu = 300 | - | 0 | 0 failed: mu is 300" in markdown
    assert contents(foreign) == {"mine": b"dear"}


def test_a_run_of_other_settings_or_data_is_not_counted(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reproduce("table3", photos, tmp_path / "out", 7) == 0
    more = tmp_path / "more"
    for kind in range(6):
        save_images(more / CLASSES[kind], kind, range(9))
    assert reproduce("table3", more, tmp_path / "out", 7) == 2
    [row] = table_of(tmp_path / "out", "table3")["rows"]
    assert row["n"] == 0 and "data: 48 items" in row["failed"]["0"]
    monkeypatch.setattr(datasets, "SMALL_FOLDER", TINY | {"epochs": 1})
    assert reproduce("table3", photos, tmp_path / "out", 7) == 2
    [row] = table_of(tmp_path / "out", "table3")["rows"]
    assert row["n"] == 0 and "config.epochs: 2 there, 1 asked" in row["failed"]["0"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("table1", 12), "table1 has no row 12; its rows are 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"),
        (("table4", 1), "table4 is of videos, and folder holds images"),
        (("fig3",), "fig3 is of videos"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_work(
    arguments: tuple[Any, ...],
    complaint: str,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table, *rows = arguments
    assert reproduce(table, photos, tmp_path / "out", *rows) == 2
    assert complaint in capsys.readouterr().err
    assert reproduce("table1", photos, tmp_path / "out", dataset="mnist") == 2
    assert "no data set is named 'mnist'; there are cifar10" in capsys.readouterr().err
    assert reproduce("table1", photos, tmp_path / "out", seeds=0) == 2
    assert "seeds is 0; give at least 1" in capsys.readouterr().err
    assert reproduce("table1", photos, tmp_path / "out", 11, num_novel=0) == 2
    assert "num_novel is 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_there_is_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert newfound("reproduce", "list") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in (*TABLES, *DATA_SETS))


# ---- data sets in parts --------------------------------------------------------------------


def test_a_figure_of_several_parts_is_their_mean(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts = replace(
        DATA_SETS["cifar10"],
        open=lambda place, part: open_class_folders(place, {"A": 4, "B": 3}[part]),
        parts=lambda _: ("A", "B"),
        small=Scale("quick", {**TINY, "px": 16}, per_class=6),
    )
    monkeypatch.setitem(DATA_SETS, "cifar10", in_parts)
    assert reproduce("table1", photos, tmp_path, 11, dataset="cifar10") == 0
    [row] = table_of(tmp_path, "table1", "cifar10")["rows"]
    results = [
        json.loads((tmp_path / f"runs/cifar10-{part}-small-ours-seed0/result.json").read_text())
        for part in "AB"
    ]
    assert [result["counts"]["novel_categories"] for result in results] == [2, 3]
    assert row["mean"] == pytest.approx(50 * sum(result["novel"]["acc"] for result in results))
    assert row["seconds"] == pytest.approx(sum(result["seconds"]["total"] for result in results))
    assert row["paper"] == [93.4, 0.6]
    (tmp_path / "runs/cifar10-B-small-ours-seed0/result.json").unlink()
    with RunFolder(tmp_path / "runs/cifar10-B-small-ours-seed0").lock():
        assert reproduce("table1", photos, tmp_path, 11, dataset="cifar10") == 0
    assert table_of(tmp_path, "table1", "cifar10")["rows"][0]["n"] == 0  # not without part B


def test_another_number_of_categories_is_another_table(photos: Path, tmp_path: Path) -> None:
    assert reproduce("table1", photos, tmp_path, 11, num_novel=2) == 0
    assert reproduce("table1", photos, tmp_path, 11, num_novel=3) == 0
    counts = {
        path.parent.name: json.loads(path.read_text())["counts"]["novel_categories"]
        for path in tmp_path.glob("runs/*/result.json")
    }
    assert counts == {"folder-2novel-small-ours-seed0": 2, "folder-3novel-small-ours-seed0": 3}
    assert (tmp_path / "table1-folder-3novel-small.md").exists()
