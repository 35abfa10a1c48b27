"""The programs beside the package still run: each once, as small as it gets."""

import gzip
import json
import runpy
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from newfound.data.clips import ClipFiles, ClipShape
from support.made_videos import Picture, Sound, steady, tone, write_video
from support.read_videos import probe

ROOT = Path(__file__).parents[1]


def run(*arguments: object) -> str:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=True
    ).stdout


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


@pytest.mark.parametrize(
    ("preset", "modalities"),
    [("small-images", None), ("quick-videos", "both"), ("quick-videos", "audio")],
)
def test_the_benchmark_compares_our_step_with_the_bare_network(
    tmp_path: Path, preset: str, modalities: str | None
) -> None:
    given = [] if modalities is None else ["--modalities", modalities]
    out = tmp_path / "bench.json"
    size = ["--preset", preset, "--batch", 4, "--rounds", 2, *given]
    said = run(ROOT / "benchmarks/step.py", *size, "--out", out)
    figures = json.loads(out.read_text())
    assert 0 < figures["ratio"] < 2
    assert 0 < figures["views_seconds"] < figures["step_seconds"]
    assert figures["bare_seconds"] > 0
    assert figures["preset"] == preset and figures["modalities"] == (modalities or "visual")
    assert f"ratio {figures['ratio']:.3f}" in said


def test_the_benchmark_compares_our_decoding_with_plain_pyav(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    size = ["--preset", "quick-videos", "--files", 1, "--rounds", 2]
    said = run(ROOT / "benchmarks/decoding.py", *size, "--out", out)
    figures = json.loads(out.read_text())
    for kind in ("digits", "camera"):
        assert figures[kind]["files"] == 1
        assert figures[kind]["clips_per_second"] > 0
        assert figures[kind]["plain_clips_per_second"] > 0
        assert f"{kind}: ours {figures[kind]['clips_per_second']:.1f}" in said


@pytest.mark.parametrize("at", [0.0, 0.4, 1.0])
def test_plain_pyav_decodes_the_same_windows(tmp_path: Path, at: float) -> None:
    program = runpy.run_path(str(ROOT / "benchmarks/decoding.py"))
    picture = Picture(steady(6.0, rate=12), width=64, height=64)
    path = write_video(tmp_path / "a.mp4", picture, Sound(tone(6.0)))
    shape = ClipShape(side=64, sound_seconds=0.8, sound_offset_seconds=0.0)
    ours = ClipFiles([path]).load_clip(0, at, 0.5, shape).pixels
    assert ours is not None
    begin_seconds = at * (probe(str(path)).duration_seconds - 1)
    with av.open(str(path)) as container:
        frames = program["plain_frames"](container, begin_seconds, shape)
        (sound,) = program["plain_clip"](path, begin_seconds, shape)[1:]
    shown = [k for k in range(16) if k == 0 or (ours[:, k] != ours[:, k - 1]).any()]
    assert len(frames) == len(shown) in (12, 13)
    for frame, k in zip(frames, shown):
        assert np.abs(frame[32, 32].astype(int) - ours[:, k, 32, 32].numpy()).max() <= 3
    assert 0.8 <= sound / 16_000 < 0.9


def test_the_example_reads_mnist_and_scores_its_run(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    digits = np.arange(140) % 10
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", random.integers(0, 256, (140, 28, 28)))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", digits)
    said = run(ROOT / "examples/mnist.py", tmp_path, "--out", tmp_path / "run", "--epochs", 4)
    assert said.startswith("ACC 0.")
    assert (tmp_path / "run" / "report.html").exists()
