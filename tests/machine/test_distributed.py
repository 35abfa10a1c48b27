"""Several processes at one run against one process: the same losses, weights and results."""

import copy
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from newfound import run as run_module
from newfound.baselines import deep_transfer_clustering
from newfound.baselines.deep_transfer_clustering import initial_centres
from newfound.cli.main import run_command_line
from newfound.config import VideoConfig
from newfound.data import image_loader, room
from newfound.data.clip_loader import read_clips
from newfound.data.clips import ClipFiles
from newfound.data.image_loader import KeptImages, read_images
from newfound.data.images import FileImages
from newfound.data.source import UnreadableError
from newfound.disk.files import write_text
from newfound.errors import InputError, NonFiniteLossError, StoreError
from newfound.ground import Ground
from newfound.machine import distributed
from newfound.models.batch_norm import SharedBatchNorm, share_statistics
from newfound.models.network import make_network
from newfound.progress import Progress
from newfound.results.inference import ask
from newfound.settings import make_config
from newfound.settling import settle
from newfound.stages import begin_ours, check_method, stages
from newfound.training.kept_training import KeptTraining
from newfound.training.train import Training, train
from support.clips_in_memory import ClipsInMemory
from support.made_videos import Picture, steady, write_video
from support.processes import in_processes
from support.signals import signalled
from support.small_run import (
    TINY_VIDEOS,
    discover_command,
    epoch_records,
    events,
    newfound,
    tensors,
    tiny_config,
)

GENTLY = {"lr": 0.0005, "warmup_epochs": 0, "epochs": 2}
"""Rates at which a difference of rounding stays one: large steps make it larger at each."""
LIKE = 0.2
"""How far apart two trainings that are one may come, as a share of the way that one went.

Rounding opens or closes a ReLU now and then, which changes a gradient by some per cent. A mistake
in sharing the work, such as a mean for a sum, changes it by a third and more.
"""
METHODS = ["ours", "rs", "rs-ll", "dtc", "kcl", "mcl"]
SEED = 3

some_processes = pytest.mark.parametrize("processes", [2, 4])


pytestmark = pytest.mark.usefixtures("one_thread")


def noisy(kinds: np.ndarray) -> np.ndarray:
    """Grey pictures of 16 pixels, kinds told apart by stripes, with much noise.

    In plain areas many features are equal, and if rounding turns one to or from 0, it turns all.
    """
    noise = np.random.default_rng(SEED).integers(0, 200, (len(kinds), 16, 16))
    stripes = (np.arange(16) % (kinds[:, None] + 2) == 0)[:, None, :]
    return (noise + 55 * stripes).astype(np.uint8)


def image_ground(**settings: Any) -> tuple[Ground, KeptImages]:
    kinds = np.repeat(np.arange(4), 8)
    labels = np.where(kinds < 2, kinds, -1)
    config = tiny_config(**GENTLY | settings)
    network = make_network(config, 2, 2)
    rows = np.arange(len(labels))
    return Ground(network, config, labels, rows, 14.1, torch.device("cpu")), KeptImages(
        torch.from_numpy(noisy(kinds))[:, None]
    )


def video_ground(**settings: Any) -> tuple[Ground, ClipsInMemory]:
    config = make_config(**TINY_VIDEOS | GENTLY | settings)
    labels = np.where(np.arange(24) % 2, -1, np.arange(24) % 3)
    network = make_network(config, 3, 3)
    return Ground(network, config, labels, np.arange(24), 12.1, torch.device("cpu")), ClipsInMemory(
        24, SEED
    )


def state_after(training: Training, items: Any, steps: int) -> dict[str, Any]:
    """Losses of all steps, gradients of the last, weights, how far they went, other state."""
    trained = nn.ModuleList([training.network, training.objective])
    began = {name: value.detach().clone() for name, value in trained.named_parameters()}
    losses: list[Tensor] = []

    def after_step(_: Training) -> bool:
        losses.append(training.last_total)
        return len(losses) < steps

    train(training, items, after_step=after_step)
    weights = {name: value.detach() for name, value in trained.named_parameters()}
    return {
        "losses": torch.stack(losses),
        "gradients": {n: p.grad for n, p in trained.named_parameters() if p.grad is not None},
        "weights": weights,
        "way": {name: weights[name] - began[name] for name in weights},
        "buffers": {n: v for n, v in trained.named_buffers() if v.is_floating_point()},
        "categories": training.categories,
    }


