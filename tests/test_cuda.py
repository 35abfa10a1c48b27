"""What a GPU alone can show: runs of every stage, wherever items are kept, stopped and shared."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from newfound import settling
from newfound.batch import Batch
from newfound.models.batch_norm import share_statistics
from newfound.training.first_failure import STEPS_BETWEEN_GLANCES, FirstFailure
from newfound.training.train import Training
from support.made_images import make_folder
from support.made_videos import Picture, Sound, steady, tone, write_video
from support.signals import signalled
from support.small_run import (
    EVERY_STAGE,
    discover_command,
    discover_videos_command,
    epoch_records,
    events,
    newfound,
)

DEVICE = "cuda"
PARTS: list[dict[str, Any]] = [
    *EVERY_STAGE,
    {"settle_steps": 5},
    {"method": "kcl", "pretraining": "none"},
    {"method": "dtc", "pretraining": "labels", "dtc_variant": "te"},
    {"method": "dtc", "pretraining": "labels", "dtc_variant": "tep"},
]
GENTLY = {"precision": "float32", "lr": 0.001, "warmup_epochs": 0}
"""At a high rate any two trainings of which rounding differs drift apart."""
ROUNDING = 0.02
"""By how much losses of two runs that are one may differ: sums on a GPU have no set order."""

ON_TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("photos"), each=8)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    for kind, pitch in enumerate((300.0, 800.0, 2000.0, 5000.0)):
        place = root / (f"labelled/{kind}" if kind < 2 else "unlabelled")
        place.mkdir(parents=True, exist_ok=True)
        for number in range(8):
            picture = Picture(steady(0.75, rate=8), 32, 24, key_every=3, split=kind % 2 == 0)
            sound = Sound(tone(0.75, pitch * (1 + number / 50), rate=16_000), rate=16_000)
            write_video(place / f"{kind}-{number}.mp4", picture, sound)
    return root


def on_gpu(photos: Path, out: Path, **changed: Any) -> list[str]:
    return discover_command(photos, out, device=DEVICE, **changed)


def videos_on_gpu(clips: Path, out: Path, **changed: Any) -> list[str]:
    return discover_videos_command(clips, out, device=DEVICE, **changed)


@pytest.fixture(params=["images", "videos"])
def command(request: pytest.FixtureRequest, photos: Path, clips: Path) -> Callable[..., list[str]]:
    """A tiny run's on the GPU, by its folder and settings."""
    if request.param == "images":
        return partial(on_gpu, photos)
    return partial(videos_on_gpu, clips)


def losses(run: Path) -> list[float]:
    return [record["total"] for record in epoch_records(run)]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("changed", PARTS, ids=str)
def test_every_part(
    command: Callable[..., list[str]],
    tmp_path: Path,
    changed: dict[str, Any],
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settling, "FEWEST", 16)
    run = tmp_path / "run"
    whole = command(run, precision=precision, **changed)
    assert newfound(*whole, "--compare-labelled-only") == 0
    assert len(pd.read_csv(run / "items.csv")) == 16
    assert np.isfinite(losses(run)).all()


def test_the_threshold_is_searched_for(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos", known=(0, 1, 2, 3), novel=(4, 5), each=5)
    assert newfound(*on_gpu(folder, tmp_path / "run", mu="heldout", heldout_epochs=1)) == 0
    assert "heldout" in events(tmp_path / "run")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("changed", EVERY_STAGE, ids=str)
def test_a_step_does_not_wait_for_the_gpu(
    command: Callable[..., list[str]],
    tmp_path: Path,
    changed: dict[str, Any],
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_step, begun, watched = Training.take_step, set(), set()

    def without_waiting(training: Training, batch: Batch) -> None:
        stage = type(training.objective).__name__
        begun.add(stage)
        if training.step == 0:  # cuDNN and the optimiser prepare themselves
            take_step(training, batch)
            return
        watched.add(stage)
        torch.cuda.set_sync_debug_mode("error")
        try:
            take_step(training, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Training, "take_step", without_waiting)
    settings = {"precision": precision, "channels": 3, "blur": 0.5, "epochs": 8, **changed}
    assert newfound(*command(tmp_path / "run", **settings)) == 0
    assert begun == watched


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 16, 6, 6), (8, 16, 2, 6, 6)])
def test_our_own_batch_norm_of_several_processes_is_torchs(
    shape: tuple[int, ...], dtype: torch.dtype, tmp_path: Path
) -> None:
    """It does not wait for the device. Which of the two is faster is not known yet."""
    kind = {4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]
    torchs, ours = nn.Sequential(kind(16)), nn.Sequential(kind(16))
    share_statistics(ours, torch.device("cpu"))
    rows, weights = (torch.randn(shape, device=DEVICE).to(dtype) * 3 + 5 for _ in range(2))

    def learn(network: nn.Module) -> list[Tensor]:
        seen = rows.clone().requires_grad_()
        out = network.to(DEVICE)(seen)
        (out * weights).sum().backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        return [out.detach(), seen.grad, *gradients, *network.buffers()]

    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    backend = {"cuda": "nccl", "cpu": "gloo"}[DEVICE]
    torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        learn(ours)  # the libraries prepare themselves
        ours.zero_grad()
        ours[0].reset_running_stats()
        torch.cuda.set_sync_debug_mode("error")
        found = learn(ours)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.distributed.destroy_process_group()
    rounding = {"atol": 1e-3, "rtol": 1e-4 if dtype == torch.float32 else 2**-7}
    for mine, theirs in zip(found, learn(torchs), strict=True):
        torch.testing.assert_close(mine, theirs, **rounding)


