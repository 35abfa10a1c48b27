"""Settings are chosen on labelled items alone, by the mean over seeds, and a cut costs nothing."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from newfound import tune as tune_module
from newfound.candidates import Value
from newfound.errors import NonFiniteLossError
from newfound.job import Job
from newfound.progress import Progress
from newfound.training.train import Training
from newfound.tune import Sweep, Trial
from support.made_images import CLASSES, make_folder, save_images
from support.small_run import (
    TINY,
    TINY_VIDEOS,
    assert_same_run,
    contents,
    events,
    flags,
    newfound,
    one_thread,
)

KNOWN, NOVEL = (0, 1, 2, 3), (4, 5)  # of which the last two in name order are taken as unlabelled
NAMES = sorted(CLASSES[kind] for kind in KNOWN)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labelled classes, and unlabelled files that nobody can read."""
    root = make_folder(tmp_path_factory.mktemp("photos"), KNOWN, (), each=7)
    (root / "unlabelled").mkdir()
    for number in range(9):
        (root / "unlabelled" / f"{number}.png").write_text("no picture")
    return root


def tune_command(data: Path, out: Path, kind: str = "images", **changed: Any) -> list[str]:
    """The command line of a tiny search."""
    settings = {"workers": 0, "checkpoint_seconds": 0}
    settings |= (TINY if kind == "images" else TINY_VIDEOS) | changed
    command = ["tune", kind, data, "--num-novel", 2, "--out", out]
    return [*map(str, command), *flags(**settings)]