def assert_same(found: list[dict[str, Any]], alone: dict[str, Any]) -> float:
    """Every process has what one process has alone, and all the very same weights.

    Returns how far the gradients are apart, relative to their length.
    """
    for one in found:
        assert one["gradients"].keys() == alone["gradients"].keys()
        for name, within in (("losses", 1e-3), ("buffers", 2e-3), ("categories", 0)):
            torch.testing.assert_close(
                one[name], alone[name], atol=within, rtol=1e-3, equal_nan=True
            )
        assert_equal(one["weights"], found[0]["weights"])
    assert distance(found[0]["way"], alone["way"]) < LIKE
    return distance(found[0]["gradients"], alone["gradients"])


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Of all tensors together, relative to the length of the other."""
    whole = torch.cat([other[name].flatten() for name in other])
    difference = torch.cat([one[name].flatten() for name in other]) - whole
    return float(difference.norm() / whole.norm())


@some_processes
@pytest.mark.parametrize("ground", [image_ground, video_ground])
def test_five_steps_are_those_of_one_process(
    ground: Callable[[], Any], processes: int, tmp_path: Path
) -> None:
    def five_steps() -> dict[str, Any]:
        on, items = ground()
        return state_after(begin_ours(on), items, 5)

    found = in_processes(processes, tmp_path, five_steps)
    assert assert_same(found, five_steps()) < LIKE


@pytest.mark.parametrize("method", METHODS)
def test_each_stage_takes_the_step_of_one_process(method: str, tmp_path: Path) -> None:
    """Of all objectives there are: losses, gradients, weights and statistics after a step."""

    def a_step_of_each(seed: int) -> list[dict[str, Any]]:
        on, items = image_ground(method=method, seed=seed)
        before, made = None, []
        for plan in stages(on.config):
            before = plan.begin(on, before)
            made.append(copy.deepcopy(state_after(before, items, 1)))
        return made

    def of_some_seeds() -> list[list[dict[str, Any]]]:
        return [a_step_of_each(seed) for seed in range(4)]

    found = in_processes(2, tmp_path, of_some_seeds)
    by_seed = [
        [assert_same(list(made), alone) for *made, alone in zip(*runs, strict=True)]
        for (*runs,) in zip(*found, of_some_seeds(), strict=True)
    ]
    distances = np.array(by_seed)
    assert distances.max() < LIKE
    assert (distances.min(axis=0) < 2e-5).all()


@pytest.mark.parametrize("share", [None, 0.25])
def test_an_epoch_is_dealt_out_without_loss_or_repetition(share: float | None) -> None:
    on, _ = image_ground(unlabelled_share=share)
    for batch in begin_ours(on).remaining_batches():
        dealt = [batch[rank::4] for rank in range(4)]
        assert sorted(torch.cat(dealt).tolist()) == sorted(batch.tolist())
        assert {len(own) for own in dealt} == {len(batch) // 4}


def test_what_is_gathered_has_the_gradient_of_the_whole(tmp_path: Path) -> None:
    """Of rows that one process has as a whole, by a function that mixes them all."""
    whole = torch.randn(6, 3, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)

    def mixed(rows: Tensor) -> Tensor:
        return (rows @ rows.T).exp().sum() + rows[1].prod()

    def share() -> tuple[Tensor, Tensor]:
        own = distributed.own_rows(whole).clone().requires_grad_()
        gathered = distributed.gathered(own)
        mixed(gathered).backward()
        return gathered.detach(), own.grad / distributed.count()

    rows = whole.clone().requires_grad_()
    mixed(rows).backward()
    for rank, (gathered, gradient) in enumerate(in_processes(3, tmp_path, share)):
        assert torch.equal(gathered, whole)
        torch.testing.assert_close(gradient, rows.grad[rank::3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 4, 5), (8, 3, 2, 4, 5), (2, 3), (2, 3, 1, 1)])
def test_shared_batch_norm_is_batch_norm_of_the_whole(
    shape: tuple[int, ...], dtype: torch.dtype, tmp_path: Path
) -> None:
    """Its values, its gradients and its running statistics, of rows far from the mean of 0."""
    generator = torch.Generator().manual_seed(SEED)
    whole, weights = (torch.randn(shape, generator=generator) * 3 + 5 for _ in range(2))
    whole, weights = whole.to(dtype), weights.to(dtype)
    # Of bfloat16 the rows' values and gradients are rounded once; statistics are float32.
    rounding = {"atol": 1e-4, "rtol": 1e-4 if dtype == torch.float32 else 2**-7}

    def norm() -> nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d:
        kind = {2: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]
        made = kind(3)
        nn.init.uniform_(made.weight, 0.5, 2, generator=torch.Generator().manual_seed(1))
        return made

    def learn(rows: Tensor, weights: Tensor, shared: bool) -> dict[str, Tensor]:
        network = nn.Sequential(norm())
        if shared:
            share_statistics(network, torch.device("cpu"))
            assert isinstance(network[0], SharedBatchNorm)
        rows = rows.clone().requires_grad_()
        out = network(rows)
        (out * weights).sum().backward()
        network.eval()
        return {
            "out": out.detach(),
            "by_rows": rows.grad,
            "by_weight": network[0].weight.grad,
            "by_bias": network[0].bias.grad,
            "evaluated": network(rows).detach(),
            **dict(network.named_buffers()),
        }

    def share() -> dict[str, Tensor]:
        return learn(distributed.own_rows(whole), distributed.own_rows(weights), True)

    alone = learn(whole, weights, False)
    found = in_processes(2, tmp_path, share)
    for name in ("out", "by_rows", "evaluated"):
        rows = torch.stack([one[name] for one in found], dim=1).flatten(0, 1)
        torch.testing.assert_close(rows, alone[name], **rounding)
    for name in ("by_weight", "by_bias"):
        total = sum(one[name] for one in found)
        torch.testing.assert_close(total, alone[name], atol=1e-4, rtol=1e-5)
    for one in found:
        for name in ("0.running_mean", "0.running_var", "0.num_batches_tracked"):
            torch.testing.assert_close(one[name], alone[name])


def test_what_the_writer_makes_or_raises_all_have(tmp_path: Path) -> None:
    def agree() -> tuple[Any, str]:
        made = distributed.agreed(lambda: {"rank": distributed.rank()})

        def fail() -> None:
            raise InputError(f"seen by {distributed.rank()}")

        try:
            distributed.agreed(fail)
        except InputError as error:
            return made, str(error)
        return made, "nothing"

    assert in_processes(3, tmp_path, agree) == [({"rank": 0}, "seen by 0")] * 3


def test_the_first_centres_of_dtc_are_the_writers(tmp_path: Path) -> None:
    """On other processors k-means may end elsewhere."""

    def centres() -> Tensor:
        def elsewhere(features: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
            projected, found = initial_centres(features, k, seed)
            return projected, found + distributed.rank()

        deep_transfer_clustering.initial_centres = elsewhere
        on, items = image_ground(method="dtc", pretraining="labels")
        before = None
        for plan in stages(on.config)[:2]:
            before = plan.begin(on, before)
        assert before is not None
        before.objective.begin_epoch(1, items)
        made: Tensor = on.network.novel.centres.detach()
        return made

    first, second = in_processes(2, tmp_path, centres)
    assert torch.equal(first, second)


def test_the_novel_head_that_settles_is_the_writers(tmp_path: Path) -> None:
    """Rounding may lead it elsewhere in another process; all answer by the same one."""

    def settled() -> tuple[Tensor, Any]:
        on, _ = image_ground(settle_steps=5)
        generator = torch.Generator().manual_seed(SEED + distributed.rank())
        found = settle(on, torch.rand(16, on.network.fused_size, generator=generator))
        made: Tensor = on.network.novel.weight.detach()
        return made, found

    (tmp_path / "one").mkdir()
    [alone] = in_processes(1, tmp_path / "one", settled)
    first, second = in_processes(2, tmp_path, settled)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[0], alone[0])
    assert first[1] == second[1] == alone[1]
    on, _ = image_ground()
    assert not torch.allclose(on.network.novel.weight, first[0], atol=1e-3)


def test_a_flag_of_one_is_seen_by_all(tmp_path: Path) -> None:
    def ask() -> tuple[bool, bool]:
        last = distributed.rank() == distributed.count() - 1
        return distributed.any_process(last), distributed.any_process(False)

    assert in_processes(3, tmp_path, ask) == [(True, False)] * 3


def test_flags_of_several_are_seen_by_all(tmp_path: Path) -> None:
    def ask() -> list[bool]:
        return distributed.any_process_each(distributed.rank() == 1, False, distributed.rank() == 0)

    assert in_processes(3, tmp_path, ask) == [[True, False, True]] * 3


def test_a_checkpoint_is_due_in_all_processes_after_the_same_step(tmp_path: Path) -> None:
    """Where clocks differ, one that saves finds a loss that is not finite before the others do."""

    class Noting(KeptTraining):
        def _save(self) -> None:
            saved.append(self.training.step)
            super()._save()

    saved: list[int] = []

    def save_by_own_clock() -> tuple[list[int], int]:
        ground, items = image_ground(epochs=1, batch=8)
        training = begin_ours(ground)
        seconds = 0.0 if distributed.rank() == 1 else 1000.0
        kept = Noting(training, "Training", tmp_path / "checkpoint.pt", "data", seconds)
        with Progress(quiet=True) as progress:
            assert kept.run(items, progress, lambda _figures, _categories: None)
        took = kept.seconds
        assert kept.seconds == took  # what comes after the training takes none of its time
        return saved, training.total_steps

    first, second = in_processes(2, tmp_path, save_by_own_clock)
    assert first == second == ([1, 2, 3, 4], 4)


@pytest.mark.parametrize("n_rows", [0, 1, 6, 7])
def test_rows_shared_out_come_back_in_their_order(n_rows: int, tmp_path: Path) -> None:
    rows = torch.arange(n_rows) * 10

    def share() -> tuple[Tensor, ...]:
        return distributed.shared_out(rows, lambda own: (own + 1, own[:, None].float()))

    for plus, column in in_processes(3, tmp_path, share):
        assert torch.equal(plus, rows + 1)
        assert torch.equal(column, rows[:, None].float())


@pytest.mark.parametrize("n_rows", [0, 1, 10])
def test_answers_are_shared_out(n_rows: int, tmp_path: Path) -> None:
    """And made with the writer's statistics of BatchNorm, where each process has its own."""
    on, items = image_ground()
    rows = np.random.default_rng(SEED).permutation(32)[:n_rows]

    def answers() -> tuple[np.ndarray, ...]:
        for buffer in on.network.encoder("visual").buffers():
            buffer.add_(distributed.rank())
        made = ask(on.network, items, rows, config=on.config, device=on.device, batch=4)
        return made.features, made.known, made.novel

    expected = answers()
    for found in in_processes(3, tmp_path, answers):
        for ours, alone in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, alone, atol=1e-5)


