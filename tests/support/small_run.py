"""Runs so small that a whole one takes about a second, through the command line's own door."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from newfound.cli.main import run_command_line
from newfound.config import Config
from newfound.settings import make_config

TINY: dict[str, Any] = {
    "preset": "images",
    "px": 16,
    "channels": 1,
    "width": 4,
    "projection_hidden": 16,
    "projection_size": 8,
    "hashes": 32,
    "temperature": 0.1,
    "mu": "share",
    "share_factor": 0.6,
    "crop_scale": (0.6, 1.0),
    "blur": 0.0,
    "epochs": 3,
    "batch": 8,
    "lr": 0.03,
    "precision": "float32",
}


TINY_VIDEOS: dict[str, Any] = {
    "preset": "quick-videos",
    "px": 14,
    "width": 4,
    "clip_seconds": 0.25,
    "clip_frames": 2,
    "clips": 2,
    "places": 3,
    "sound_seconds": 0.4,
    "sound_offset_seconds": 0.05,
    "mels": 16,
    "fusion_size": 16,
    "projection_hidden": 16,
    "projection_size": 8,
    "hashes": 32,
    "epochs": 2,
    "warmup_epochs": 0,
    "batch": 8,
    "lr": 0.03,
    "temperature": 0.5,
    "precision": "float32",
}


EVERY_STAGE: list[dict[str, Any]] = [
    {},
    {"pairs": "rank"},
    {"pairs": "cosine"},
    {"pairs": "nearest"},
    {"method": "rs", "pretraining": "none"},
    {"method": "rs-ll", "pretraining": "none", "pairs": "wta"},
    {"method": "dtc", "pretraining": "labels"},
    {"method": "mcl", "pretraining": "none"},
    {"method": "kmeans", "pretraining": "cl"},
    {"method": "kmeans", "pretraining": "rotnet"},
]
"""Settings that have all stages and all kinds of pairs between them."""


def tiny_config(**changed: Any) -> Config:
    """The settings of a run that learns little, but all of whose parts are at work."""
    return make_config(**TINY | changed)


def flags(**settings: Any) -> list[str]:
    """Settings as command-line arguments."""
    arguments = []
    for name, value in settings.items():
        values = value if isinstance(value, tuple) else (value,)
        arguments += ["--" + name.replace("_", "-"), *map(str, values)]
    return arguments


def discover_command(data: Path, out: Path, num_novel: int = 2, **changed: Any) -> list[str]:
    """The command line of a tiny run."""
    return _discover_command("images", data, out, num_novel, TINY | changed)


def discover_videos_command(data: Path, out: Path, num_novel: int = 2, **changed: Any) -> list[str]:
    """The command line of a tiny run on videos."""
    return _discover_command("videos", data, out, num_novel, TINY_VIDEOS | changed)


def _discover_command(
    kind: str, data: Path, out: Path, num_novel: int, settings: dict[str, Any]
) -> list[str]:
    settings = {"workers": 0, "checkpoint_seconds": 0} | settings
    command = ["discover", kind, data, "--num-novel", num_novel, "--out", out]
    return [*map(str, command), "--quiet", *flags(**settings)]


def newfound(*arguments: object) -> int:
    """The exit code of the command line; whatever way it ends, no exception comes out."""
    try:
        return run_command_line([str(argument) for argument in arguments])
    except SystemExit as stop:
        assert isinstance(stop.code, int)
        return stop.code


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums are split among threads, so runs are only compared bit for bit at one count."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def tensors(run: Path) -> dict[str, Tensor]:
    """The saved model: weights, batch statistics, WTA windows, calibration."""
    return load_file(run / "model.safetensors")


def epoch_records(run: Path) -> list[dict[str, Any]]:
    """The log's epochs without their timings."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    timings = ("seconds", "items_per_second")
    return [
        {name: value for name, value in record.items() if name not in timings}
        for record in records
        if record["event"] == "epoch"
    ]


def events(run: Path) -> list[str]:
    """What the log holds, in order."""
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["event"] for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    """Same weights, log, items and categories, to the last bit."""
    ours, theirs = tensors(one), tensors(other)
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different
    assert epoch_records(one) == epoch_records(other)
    for name in ("items.csv", "categories.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
