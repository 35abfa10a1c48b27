"""Whole runs: repeated, killed, stopped, refused, damaged; what is on disk afterwards."""

import fcntl
import io
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from newfound import ground, threshold
from newfound import run as run_module
from newfound.baselines.objectives import Similarity
from newfound.candidates import MU_FRACTIONS
from newfound.config import Runtime
from newfound.data.arrays import from_arrays
from newfound.data.catalogue import Catalogue, Truth
from newfound.data.image_loader import KeptImages
from newfound.disk.checkpoint import load_checkpoint
from newfound.disk.files import write_atomically
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError, RunFolderError
from newfound.ground import Ground
from newfound.progress import Progress
from newfound.results.inference import Answers, ask
from newfound.results.known_among_new import Alike
from newfound.training import kept_training
from newfound.training.train import Training
from support.made_images import CLASSES, made_arrays, make_folder
from support.signals import signalled
from support.small_run import (
    assert_same_run,
    contents,
    discover_command,
    epoch_records,
    events,
    newfound,
    one_thread,
    tensors,
    tiny_config,
)

FORKED = multiprocessing.get_context("fork")
STEPS = 9  # of three epochs with 28 items to train on and batches of 8


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("photos"), each=7)


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    with one_thread():
        return discovered(photos, tmp_path_factory.mktemp("whole") / "run")


def discovered(photos: Path, out: Path, **changed: Any) -> Path:
    assert newfound(*discover_command(photos, out, **changed)) == 0
    return out


def test_a_run_leaves_every_file_it_promises(whole: Path) -> None:
    promised = {
        "config.json",
        "model.safetensors",
        "checkpoint.pt",
        "log.jsonl",
        "items.csv",
        "items.parquet",
        "categories.csv",
        "thumbnails.npz",
        "skipped.csv",
        "result.json",
        "report.html",
    }
    assert promised <= contents(whole).keys()
    assert not [name for name in contents(whole) if name.startswith(".") and name != ".lock"]
    assert events(whole) == ["start", "epoch", "epoch", "epoch", "stage", "end"]
    assert [record["step"] for record in epoch_records(whole)] == [3, 6, 9]