def test_answers_that_are_no_numbers_are_told_by_all(tmp_path: Path) -> None:
    """Also by processes whose own are: else they would wait for the others for hours."""
    on, items = image_ground()

    def answers() -> str:
        if distributed.is_writer():
            on.network.novel.bias.data[0] = torch.nan
        with pytest.raises(NonFiniteLossError) as raised:
            ask(on.network, items, np.arange(6), config=on.config, device=on.device)
        return str(raised.value)

    assert all("not finite" in told for told in in_processes(2, tmp_path, answers))


# ---- whole runs -----------------------------------------------------------------------------


def made_data(folder: Path) -> Path:
    kinds = np.repeat(np.arange(4), 16)
    for number, (kind, picture) in enumerate(zip(kinds, noisy(kinds))):
        place = folder / (f"labelled/{kind}" if kind < 2 else "unlabelled")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{number:02}.png")
    return folder


def runs_in_processes(processes: int, folder: Path, command: list[str]) -> list[int]:
    folder.mkdir()
    return in_processes(processes, folder, lambda: newfound(*command), join=False)


def way(run: Path) -> dict[str, Tensor]:
    """How far the run's weights went; without phi_u's, whose outputs are sorted in the end."""
    began = dict(make_network(tiny_config(**GENTLY), 2, 2).named_parameters())
    return {
        name: value - began[name].detach()
        for name, value in tensors(run).items()
        if name in began and not name.startswith("novel.")
    }