def record(out: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((out / "tune.json").read_text())
    return read


def candidates(sweep: dict[str, Any]) -> dict[Any, float]:
    return {candidate["value"]: candidate["acc"] for candidate in sweep["candidates"]}


def trial(mu: float, window: int = 4, seed: int = 0) -> str:
    return f"mu{mu}-window{window}-lr0.03-epochs3-seed{seed}"


# ---- whole searches ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that nothing happened to."""
    out = tmp_path_factory.mktemp("whole") / "tuning"
    with one_thread():
        assert newfound(*tune_command(photos, out, mu=(0.4, 0.6), window=4), "--quiet") == 0
    return out


def test_a_search_leaves_curves_trials_and_the_flags(whole: Path) -> None:
    found = record(whole)
    assert {path.name for path in whole.iterdir()} == {
        *(trial(0.4), trial(0.6)),
        *("tune.json", "tune.csv", "tune.html"),
    }
    (sweep,) = found["sweeps"]
    accs = candidates(sweep)
    for candidate in sweep["candidates"]:
        (made,) = candidate["trials"]
        result = json.loads((whole / made["folder"] / "result.json").read_text())
        assert result["novel"]["acc"] == made["acc"] == candidate["acc"]
    assert list(accs) == [0.4, 0.6]
    assert found["chosen"] == {"mu": max(accs, key=lambda mu: accs[mu]), "window": 4}
    assert found["flags"] == f"--mu {found['chosen']['mu']} --window 4"
    table = pd.read_csv(whole / "tune.csv")
    assert table["acc"].tolist() == list(accs.values())
    assert table["best"].tolist() == [mu == found["chosen"]["mu"] for mu in accs]
    page = (whole / "tune.html").read_text()
    assert found["flags"] in page
    assert trial(0.4) in page


def test_unlabelled_items_are_in_no_trial(whole: Path) -> None:
    """Here they could not even be read."""
    assert (record(whole)["known"], record(whole)["hidden"]) == (NAMES[:2], NAMES[2:])
    for mu in (0.4, 0.6):
        run = whole / trial(mu)
        assert json.loads((run / "config.json").read_text())["known"] == NAMES[:2]
        counts = json.loads((run / "result.json").read_text())["counts"]
        assert counts["skipped"] == 0
        assert counts["unlabelled"] == 12  # of 14, as the run will hold out one of each class
        paths = pd.read_csv(run / "items.csv")["path"]
        assert {path.split("/")[1] for path in paths} == set(NAMES[2:])
        assert {path.split("/")[0] for path in paths} == {"labelled"}


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_search_that_was_cut_goes_on(
    photos: Path,
    whole: Path,
    tmp_path: Path,
    how: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the middle of its second trial: each is nine steps."""
    out = tmp_path / "tuning"
    command = tune_command(photos, out, mu=(0.4, 0.6), window=4)
    if how == "stopped":
        with monkeypatch.context() as patched:
            patched.setattr(Training, "take_step", cut_in_step(12, signal.SIGINT))
            assert newfound(*command) == 130
        message = capsys.readouterr().err
        assert "The same command goes on from there" in message
        assert f"{out} holds all trials so far" in message
    else:
        killed(command, 12)
    assert not (out / "tune.json").exists()
    before = contents(out / trial(0.4))
    assert "result.json" in before
    assert "result.json" not in contents(out / trial(0.6))
    assert newfound(*command) == 0
    assert contents(out / trial(0.4)) == before
    assert events(out / trial(0.6)).count("resume") == 1
    assert_same_run(out / trial(0.6), whole / trial(0.6))
    assert (out / "tune.json").read_bytes() == (whole / "tune.json").read_bytes()


def killed(command: list[str], step: int) -> None:
    """Run the command in a forked process that is killed in this step, counted over all trials."""

    def child() -> None:
        Training.take_step = cut_in_step(step, signal.SIGKILL)  # type: ignore[method-assign]
        newfound(*command)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def cut_in_step(nth: int, how: signal.Signals) -> Callable[..., Any]:
    """`Training.take_step` that gets a signal in its nth call."""
    original, calls = Training.take_step, 0

    def take_step(self: Training, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            os.kill(os.getpid(), how)
        return original(self, *arguments)

    return take_step


# ---- the choice, by tables made by hand ----------------------------------------------------


@dataclass
class MadeRuns:
    """In place of `run`: writes the ACC of a table, and keeps the jobs it was given."""

    table: Callable[[Job], float]
    jobs: list[Job] = field(default_factory=list)

    def __call__(self, job: Job, _progress: Progress) -> None:
        self.jobs.append(job)
        acc = self.table(job)
        if np.isnan(acc):
            raise NonFiniteLossError("the loss became nan")
        job.folder.path.mkdir(parents=True, exist_ok=True)
        result = {"counts": {}, "seconds": {}, "baselines": {}, "warnings": []}
        job.folder.result_file.write_text(json.dumps(result | {"novel": {"acc": acc}}))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Job], float]], MadeRuns]:
    def replace_run(table: Callable[[Job], float]) -> MadeRuns:
        runs = MadeRuns(table)
        monkeypatch.setattr(tune_module, "run", runs)
        return runs

    return replace_run


def half(_: Job) -> float:
    return 0.5


MadeOf = Callable[[Callable[[Job], float]], MadeRuns]


def test_mu_comes_first_and_k_with_the_best_mu(
    photos: Path, tmp_path: Path, made: MadeOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """Section 4.4: the paper's order, and candidates at the level of chance are left out."""
    of_mu: dict[Any, float] = {0.35: 0.2, 0.47: 0.5, 0.55: 0.6, 0.65: 0.58, 0.75: 0.3}
    of_window = {2: 0.6, 4: 0.6, 8: 0.7, 16: 0.65}
    runs = made(lambda job: of_mu[job.config.mu] + of_window[job.config.window] / 10)
    command = tune_command(photos, tmp_path)
    defaults = [a for a in command if a not in ("--mu", "share")]
    assert newfound(*defaults) == 0
    tried = [(job.config.mu, job.config.window) for job in runs.jobs]
    assert tried == [(mu, 4) for mu in of_mu] + [(0.55, window) for window in (2, 4, 8, 16)]
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "--mu 0.55 --window 8"
    assert "each value was tried once, so chance may decide; --seeds 3" in printed
    by_mu, by_window = record(tmp_path)["sweeps"]
    assert candidates(by_mu).keys() == of_mu.keys()
    assert by_window["fixed"]["mu"] == 0.55
    table = (tmp_path / "tune.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in table[1:]] == [*map(str, of_mu), "2", "4", "8", "16"]


@pytest.mark.parametrize("mu", [7.5, 0.04, 1000])
def test_a_mu_that_no_window_can_use_is_refused_once(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], mu: float
) -> None:
    assert newfound(*tune_command(photos, tmp_path / "t", mu=mu, window=(2, 4)), "--quiet") == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.count(f"mu is {mu}") == 1
    assert "so give a count above 8 and at most 32" in message
    assert "or a fraction above 0.25 and at most 1" in message


def test_candidates_at_the_level_of_chance_are_left_out(
    photos: Path, tmp_path: Path, made: MadeOf, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = made(half)
    assert newfound(*tune_command(photos, tmp_path, mu=(0.2, 0.47), window=(2, 4))) == 0
    assert [(job.config.mu, job.config.window) for job in runs.jobs] == [(0.47, 4)] * 2
    told = capsys.readouterr().err
    assert "mu 0.2 is left out: mu is 0.2: unrelated items agree on 8 of H = 32 codes" in told
    assert "window 2 is left out: mu is 0.47: unrelated items agree on 16 of H = 32" in told
    by_mu, by_window = record(tmp_path)["sweeps"]
    assert [left["value"] for left in by_mu["left_out"]] == [0.2]
    assert [left["value"] for left in by_window["left_out"]] == [2]


def test_the_mean_over_the_seeds_decides(
    photos: Path, tmp_path: Path, made: MadeOf, capsys: pytest.CaptureFixture[str]
) -> None:
    table: dict[Any, tuple[float, ...]] = {
        0.4: (0.9, 0.3, 0.3),
        0.5: (0.5, 0.6, 0.55),
        0.6: (0.5, 0.5, 0.5),
    }
    runs = made(lambda job: table[job.config.mu][job.config.seed - 7])
    command = tune_command(photos, tmp_path, mu=tuple(table), window=4, seeds=3, seed=7)
    assert newfound(*command, "--quiet") == 0
    assert capsys.readouterr().out == "--mu 0.5 --window 4\n"
    assert [job.config.seed for job in runs.jobs] == [7, 8, 9] * 3
    assert len({job.folder.path for job in runs.jobs}) == 9
    (sweep,) = record(tmp_path)["sweeps"]
    assert [t["acc"] for t in sweep["candidates"][0]["trials"]] == [0.9, 0.3, 0.3]
    shown = pd.read_csv(tmp_path / "tune.csv")
    assert shown["acc"].tolist() == pytest.approx([0.5, 0.55, 0.5])
    assert shown["deviation"].tolist() == pytest.approx([0.12**0.5, 0.05, 0])
    assert shown["seeds"].tolist() == [3, 3, 3]


@pytest.mark.parametrize(("order", "best"), [((8, 4, 2), 4), ((2, 8, 4), 2)])
def test_of_equal_means_the_first_is_taken(order: tuple[int, ...], best: int) -> None:
    """Equal are they in whatever order the seeds' figures are added."""
    accs: dict[Value, tuple[float, ...]] = {
        2: (0.1, 0.2, 0.3),
        4: (0.3, 0.2, 0.1),
        8: (0.1, 0.1, 0.1),
    }
    trials: dict[Value, tuple[Trial, ...]] = {
        k: tuple(Trial(n, acc, "") for n, acc in enumerate(accs[k])) for k in order
    }
    assert Sweep("window", trials, {}, {}).best == best


def test_lr_temperature_and_epochs_follow_on_request(
    photos: Path, tmp_path: Path, made: MadeOf, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = made(lambda job: job.config.lr + job.config.temperature - job.config.epochs / 1000)
    lists: dict[str, Any] = {"lr": (0.1, 0.3), "temperature": (0.1, 0.5), "epochs": (3, 2)}
    assert newfound(*tune_command(photos, tmp_path, mu=0.5, window=4, **lists)) == 0
    tried = [(j.config.lr, j.config.temperature, j.config.epochs) for j in runs.jobs]
    assert tried[:2] == [(0.1, 0.1, 3), (0.3, 0.1, 3)]
    assert tried[2:4] == [(0.3, 0.1, 3), (0.3, 0.5, 3)]
    assert tried[4:] == [(0.3, 0.5, 3), (0.3, 0.5, 2)]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "--mu 0.5 --window 4 --lr 0.3 --temperature 0.5 --epochs 2"


def test_the_weight_of_instances_and_colours_are_compared_on_request(
    photos: Path, tmp_path: Path, made: MadeOf, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = made(lambda job: job.config.grey - job.config.instance_weight)
    settings: dict[str, Any] = {"mu": "share", "window": 4, "channels": 3}
    lists: dict[str, Any] = {"instance_weight": (1, 0.3), "grey": (0, 1)}
    assert newfound(*tune_command(photos, tmp_path, **settings, **lists)) == 0
    tried = [(job.config.instance_weight, job.config.grey) for job in runs.jobs]
    assert tried == [(1, 0), (0.3, 0), (0.3, 0), (0.3, 1)]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "--mu share --window 4 --instance-weight 0.3 --grey 1.0"


def test_a_candidate_whose_loss_is_no_number_is_left_out(
    photos: Path, tmp_path: Path, made: MadeOf
) -> None:
    made(lambda job: float("nan") if job.config.lr == 9 else 0.5)
    command = tune_command(photos, tmp_path, mu=0.5, window=4, lr=(9.0, 0.1))
    assert newfound(*command) == 0
    (sweep,) = record(tmp_path)["sweeps"]
    assert sweep["left_out"] == [{"value": 9.0, "reason": "the loss became nan"}]
    assert sweep["best"] == 0.1


# ---- what the trials are run on ------------------------------------------------------------


def test_a_trial_receives_labelled_items_alone(
    photos: Path, tmp_path: Path, made: MadeOf, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = made(half)
    assert newfound(*tune_command(photos, tmp_path, mu=(0.4, 0.5), window=4, batch=64)) == 0
    for job in runs.jobs:
        assert all(name.startswith("labelled/") for name in job.catalogue.names)
        assert len(job.catalogue) == 26  # of 28: one of each hidden class is held out by the run
        assert job.num_novel == 2
        assert job.truth is not None
        assert job.truth.class_names == tuple(NAMES[2:])
        assert job.config.batch == 24  # all but the two of known classes that are held out
    told = capsys.readouterr().err
    assert "2 of 4 labelled classes are taken as unlabelled\n" in told
    assert "a batch is 24 instead of 64 items" in told


def test_the_preset_is_chosen_by_the_labelled_images(tmp_path: Path, made: MadeOf) -> None:
    data = make_folder(tmp_path / "data", KNOWN, (), each=4)
    save_images(data / "unlabelled", NOVEL[0], range(40), side=80)
    runs = made(half)
    command = ["tune", "images", data, "--num-novel", 3, "--out", tmp_path / "out"]
    assert newfound(*command, "--mu", 0.5, 0.6) == 0
    assert {job.config.preset for job in runs.jobs} == {"small-images"}


def test_settings_of_videos_are_tuned_alike(tmp_path: Path, made: MadeOf) -> None:
    for place in (*(f"labelled/{name}" for name in "abcd"), "unlabelled"):
        (tmp_path / "data" / place).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "data" / place / f"{number}.mp4").touch()
    runs = made(lambda job: 0.4 if job.config.mu == 0.4 else 0.5)
    out = tmp_path / "out"
    assert newfound(*tune_command(tmp_path / "data", out, "videos", mu=(0.4, 0.5), window=4)) == 0
    assert {job.catalogue.items.kind for job in runs.jobs} == {"videos"}
    assert record(out)["chosen"] == {"mu": 0.5, "window": 4}


# ---- what cannot be used -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mu": 0.5, "window": 4}, "nothing to compare"),
        ({"seeds": 0}, "seeds is 0"),
        ({"mu": (0.1, 0.2)}, "no value of mu can be used: 0.1: mu is 0.1"),
        ({"mu": (0.4, 0.5), "method": "rs"}, "--method (applied"),
        ({"mu": (0.4, 0.5), "pairs": "rank"}, "--pairs (applied"),
        ({"mu": (0.4, 0.5), "px": 3}, "px: "),
        ({"mu": (0.4, 0.5), "preset": "videos"}, "not one of images"),
    ],
)
def test_what_makes_no_sense_is_told_before_any_trial(
    photos: Path,
    tmp_path: Path,
    made: MadeOf,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, Any],
    message: str,
) -> None:
    runs = made(half)
    assert newfound(*tune_command(photos, tmp_path / "out", **changed)) == 2
    assert message in capsys.readouterr().err
    assert runs.jobs == []
    assert not (tmp_path / "out").exists()


def test_three_labelled_classes_are_too_few(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_folder(tmp_path / "data", (0, 1, 2), (3,), each=2)
    assert newfound(*tune_command(data, tmp_path / "out", mu=(0.4, 0.5))) == 2
    assert "at least 4 labelled classes to choose by, there are 3" in capsys.readouterr().err


def test_the_folder_of_a_run_is_left_alone(
    photos: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = whole / trial(0.4)
    before = contents(run)
    assert newfound(*tune_command(photos, run, mu=(0.4, 0.5))) == 2
    assert "give --out a new folder" in capsys.readouterr().err
    assert contents(run) == before


def test_other_settings_in_the_same_folder_are_refused(
    photos: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert newfound(*tune_command(photos, whole, mu=(0.4, 0.6), window=4, width=5)) == 2
    assert "config.width: 4 there, 5 asked" in capsys.readouterr().err