def test_a_category_that_may_be_a_known_class_is_warned_of_by_their_names(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked is of the same items, and answered in the same numbers, as the tables."""
    asked: list[list[np.ndarray]] = []

    def second_is_first(
        unlabelled: Answers, assigned: np.ndarray, labelled: Answers, labels: np.ndarray
    ) -> Iterator[Alike]:
        asked.append([unlabelled.features, assigned, labelled.known, labels])
        yield Alike(category=1, known=0, share=0.97)

    monkeypatch.setattr("newfound.conclusion.known_among_new", second_is_first)
    run = discovered(photos, tmp_path / "run")
    warnings = json.loads((run / "result.json").read_text())["warnings"]
    assert any(
        text.startswith("novel-2 may be the known class 'green-square', or") for text in warnings
    )
    [(features, assigned, known, labels)] = asked
    np.testing.assert_array_equal(features, np.load(run / "embedding.npz")["features"])
    categories = pd.read_csv(run / "items.csv")["category"].str.removeprefix("novel-")
    np.testing.assert_array_equal(assigned, categories.astype(int) - 1)
    assert len(known) == len(labels) == 14 and set(labels) == {0, 1}


# ---- the seed decides everything -----------------------------------------------------------


def test_one_seed_gives_one_run(photos: Path, whole: Path, tmp_path: Path) -> None:
    torch.manual_seed(12345)  # the global state is none of its business
    np.random.seed(12345)
    assert_same_run(whole, discovered(photos, tmp_path / "again"))


def test_another_seed_gives_another(photos: Path, whole: Path, tmp_path: Path) -> None:
    other = tensors(discovered(photos, tmp_path / "other", seed=1))
    ours = tensors(whole)
    same = [name for name, value in ours.items() if torch.equal(value, other[name])]
    counted_or_unchanged = [name for name in same if ours[name].is_floating_point()]
    assert counted_or_unchanged == []


def test_where_the_pixels_are_kept_and_who_decodes_changes_nothing(
    photos: Path, whole: Path, tmp_path: Path
) -> None:
    assert_same_run(whole, discovered(photos, tmp_path / "streamed", cache="none", workers=1))


# ---- truth stays out of training -----------------------------------------------------------


def run_with_truth(folder: Path, catalogue: Catalogue, truth: Truth | None) -> dict[str, Any]:
    config = tiny_config(epochs=8, channels=3, batch=16, jitter=0.0, crop_scale=(0.8, 1.0))
    runtime, run_folder = Runtime(device="cpu"), RunFolder(folder)
    with Progress(quiet=True) as progress:
        run_module.run(
            run_module.Job(run_folder, catalogue, truth, 2, config, runtime, True), progress
        )
    return run_folder.result()


def test_scrambled_truth_changes_no_weight_and_no_item(tmp_path: Path) -> None:
    pixels, kinds = made_arrays((0, 1, 2, 3, 4, 5), 10)
    catalogue = from_arrays(pixels, np.where(kinds < 4, kinds, -1))
    truth = Truth(kinds[kinds >= 4] - 4, CLASSES[4:])
    scrambled = Truth(np.random.default_rng(0).permutation(truth.labels), truth.class_names)
    results = {
        name: run_with_truth(tmp_path / name, catalogue, what)
        for name, what in (("true", truth), ("scrambled", scrambled), ("none", None))
    }

    for other in ("scrambled", "none"):
        ours, theirs = tensors(tmp_path / "true"), tensors(tmp_path / other)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        for name in ("items.csv", "items.parquet", "categories.csv"):
            assert (tmp_path / "true" / name).read_bytes() == (tmp_path / other / name).read_bytes()
    # The truth did arrive where it belongs:
    assert results["true"]["novel"] != results["scrambled"]["novel"]
    assert "novel" not in results["none"]
    assert "acc" in results["true"]["baselines"]["kmeans_labelled_only"]
    assert "acc" not in results["none"]["baselines"]["kmeans_labelled_only"]


# ---- killed and resumed --------------------------------------------------------------------


def start_process(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "newfound", *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not what():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.002)


def logged_epochs(run: Path) -> int:
    """Lines of epochs in the log of a run that may be writing one now."""
    log = run / "log.jsonl"
    return log.read_text().count('"event": "epoch"') if log.exists() else 0


def test_a_process_killed_in_training_goes_on_bit_for_bit(photos: Path, tmp_path: Path) -> None:
    """Killed for good by the system as soon as it has a checkpoint, and resumed by another."""
    settings = {"epochs": 8}
    killed = tmp_path / "killed"
    process = start_process(discover_command(photos, killed, **settings))
    wait_for(lambda: logged_epochs(killed) > 0, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    step = load_checkpoint(killed / "checkpoint.pt")["training"]["step"]
    assert 2 <= step < 24

    discovered(photos, killed, **settings)
    assert events(killed).count("resume") == 1
    assert_same_run(killed, discovered(photos, tmp_path / "whole", **settings))


def test_ctrl_c_ends_the_step_saves_and_says_how_to_go_on(photos: Path, tmp_path: Path) -> None:
    settings = {"epochs": 200, "checkpoint_seconds": 1000}  # so that stopping has to write it
    stopped = tmp_path / "stopped"
    process = start_process(discover_command(photos, stopped, **settings))
    wait_for(lambda: logged_epochs(stopped) > 1, process)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The same command goes on from there" in message
    assert str(stopped) in message
    assert "Traceback" not in message
    step = load_checkpoint(stopped / "checkpoint.pt")["training"]["step"]
    assert 0 < step < 600
    assert not (stopped / "result.json").exists()


@pytest.mark.parametrize("home, at", [(ground, "ask"), (run_module, "conclude")])
def test_termination_after_training_says_how_to_go_on(
    photos: Path,
    whole: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    home: Any,
    at: str,
) -> None:
    run, command = tmp_path / "run", discover_command(photos, tmp_path / "run")

    def child() -> None:
        setattr(home, at, lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
        os._exit(newfound(*command))

    process = FORKED.Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode == 130
    assert f"stopped; {run} holds all work so far" in capfd.readouterr().err
    assert newfound(*command) == 0
    assert_same_run(whole, run)


def killed_when(name: str, nth: int, where: str, command: list[str]) -> None:
    """Run the command in a forked process that is killed at the nth call of a function of ours."""
    homes = {"save_checkpoint": kept_training, "log": RunFolder, "begin_trial": threshold}
    home: Any = homes.get(name, run_module)

    def child() -> None:
        original, calls = getattr(home, name), 0

        def deadly(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == nth and where == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*arguments, **named)
            if calls == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(home, name, deadly)
        newfound(*command)

    process = FORKED.Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("name", "nth", "where", "step"),
    [
        ("save_checkpoint", 1, "before", None),  # no checkpoint yet
        ("save_checkpoint", 4, "after", 4),  # in the middle of an epoch
        ("save_checkpoint", 6, "before", 5),  # an epoch is in the log but not in the checkpoint
        ("save_checkpoint", STEPS, "after", STEPS),  # trained to the end, not concluded
        ("log", 3, "before", 5),  # the second epoch, after the start and the first
        ("conclude", 1, "before", STEPS),
    ],
)
def test_killed_at_any_moment_it_goes_on_bit_for_bit(
    photos: Path, whole: Path, tmp_path: Path, name: str, nth: int, where: str, step: int | None
) -> None:
    run = tmp_path / "run"
    command = discover_command(photos, run)
    killed_when(name, nth, where, command)
    if step is None:
        assert not (run / "checkpoint.pt").exists()
    else:
        assert load_checkpoint(run / "checkpoint.pt")["training"]["step"] == step
    assert newfound(*command) == 0
    assert_same_run(whole, run)


KILLED_IN_ITS_CONCLUSION = """
import os, signal, sys
from newfound import conclusion
from newfound.cli.main import run_command_line

def deadly(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

assert hasattr(conclusion, sys.argv[1])
setattr(conclusion, sys.argv[1], deadly)
run_command_line(sys.argv[2:])
"""


@pytest.mark.parametrize("at", ["save_model", "write_atomically", "write_text", "write_report"])
def test_killed_while_it_concludes_it_goes_on(
    photos: Path, whole: Path, tmp_path: Path, at: str
) -> None:
    """In a process of its own: one that is forked must not meet the threads of scikit-learn."""
    run = tmp_path / "run"
    command = discover_command(photos, run)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_IN_ITS_CONCLUSION, at, *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (run / "report.html").exists()
    assert newfound(*command) == 0
    assert_same_run(whole, run)
    assert (run / "report.html").exists()


def test_killed_three_times_it_still_goes_on(photos: Path, whole: Path, tmp_path: Path) -> None:
    command = discover_command(photos, tmp_path / "run")
    for _ in range(3):
        killed_when("save_checkpoint", 2, "after", command)
    assert newfound(*command) == 0
    assert_same_run(whole, tmp_path / "run")
    assert events(tmp_path / "run").count("resume") == 3


def test_killed_while_a_checkpoint_is_written_the_one_before_is_whole(
    photos: Path, whole: Path, tmp_path: Path
) -> None:
    def half_written(path: Path, state: dict[str, Any]) -> None:
        def write(beside: Path) -> None:
            torch.save(state, beside)
            os.truncate(beside, beside.stat().st_size // 2)
            if state["training"]["step"] == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            torch.save(state, beside)

        write_atomically(path, write)

    def child() -> None:
        kept_training.save_checkpoint = half_written
        newfound(*discover_command(photos, tmp_path / "run"))

    process = FORKED.Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["training"]["step"] == 4
    discovered(photos, tmp_path / "run")
    assert_same_run(whole, tmp_path / "run")
    assert not [name for name in contents(tmp_path / "run") if name.startswith(".checkpoint")]


def test_stopped_within_an_epoch_it_goes_on_bit_for_bit(
    photos: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = discover_command(photos, tmp_path / "run", checkpoint_seconds=1000)
    command.remove("--quiet")
    with monkeypatch.context() as patched:
        patched.setattr(Training, "take_step", signalled(lambda training: training.step == 5))
        assert newfound(*command) == 130
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["training"]["step"] == 5
    assert "goes on after" not in "".join(capsys.readouterr())
    assert newfound(*command) == 0
    assert "Training goes on after step 5 of 9" in "".join(capsys.readouterr())
    assert_same_run(whole, tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_last_checkpoint_is_written_is_not_lost(
    photos: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    original = kept_training.save_checkpoint

    def signalled(path: Path, state: dict[str, Any]) -> None:
        original(path, state)
        if state["training"]["step"] == STEPS:
            os.kill(os.getpid(), number)

    command = discover_command(photos, tmp_path / "run", checkpoint_seconds=1000)
    with monkeypatch.context() as patched:
        patched.setattr(kept_training, "save_checkpoint", signalled)
        assert newfound(*command) == 130
    assert newfound(*command) == 0
    assert_same_run(whole, tmp_path / "run")


def test_a_signal_while_a_trial_of_mu_is_measured_stops_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_folder(tmp_path / "photos", known=(0, 1, 2, 3), novel=(4, 5), each=5)

    def interrupted(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return ask(*arguments, **named)

    monkeypatch.setattr("newfound.ground.ask", interrupted)
    command = discover_command(photos, tmp_path / "run", mu="heldout", heldout_epochs=1)
    for trials in (1, 2):
        assert newfound(*command) == 130
        assert events(tmp_path / "run").count("heldout") == trials


def test_a_trial_of_mu_goes_on_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = make_folder(tmp_path / "photos", known=(0, 1, 2, 3), novel=(4, 5), each=5)
    searching = {"mu": "heldout", "heldout_epochs": 3, "settle_steps": 5}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    discovered(photos, whole, **searching)
    command = discover_command(photos, cut, **searching)
    with monkeypatch.context() as patched:
        patched.setattr(Training, "take_step", signalled(lambda training: training.step == 4))
        assert newfound(*command) == 130
    checkpoint = cut / f"stage-mu{MU_FRACTIONS[0]}.pt"
    assert load_checkpoint(checkpoint)["training"]["step"] == 4
    assert newfound(*command) == 0
    assert_same_run(whole, cut)
    assert not list(cut.glob("stage-*.pt"))
    told = [
        [
            (r["fraction"], r["acc"]) if r["event"] == "heldout" else (r["stage"], r["epoch"])
            for r in map(json.loads, (run / "log.jsonl").read_text().splitlines())
            if r["event"] in ("heldout", "stage_epoch")
        ]
        for run in (whole, cut)
    ]
    assert told[0] == told[1] and len(told[0]) == len(MU_FRACTIONS) * 4


def test_where_a_file_vanishes_the_steps_before_are_kept(
    photos: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = KeptImages.batches

    def vanishing(self: KeptImages, rows: Any, draw: Any = None) -> Iterator[Any]:
        for number, media in enumerate(original(self, rows, draw)):
            if number == step:
                raise InputError("a.png can no longer be read")
            yield media

    command = discover_command(photos, tmp_path / "run", checkpoint_seconds=1000)
    with monkeypatch.context() as patched:
        patched.setattr(KeptImages, "batches", vanishing)
        step = 0
        assert newfound(*command) == 2
        assert not (tmp_path / "run" / "checkpoint.pt").exists()  # of no step there is none
        step = 2
        assert newfound(*command) == 2
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["training"]["step"] == step
    assert newfound(*command) == 0
    assert_same_run(whole, tmp_path / "run")


def test_a_line_of_the_log_cut_short_by_a_full_disk_is_dropped(
    photos: Path, whole: Path, tmp_path: Path
) -> None:
    run, command = tmp_path / "run", discover_command(photos, tmp_path / "run")
    killed_when("save_checkpoint", 4, "after", command)
    with (run / "log.jsonl").open("a") as log:
        log.write('{"event": "epoch", "epo')
    assert newfound(*command) == 0
    assert epoch_records(run) == epoch_records(whole)


def test_a_complete_run_is_left_as_it_is(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = discovered(photos, tmp_path / "run")
    before = contents(run)
    assert newfound(*(a for a in discover_command(photos, run) if a != "--quiet")) == 0
    assert contents(run) == before
    assert "complete already" in capsys.readouterr().err
    (run / "report.html").unlink()
    assert newfound(*discover_command(photos, run)) == 0
    assert (run / "report.html").read_bytes() == before["report.html"]
    (run / "report.html").write_bytes(before["report.html"][:-200])
    assert newfound(*discover_command(photos, run)) == 0
    assert (run / "report.html").read_bytes() == before["report.html"]


MADE_ANEW = [
    *("items.csv", "items.parquet", "categories.csv", "skipped.csv"),
    *("thumbnails.npz", "embedding.npz", "model.safetensors"),
]


@pytest.mark.parametrize("name", [*MADE_ANEW, "result.json"])
def test_what_is_lost_of_a_complete_run_is_made_anew(
    photos: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    cut(run / name)
    command = [a for a in discover_command(photos, run) if a != "--quiet"]
    assert newfound(*command) == 0
    assert f"{run / name} is absent or damaged, and made anew" in capsys.readouterr().err
    before, after = contents(whole), contents(run)
    assert [lost for lost in MADE_ANEW if after[lost] != before[lost]] == []
    assert after["checkpoint.pt"] == before["checkpoint.pt"]
    assert epoch_records(run) == epoch_records(whole)
    ours, theirs = (json.loads(held["result.json"]) for held in (after, before))
    assert ours["counts"] == theirs["counts"] and ours["baselines"] == theirs["baselines"]
    assert newfound(*command) == 0
    assert "complete already" in capsys.readouterr().err


def test_a_complete_run_that_has_lost_all_but_its_network_is_made_anew(
    photos: Path, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for name in (*MADE_ANEW, "result.json", "report.html"):
        (run / name).unlink()
    assert newfound(*discover_command(photos, run)) == 0
    before, after = contents(whole), contents(run)
    assert [lost for lost in MADE_ANEW if after[lost] != before[lost]] == []


@pytest.mark.parametrize("name", ["items.csv", "result.json"])
def test_a_complete_run_that_has_lost_its_network_too_is_refused(
    photos: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for lost in (name, "checkpoint.pt"):
        (run / lost).unlink()
    before = contents(run)
    assert newfound(*discover_command(photos, run)) == 2
    message = capsys.readouterr().err
    assert f"{run / name} is absent or damaged" in message
    assert "is gone; give another --out to train again" in message
    assert contents(run) == before


def test_the_comparison_with_labels_alone_resumes_too(photos: Path, tmp_path: Path) -> None:
    runs = [tmp_path / "killed", tmp_path / "whole"]
    commands = [[*discover_command(photos, run), "--compare-labelled-only"] for run in runs]
    killed_when("save_checkpoint", STEPS + 2, "after", commands[0])
    assert load_checkpoint(runs[0] / "labelled_only.pt")["training"]["step"] == 2
    for command in commands:
        assert newfound(*command) == 0
    assert_same_run(*runs)
    killed, whole = (json.loads((run / "result.json").read_text())["baselines"] for run in runs)
    assert killed == whole
    assert "kmeans_labelled_only" in killed


# ---- mu ------------------------------------------------------------------------------------


def test_mu_is_a_count_or_a_fraction_of_h(photos: Path, tmp_path: Path) -> None:
    count = discovered(photos, tmp_path / "count", mu=16)
    fraction = discovered(photos, tmp_path / "fraction", mu=0.5)
    assert [record["mu"] for record in epoch_records(count)] == [16, 16, 16]
    assert epoch_records(count) == epoch_records(fraction)


def test_mu_share_follows_the_share_of_balanced_categories(whole: Path) -> None:
    thresholds = [record["mu"] for record in epoch_records(whole)]
    assert len(set(thresholds)) == 3
    assert all(0 < mu <= 32 for mu in thresholds)


def test_the_search_for_mu_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = make_folder(tmp_path / "photos", known=(0, 1, 2, 3), novel=(4, 5), each=5)
    run = tmp_path / "run"
    command = discover_command(photos, run, mu="heldout", heldout_epochs=1)
    killed_when("begin_trial", 3, "before", command)
    tried: list[float] = []
    original = threshold.begin_trial

    def counted(rehearsal: Any, fraction: float, *others: Any) -> tuple[Ground, Training]:
        tried.append(fraction)
        return original(rehearsal, fraction, *others)

    monkeypatch.setattr(threshold, "begin_trial", counted)
    assert newfound(*command) == 0
    assert tried == list(MU_FRACTIONS[2:])
    lines = (run / "log.jsonl").read_text().splitlines()
    searched = [record for record in map(json.loads, lines) if record["event"] == "heldout"]
    assert [record["fraction"] for record in searched] == list(MU_FRACTIONS)
    best = max(searched, key=lambda record: record["acc"])
    assert epoch_records(run)[0]["mu"] == pytest.approx(best["fraction"] * 32)
    spent = json.loads((run / "result.json").read_text())["seconds"]["search"]
    assert spent == pytest.approx(sum(record["seconds"] for record in searched))


def test_a_mu_with_which_the_loss_is_no_number_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_folder(tmp_path / "photos", known=(0, 1, 2, 3), novel=(4, 5), each=5)
    original, broken = threshold.begin_trial, {*MU_FRACTIONS[:2]}

    def breaking(rehearsal: Any, fraction: float, *others: Any) -> tuple[Ground, Training]:
        ground, training = original(rehearsal, fraction, *others)
        if fraction in broken:
            with torch.no_grad():
                ground.network.known.bias[0] = torch.nan
        return ground, training

    monkeypatch.setattr(threshold, "begin_trial", breaking)
    command = discover_command(photos, tmp_path / "run", mu="heldout", heldout_epochs=1)
    command.remove("--quiet")
    assert newfound(*command) == 0
    assert "mu = 0.35 H is left out: the loss became no number" in "".join(capsys.readouterr())
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    searched = [record for record in map(json.loads, lines) if record["event"] == "heldout"]
    assert [record["acc"] is None for record in searched] == [True, True, False, False, False]
    assert epoch_records(tmp_path / "run")[0]["mu"] >= MU_FRACTIONS[2] * 32
    broken |= {*MU_FRACTIONS}
    command[command.index(str(tmp_path / "run"))] = str(tmp_path / "none")
    for _ in range(2):  # what is known of them is not tried again
        assert newfound(*command) == 2
        assert "no number with every mu that was tried (0.35, 0.47" in capsys.readouterr().err
        monkeypatch.setattr(threshold, "begin_trial", None)


def test_a_run_goes_on_in_the_precision_it_began_in(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine whose processor computes in another one by itself."""
    for begun_in in (True, False):
        run = tmp_path / str(begun_in)
        command = discover_command(photos, run, precision="auto")
        with monkeypatch.context() as patched:
            patched.setattr("newfound.job.uses_bfloat16", lambda *_, fast=begun_in: fast)
            patched.setattr(Training, "take_step", signalled(lambda training: training.step == 5))
            assert newfound(*command) == 130
        monkeypatch.setattr("newfound.job.uses_bfloat16", lambda *_, fast=begun_in: not fast)
        assert newfound(*command, "--dry-run") == 0
        assert newfound(*command) == 0
        kept = json.loads((run / "config.json").read_text())["config"]["precision"]
        assert kept == ("bfloat16" if begun_in else "float32")
        folder = RunFolder(tmp_path / ("x" * 300))
        with pytest.raises(RunFolderError, match="give another --out"):
            folder.precision_of_work()
        fixed = discover_command(photos, run, precision="float32" if begun_in else "bfloat16")
        monkeypatch.undo()
        assert newfound(*fixed) == 2


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_every_process_asks_for_the_precision_of_what_is_there(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """One that did not, having another command, would leave the others waiting for it."""
    asked = []
    monkeypatch.setattr("newfound.job.agreed", lambda question: asked.append(question()))
    assert newfound(*discover_command(photos, tmp_path / "run", precision=precision)) == 0
    assert asked == [None]


def test_the_search_for_mu_needs_four_known_classes(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert newfound(*discover_command(photos, tmp_path / "run", mu="heldout")) == 2
    assert "at least 4 labelled classes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "before anything is decoded"


# ---- a folder that is not ours to change ---------------------------------------------------


def test_other_settings_are_refused_and_shown(
    photos: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(whole)
    assert newfound(*discover_command(photos, whole, lr=0.5, crop_scale=(0.5, 1.0))) == 2
    message = capsys.readouterr().err
    assert "config.lr: 0.03 there, 0.5 asked" in message
    assert "config.crop_scale: [0.6, 1.0] there, [0.5, 1.0] asked" in message
    assert "batch" not in message
    assert contents(whole) == before


def test_other_data_is_refused(
    photos: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(whole)
    other = make_folder(tmp_path / "photos", each=8)
    assert newfound(*discover_command(other, whole)) == 2
    message = capsys.readouterr().err
    assert f"data: 28 items of '{photos}' there, 32 items of '{other}' asked" in message
    assert contents(whole) == before


def test_another_number_of_categories_is_refused(
    photos: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(whole)
    assert newfound(*discover_command(photos, whole, num_novel=3)) == 2
    assert "num_novel: 2 there, 3 asked" in capsys.readouterr().err
    assert contents(whole) == before


def test_a_folder_of_something_else_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("dear")
    assert newfound(*discover_command(photos, foreign)) == 2
    assert "is no run of newfound; give --out a new folder" in capsys.readouterr().err
    assert contents(foreign) == {"chapter.tex": b"dear"}


@pytest.mark.parametrize("out", ["regular-file/run", "regular-file"])
def test_a_folder_that_cannot_be_made_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    (tmp_path / "regular-file").write_text("dear")
    assert newfound(*discover_command(photos, tmp_path / out)) == 2
    message = capsys.readouterr().err
    assert str(tmp_path / out) in message
    assert "Traceback" not in message
    assert (tmp_path / "regular-file").read_text() == "dear"


def test_a_read_only_place_is_refused(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newfound(*discover_command(photos, Path("/proc/newfound-run"))) == 2
    assert "cannot make /proc/newfound-run: " in (said := capsys.readouterr().err)
    assert "give another --out" in said


def test_a_second_process_is_kept_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, command = tmp_path / "run", discover_command(photos, tmp_path / "run")
    killed_when("save_checkpoint", 2, "after", command)
    before = contents(run)
    with (run / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert newfound(*command) == 2
    assert "another process is working on" in capsys.readouterr().err
    assert contents(run) == before
    assert newfound(*command) == 0


def test_a_newer_format_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, command = tmp_path / "run", discover_command(photos, tmp_path / "run")
    killed_when("save_checkpoint", 2, "after", command)
    header = json.loads((run / "config.json").read_text())
    newer = header | {"format": 2, "newfound": "9.9"}
    (run / "config.json").write_text(json.dumps(newer))
    before = contents(run)
    for arguments in (command, ["report", run], ["evaluate", run]):
        assert newfound(*arguments) == 2
        message = capsys.readouterr().err
        assert "written by newfound 9.9 in format 2" in message
        assert "Upgrade newfound" in message
    assert contents(run) == before


# ---- damage --------------------------------------------------------------------------------


class Trap:
    """A pickle that would leave a file behind if it were loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def scramble(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.fixture(scope="module")
def cut_off(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed after its second step."""
    run = tmp_path_factory.mktemp("cut-off") / "run"
    with one_thread():
        killed_when("save_checkpoint", 2, "after", discover_command(photos, run))
    return run


@pytest.mark.parametrize("damage", [cut, scramble, empty])
def test_a_damaged_checkpoint_is_named_and_kept(
    photos: Path, cut_off: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    checkpoint = cut_off / "checkpoint.pt"
    damage(checkpoint)
    before = checkpoint.read_bytes()
    assert newfound(*discover_command(photos, cut_off)) == 2
    message = capsys.readouterr().err
    assert f"{checkpoint} is damaged" in message
    assert "Delete that file" in message
    assert "Traceback" not in message
    assert checkpoint.read_bytes() == before


def test_a_deleted_checkpoint_starts_again(photos: Path, whole: Path, tmp_path: Path) -> None:
    run, command = tmp_path / "run", discover_command(photos, tmp_path / "run")
    killed_when("save_checkpoint", 5, "after", command)
    (run / "checkpoint.pt").unlink()
    assert newfound(*command) == 0
    assert_same_run(whole, run)


@pytest.mark.parametrize("protocol", ["zip", "plain"])
def test_code_in_a_checkpoint_is_not_run(
    photos: Path, cut_off: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: str
) -> None:
    sprung = tmp_path / "sprung"
    if protocol == "zip":
        torch.save({"training": Trap(sprung)}, cut_off / "checkpoint.pt")
    else:
        (cut_off / "checkpoint.pt").write_bytes(pickle.dumps(Trap(sprung)))
    assert newfound(*discover_command(photos, cut_off)) == 2
    assert not sprung.exists()
    assert "is damaged" in capsys.readouterr().err
    with suppress(RuntimeError):  # a plain pickle lacks torch's own mark
        torch.load(cut_off / "checkpoint.pt", weights_only=False)
    assert sprung.exists()  # the trap was a real one


def test_a_checkpoint_of_other_readable_files_is_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of the state count the readable files: with others they would mean other items."""
    command = discover_command(photos, tmp_path / "run")
    killed_when("save_checkpoint", 1, "after", command)
    state = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    torch.save(state | {"data": "0123456789abcdef"}, tmp_path / "run" / "checkpoint.pt")
    assert newfound(*command) == 2
    assert "other files can be read now" in capsys.readouterr().err


def test_the_checkpoint_of_another_network_is_refused(
    photos: Path, cut_off: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wider = tmp_path / "wider"
    killed_when("save_checkpoint", 1, "after", discover_command(photos, wider, width=5))
    (cut_off / "checkpoint.pt").write_bytes((wider / "checkpoint.pt").read_bytes())
    assert newfound(*discover_command(photos, cut_off)) == 2
    assert "does not fit this run" in capsys.readouterr().err
    data = load_checkpoint(wider / "checkpoint.pt")["data"]
    torch.save({"training": [1, 2], "data": data}, cut_off / "checkpoint.pt")
    assert newfound(*discover_command(photos, cut_off)) == 2
    assert "does not fit this run" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [cut, scramble, empty])
def test_a_damaged_configuration_is_named(
    photos: Path,
    cut_off: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_bytes((cut_off / "config.json").read_bytes())
    damage(run / "config.json")
    before = contents(run)
    for arguments in (discover_command(photos, run), ["report", run], ["evaluate", run]):
        assert newfound(*arguments) == 2
        message = capsys.readouterr().err
        assert str(run / "config.json") in message
        assert "delete its folder, or discover again in a new one" in message
        assert "Traceback" not in message
    assert contents(run) == before


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": 1}', '{"format": "one"}', "null"])
def test_a_configuration_of_something_else_is_named(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "config.json").write_text(text)
    for arguments in (
        discover_command(photos, tmp_path),
        ["evaluate", tmp_path],
        ["predict", tmp_path, photos, "--out", tmp_path.parent / "x.csv"],
    ):
        assert newfound(*arguments) == 2
        assert str(tmp_path) in capsys.readouterr().err
    assert contents(tmp_path) == {"config.json": text.encode()}


# ---- a full disk ---------------------------------------------------------------------------


def test_on_a_full_disk_the_last_checkpoint_stays_whole(
    photos: Path, whole: Path, cut_off: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No file may grow beyond what a run's log and configuration need."""
    run, command = tmp_path / "run", discover_command(photos, tmp_path / "run")
    killed_when("save_checkpoint", 4, "after", command)
    before = (run / "checkpoint.pt").read_bytes()

    def child() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        os._exit(newfound(*command))

    process = FORKED.Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode == 2
    message = capfd.readouterr().err
    assert f"cannot write {run / 'checkpoint.pt'}" in message
    assert "then give the same command again to go on" in message
    assert "Traceback" not in message
    assert (run / "checkpoint.pt").read_bytes() == before
    assert not [name for name in contents(run) if name.startswith(".checkpoint")]
    assert newfound(*command) == 0  # there is room again
    assert_same_run(whole, run)


# ---- a loss that is no number --------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Training.take_step

    def poisoned(self: Training, batch: Any) -> None:
        original(self, batch)
        if self.step == 5:
            with torch.no_grad():
                self.network.known.bias[0] = torch.nan

    monkeypatch.setattr(Training, "take_step", poisoned)
    run = tmp_path / "run"
    assert newfound(*discover_command(photos, run)) == 2
    message = capsys.readouterr().err
    assert "the loss became nan at step 6 (term: total, ce" in message
    assert "Lower --lr (now 0.03)" in message
    assert "Traceback" not in message
    assert not (run / "result.json").exists()
    state = load_checkpoint(run / "checkpoint.pt")["training"]
    assert state["step"] == 4  # the fifth left bad weights behind
    assert all(value.isfinite().all() for value in state["network"].values())


def test_a_rate_far_too_high_is_a_clear_error(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert newfound(*discover_command(photos, tmp_path / "run", lr=1e30)) == 2
    message = capsys.readouterr().err
    assert "the loss became nan at step 2" in message
    assert "Lower --lr (now 1e+30)" in message


@pytest.mark.parametrize("method", ["ours", "rs", "kcl"])
def test_weights_that_break_at_the_last_step_are_found_too(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    """In a stage before the last, too, and nothing of it is kept for other runs."""
    settings = {"lr": 1e30, "epochs": 1, "batch": 24}  # one step, whose own loss is finite
    more = {"method": method, "own_epochs": 1, "shelf": tmp_path / "shelf"}
    command = discover_command(photos, tmp_path / "run", **settings | more)
    assert newfound(*command) == 2
    message = capsys.readouterr().err
    assert "the weights went astray at step 1;" in message
    assert "Lower --lr (now 1e+30)" in message
    assert "Traceback" not in message
    assert not (tmp_path / "shelf").exists()


def test_a_judge_that_breaks_is_found_though_the_network_is_sound(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a stage trains beside the network is looked at, too."""
    original = Training.take_step

    def poisoned(self: Training, batch: Any) -> None:
        original(self, batch)
        if isinstance(self.objective, Similarity) and self.step == self.total_steps:
            with torch.no_grad():
                next(self.objective.judge.parameters())[0] = torch.nan

    monkeypatch.setattr(Training, "take_step", poisoned)
    command = discover_command(photos, tmp_path / "run", method="kcl", own_epochs=1, epochs=1)
    assert newfound(*command) == 2
    assert not (tmp_path / "run" / "stage-similarity.pt").exists()


def test_pickles_stay_out_of_the_arrays(whole: Path) -> None:
    for name in ("thumbnails.npz", "embedding.npz"):
        with np.load(io.BytesIO((whole / name).read_bytes()), allow_pickle=False) as arrays:
            assert all(arrays[key].dtype != object for key in arrays.files)


def test_a_lack_of_memory_in_training_is_told(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def lack(_training: Training, _batch: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Training, "take_step", lack)
    for more in ((), ("--dry-run",)):
        assert newfound(*discover_command(photos, tmp_path / "run"), *more) == 2
        assert "give a smaller --batch than 8, --px than 16" in capsys.readouterr().err