def assert_same_run(run: Path, alone: Path) -> None:
    """What two runs found and logged, but for rounding and what `LIKE` tells of."""
    assert distance(way(run), way(alone)) < LIKE
    ours, theirs = pd.read_csv(run / "items.csv"), pd.read_csv(alone / "items.csv")
    assert ours["path"].tolist() == theirs["path"].tolist()
    np.testing.assert_allclose(ours["confidence"], theirs["confidence"], atol=0.03)
    sure = theirs["margin"] > 0.06
    assert sure.mean() > 0.5
    assert ours["category"][sure].tolist() == theirs["category"][sure].tolist()
    for one, other in zip(epoch_records(run), epoch_records(alone), strict=True):
        assert one.pop("event") == other.pop("event")
        assert one.keys() == other.keys()
        for name, value in one.items():
            expected = math.nan if other[name] is None else other[name]
            found = math.nan if value is None else value
            assert found == pytest.approx(expected, **leeway(name), nan_ok=True), name


def leeway(figure: str) -> dict[str, float]:
    """Of a log's figures; what is counted jumps where a pair's agreement is at the threshold."""
    if figure == "mu":
        return {"rel": 0.05}
    return {"abs": 0.1} if figure.startswith("pairs_") else {"rel": 0.02, "abs": 0.02}