def test_a_loss_that_is_no_number_is_seen_in_passing() -> None:
    failure = FirstFailure(2, torch.device(DEVICE))
    good, bad = torch.ones(2, device=DEVICE), torch.tensor([1.0, torch.inf], device=DEVICE)
    seen = []
    for step in range(2 * STEPS_BETWEEN_GLANCES):
        failure.note(step, bad if step >= 7 else good)
        seen.append(failure.glance(step + 1))
    assert seen[-1] == (7, [1.0, torch.inf])


def test_wherever_items_are_kept_the_run_is_one(
    command: Callable[..., list[str]], tmp_path: Path
) -> None:
    found = {}
    for cache in ("device", "memory", "none"):
        assert newfound(*command(tmp_path / cache, cache=cache, workers=1)) == 0
        found[cache] = losses(tmp_path / cache)
    assert found["memory"] == pytest.approx(found["device"], rel=ROUNDING)
    assert found["none"] == pytest.approx(found["device"], rel=ROUNDING)


def test_a_compiled_run_is_the_same(command: Callable[..., list[str]], tmp_path: Path) -> None:
    found = []
    for flags in ([], ["--compile"]):
        run = tmp_path / f"run{len(flags)}"
        torch._dynamo.reset()
        counters.clear()
        assert newfound(*command(run, **GENTLY), *flags) == 0
        found.append(losses(run))
    assert counters["stats"]["unique_graphs"] > 0 and not counters["graph_break"]
    assert found[1] == pytest.approx(found[0], rel=ROUNDING)


def test_a_run_that_was_stopped_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert newfound(*on_gpu(photos, tmp_path / "whole")) == 0
    with monkeypatch.context() as patched:
        patched.setattr(Training, "take_step", signalled(lambda training: training.step == 5))
        assert newfound(*on_gpu(photos, tmp_path / "run")) == 130
    assert newfound(*on_gpu(photos, tmp_path / "run")) == 0
    assert events(tmp_path / "run").count("resume") == 1
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "whole"), rel=ROUNDING)


def test_prediction_on_a_gpu_is_that_on_a_cpu(photos: Path, tmp_path: Path) -> None:
    assert newfound(*on_gpu(photos, tmp_path / "run")) == 0
    tables = []
    for device in (DEVICE, "cpu"):
        table = tmp_path / f"{device}.csv"
        command = ("predict", tmp_path / "run", photos / "unlabelled", "--device", device)
        assert newfound(*command, "--out", table) == 0
        tables.append(pd.read_csv(table))
    there, here = tables
    np.testing.assert_allclose(there["confidence"], here["confidence"], atol=0.01)
    sure = here["margin"] > 0.05
    assert (there["category"] == here["category"])[sure].all()


@two_gpus
@pytest.mark.parametrize("changed", [{}, {"method": "rs", "pretraining": "rotnet"}], ids=str)
def test_two_gpus_find_what_one_finds(
    photos: Path, tmp_path: Path, changed: dict[str, Any]
) -> None:
    assert newfound(*on_gpu(photos, tmp_path / "alone", **GENTLY, **changed)) == 0
    command = on_gpu(photos, tmp_path / "run", **GENTLY, **changed)
    subprocess.run([*ON_TWO, "-m", "newfound", *command], check=True)
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "alone"), rel=ROUNDING)


@two_gpus
def test_two_gpus_whose_statistics_are_their_own(photos: Path, tmp_path: Path) -> None:
    command = [*on_gpu(photos, tmp_path / "run"), "--no-sync-batch-norm"]
    subprocess.run([*ON_TWO, "-m", "newfound", *command], check=True)
    assert np.isfinite(losses(tmp_path / "run")).all()


FAILING_ON_THE_SECOND = """
import os, torch
from newfound.__main__ import main
from newfound.training.train import Training

take_step = Training.take_step

def lack(training, batch):
    if os.environ["RANK"] == "1" and training.step == 3:
        raise torch.OutOfMemoryError("out of memory")
    take_step(training, batch)

Training.take_step = lack
main()
"""


@two_gpus
def test_when_one_of_two_gpus_fails_the_run_ends_and_says_why(photos: Path, tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING_ON_THE_SECOND)
    command = [*ON_TWO, str(script), *on_gpu(photos, tmp_path / "run", epochs=50)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode != 0
    assert (
        "there is not enough memory (out of memory); if images are kept on the GPU" in ended.stderr
    )