@some_processes
def test_a_run_finds_what_one_process_finds(processes: int, tmp_path: Path) -> None:
    data = made_data(tmp_path / "data")
    command = discover_command(data, tmp_path / "alone", **GENTLY)
    assert newfound(*command) == 0
    command = discover_command(data, tmp_path / "run", **GENTLY)
    assert runs_in_processes(processes, tmp_path / "in", command) == [0] * processes
    assert_same_run(tmp_path / "run", tmp_path / "alone")
    assert events(tmp_path / "run") == events(tmp_path / "alone")


def test_the_writer_alone_writes(tmp_path: Path) -> None:
    def write() -> None:
        write_text(tmp_path / f"by-{distributed.rank()}.txt", "written")

    in_processes(3, tmp_path, write)
    assert [path.name for path in tmp_path.glob("by-*")] == ["by-0.txt"]


def test_a_run_goes_on_with_another_number_of_processes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = made_data(tmp_path / "data")
    assert newfound(*discover_command(data, tmp_path / "alone", **GENTLY)) == 0
    command = discover_command(data, tmp_path / "run", **GENTLY)
    stopping = [*command, "--checkpoint-seconds", "0"]
    for processes, steps in ((2, 3), (4, 8), (1, None)):
        codes = _run_some_steps(processes, tmp_path / f"in-{processes}", stopping, steps)
        assert codes == [0 if steps is None else 130] * processes
        said = capfd.readouterr().err
        assert said.count("holds all work so far") == (0 if steps is None else 1)
    assert_same_run(tmp_path / "run", tmp_path / "alone")


def _run_some_steps(
    processes: int, folder: Path, command: list[str], steps: int | None
) -> list[int]:
    """Run the command; after so many steps of the training the last process is sent SIGTERM."""

    def work() -> int:
        if steps is None or int(os.environ["RANK"]) != processes - 1:
            return newfound(*command)
        terminated = signalled(lambda training: training.step == steps, signal.SIGTERM)
        Training.take_step = terminated  # type: ignore[method-assign]
        return newfound(*command)

    folder.mkdir()
    return in_processes(processes, folder, work, join=False)


def test_processes_share_the_first_look_at_images_that_are_not_kept(tmp_path: Path) -> None:
    files = sorted(made_data(tmp_path / "data").rglob("*.png"))
    for file in files[::7]:
        file.write_bytes(b"no image")
    cpu = torch.device("cpu")

    def look() -> tuple[list[tuple[int, str]], int]:
        source = FileImages(files)
        seen: list[int] = []
        _, skipped = read_images(
            source, 16, 1, 0, "none", cpu, on_progress=lambda done, _: seen.append(done)
        )
        return [(bad.index, bad.reason) for bad in skipped], max(seen)

    expected, whole = look()
    assert [index for index, _ in expected] == list(range(0, len(files), 7))
    found = in_processes(3, tmp_path, look)
    assert [skipped for skipped, _ in found] == [expected] * 3
    assert sum(seen for _, seen in found) == whole == len(files)


def test_processes_share_the_first_look_at_videos_that_are_not_kept(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(5)]
    for path in paths[:4]:
        write_video(path, Picture(steady(0.5, rate=8), 32, 24))
    cpu = torch.device("cpu")

    def look(missing_audio: str = "zeros") -> tuple[list[int], int]:
        anywhere = {"places": None, "missing_audio": missing_audio}
        config = make_config(**TINY_VIDEOS).model_copy(update=anywhere)
        assert isinstance(config, VideoConfig)
        seen: list[int] = []
        _, skipped = read_clips(
            ClipFiles(paths), config, 0, "none", cpu, lambda done, _: seen.append(done)
        )
        return [bad.index for bad in skipped], max(seen)

    def refuse() -> str:
        with pytest.raises(InputError) as error:
            look("error")
        return str(error.value)

    assert look() == ([4], 5)
    assert in_processes(2, tmp_path, look) == [([4], 3), ([4], 2)]
    reasons = in_processes(2, tmp_path, refuse)
    assert reasons == [reasons[0]] * 2 and "0.mp4' has no sound" in reasons[0]


def test_what_one_process_alone_cannot_read_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = discover_command(made_data(tmp_path / "data"), tmp_path / "run", **GENTLY)
    load = FileImages.load

    def work() -> int:
        def missing_on_the_second(source: FileImages, i: int, px: int, channels: int) -> Tensor:
            if os.environ["RANK"] == "1" and source.path(i).endswith("07.png"):
                raise UnreadableError("no such file", source.path(i))
            return load(source, i, px, channels)

        FileImages.load = missing_on_the_second  # type: ignore[method-assign]
        return newfound(*command)

    (tmp_path / "in").mkdir()
    assert in_processes(2, tmp_path / "in", work, join=False) == [2, 2]
    said = capfd.readouterr().err
    assert said.count("'labelled/0/07.png' cannot be read by process 1 of 2") == 1


def test_a_misspelt_flag_is_told_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = discover_command(made_data(tmp_path / "data"), tmp_path / "run")
    assert runs_in_processes(2, tmp_path / "in", [*command, "--epoch", "3"]) == [2] * 2
    assert "".join(capfd.readouterr()).count("Unrecognized options: --epoch") == 1


def test_a_batch_that_cannot_be_shared_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = discover_command(made_data(tmp_path / "data"), tmp_path / "run", batch=8)
    assert runs_in_processes(3, tmp_path / "in", command) == [2] * 3
    said = capfd.readouterr().err
    assert said.count("3 processes cannot evenly share batches of 8; give --batch 6") == 1
    assert not (tmp_path / "run").exists()


def test_a_batch_of_a_baseline_that_cannot_be_shared_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {"batch": 9, "method": "kcl", "own_batch": 10}
    command = discover_command(made_data(tmp_path / "data"), tmp_path / "run", **settings)
    assert runs_in_processes(3, tmp_path / "in", command) == [2] * 3
    said = capfd.readouterr().err
    assert said.count("cannot evenly share batches of 10; give --own-batch 9") == 1


def test_a_stage_of_too_few_items_to_share_is_refused(tmp_path: Path) -> None:
    def refuse() -> None:
        on, _ = image_ground(method="kcl", batch=18, own_batch=18)  # 16 are labelled
        with pytest.raises(InputError, match="share batches of 16; give --own-batch 15"):
            stages(on.config)[0].begin(on, None)
        with pytest.raises(InputError, match="share batches of 16; give --own-batch 15"):
            check_method(on.config, 16, 16, 2, are_final=True)  # before any stage is trained
        check_method(on.config, 16, 16, 2, are_final=False)  # some may not be readable
        on, _ = image_ground(method="rs", pretraining="cl", batch=16, own_batch=15)
        with pytest.raises(InputError, match="share batches of 16; give --batch 15"):
            stages(on.config)[0].begin(on, None)  # whose batch is not the baseline's own

    in_processes(3, tmp_path, refuse)


def test_items_are_kept_where_all_processes_have_room(tmp_path: Path) -> None:
    def choose() -> str:
        room.free_memory = lambda: 10**6 if distributed.rank() == 0 else 10
        return room.choose_room(100, 100, torch.device("cpu"), "auto")

    assert in_processes(2, tmp_path, choose) == ["none"] * 2


def test_processes_of_other_settings_or_data_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    there, other = (made_data(tmp_path / name) for name in ("there", "other"))
    (other / "labelled" / "0" / "00.png").unlink()
    shutil.copytree(there, tmp_path / "few")
    for file in sorted((tmp_path / "few" / "unlabelled").iterdir())[1:]:  # too few to begin
        file.unlink()

    def work() -> int:
        is_second = os.environ["RANK"] == "1"
        settings = {"lr": 0.5} if is_second and by == "lr" else {}
        data = others.get(by, there) if is_second else there
        return newfound(*discover_command(data, tmp_path / "run", **GENTLY | settings))

    others = {"data_fingerprint": other, "few data_fingerprint": tmp_path / "few"}
    for by in ("lr", *others):
        (tmp_path / f"in {by}").mkdir()
        assert in_processes(2, tmp_path / f"in {by}", work, join=False) == [2, 2]
        said = capfd.readouterr().err
        assert "process 1 of 2 has another" in said and by.split()[-1] in said


def test_each_process_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(distributed, "choose_device", torch.device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert distributed._own_device("cuda") == torch.device("cuda:1")
    assert chosen == [torch.device("cuda:1")]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(InputError, match="3 processes here and 2 GPUs; give torchrun"):
        distributed._own_device("cuda")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_who_fails_does_not_wait_to_end_the_group(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[None] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(distributed, "_own_device", lambda _: torch.device(device))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: ended.append(None))
    with pytest.raises(InputError), distributed.joined(device):
        raise InputError("full")
    assert not ended
    with distributed.joined(device):
        pass
    assert len(ended) == 1


def test_what_one_process_meets_in_training_it_tells_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = discover_command(made_data(tmp_path / "data"), tmp_path / "run", **GENTLY)
    take_step = Training.take_step

    def work() -> int:
        def lack(training: Training, batch: Any) -> None:
            if os.environ["RANK"] == "1" and training.step == 2:
                raise torch.OutOfMemoryError("out of memory")
            take_step(training, batch)

        Training.take_step = lack  # type: ignore[method-assign]
        return newfound(*command)

    (tmp_path / "in").mkdir()
    assert in_processes(2, tmp_path / "in", work, join=False) == [130, 2]
    assert capfd.readouterr().err.count("there is not enough memory (out of memory); ") == 1


def test_what_all_are_told_of_is_told_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the second in its share of the images, by the writer at the end."""
    command = discover_command(made_data(tmp_path / "data"), tmp_path / "run", **GENTLY)
    check_all = image_loader.check_all

    def work() -> int:
        def unanswered(*given: Any) -> Any:
            if os.environ["RANK"] == "1":
                raise StoreError("the store does not answer")
            return check_all(*given)

        def full(*_: Any) -> None:
            raise MemoryError("full")

        if where == "share":
            image_loader.check_all = unanswered
        else:
            run_module.conclude = full
        return newfound(*command, "--cache", "none")

    for where, told in (("share", "the store does not answer"), ("end", "not enough memory")):
        (tmp_path / where).mkdir()
        assert in_processes(2, tmp_path / where, work, join=False) == [2, 2]
        assert capfd.readouterr().err.count(told) == 1


def test_only_one_process_may_compile(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = discover_command(made_data(tmp_path / "data"), tmp_path / "run")
    assert runs_in_processes(2, tmp_path / "in", [*command, "--compile"]) == [2] * 2
    assert capfd.readouterr().err.count("--compile is for one process, and there are 2") == 1
    assert not (tmp_path / "run").exists()


def test_none_leaves_while_others_are_still_joining(tmp_path: Path) -> None:
    """The first process holds the store by which they join."""

    def join() -> bool:
        joining = torch.distributed.init_process_group

        def and_use_the_store(*arguments: Any, **named: Any) -> None:
            joining(*arguments, **named)
            store = torch.distributed.distributed_c10d._get_default_store()
            if distributed.rank() == 0:
                store.set("key", "value")
            else:
                time.sleep(1)
                store.get("key")

        torch.distributed.init_process_group = and_use_the_store
        with distributed.joined("cpu"):
            return True

    assert in_processes(2, tmp_path, join, join=False) == [True, True]


def test_a_group_for_gpus_alone_is_refused(tmp_path: Path) -> None:
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("cuda:gloo", store=store, rank=0, world_size=1)
    try:
        with (
            pytest.raises(InputError, match="takes no tensors of the CPU"),
            distributed.joined("cpu"),
        ):
            pass
    finally:
        torch.distributed.destroy_process_group()


def test_commands_that_share_no_work_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert run_command_line(["report", str(tmp_path)]) == 2
    assert "start this command without torchrun" in capsys.readouterr().err


def test_settings_of_batch_norm_are_kept_apart(tmp_path: Path) -> None:
    """Without synchronising, statistics are of a process's own rows, and the weights are shared."""

    def steps() -> dict[str, Any]:
        on, items = image_ground(sync_batch_norm=False)
        return state_after(begin_ours(on), items, 3)

    first, second = in_processes(2, tmp_path, steps)
    assert_equal(first["weights"], second["weights"])
    statistics = [n for n in first["buffers"] if "running_mean" in n]
    assert statistics
    assert not any(torch.equal(first["buffers"][n], second["buffers"][n]) for n in statistics)


# ---- torchrun itself ------------------------------------------------------------------------


RUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def torchrun(processes: int, command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*RUN, "--nproc-per-node", str(processes), "-m", "newfound", *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def long_run(tmp_path: Path) -> list[str]:
    return discover_command(made_data(tmp_path / "data"), tmp_path / "run", epochs=2000)


def wait_for_epochs(run: Path, count: int) -> None:
    end = time.monotonic() + 120
    while not (run / "log.jsonl").exists() or len(epoch_records(run)) < count:
        assert time.monotonic() < end, "no epochs"
        time.sleep(0.2)


@pytest.mark.slow
def test_a_signal_stops_all_and_the_work_is_kept(tmp_path: Path) -> None:
    process = torchrun(2, long_run(tmp_path))
    wait_for_epochs(tmp_path / "run", 2)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert said.count("newfound: stopped;") == 1
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    assert not list((tmp_path / "run").glob("*.part"))


@pytest.mark.slow
def test_the_death_of_one_stops_the_others(tmp_path: Path) -> None:
    process = torchrun(3, [*long_run(tmp_path), "--batch", "6"])
    wait_for_epochs(tmp_path / "run", 2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 3
    os.kill(int(children[-1]), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    header = json.loads((tmp_path / "run" / "config.json").read_text())
    assert header["config"]["batch"] == 6
    log_lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert all(json.loads(line) for line in log_lines)
