"""Decoding clips against its physical limit: PyAV decoding the very same windows, and no more.

Both take the same frames and the same sound of the same files in one process of one thread, as a
worker is, in turns. PyAV opens, seeks, decodes, and converts the frames to RGB and the sound to
16 kHz mono; where the window lies it is told. Ours also checks the file, finds out how long it
is, resizes the frames, bicubic with antialiasing, and puts every sample at its time.
"""

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.clip_files import camera_files, digit_files
from benchmarks.clock import seconds
from benchmarks.plain_pyav import plain_clip
from benchmarks.results import CaseResult, Row, Size, speeds
from benchmarks.trainings import Modalities
from newfound.config import VideoConfig
from newfound.data.clip_loader import CENTRE, clip_shape
from newfound.data.clips import ClipFiles, ClipShape
from newfound.data.sound import SAMPLE_RATE
from newfound.data.stored import Files
from newfound.data.videos import opened
from newfound.machine.cores import compute_threads
from newfound.settings import make_config


@dataclass(frozen=True)
class Extent:
    """files: of each kind.  rounds: in each one window of every file."""

    files: int
    rounds: int
    modalities: tuple[Modalities, ...]


EXTENTS: dict[Size, Extent] = {
    "tiny": Extent(1, 2, ("both",)),
    "default": Extent(10, 5, ("both",)),
    "full": Extent(20, 10, ("both", "visual", "audio")),
}


def run(size: Size) -> CaseResult:
    """Both kinds of files, with the paper's clips."""
    extent = EXTENTS[size]
    config = make_config("videos")
    assert isinstance(config, VideoConfig)
    rows: list[Row] = []
    for kind, make in {"digits": digit_files, "camera": camera_files}.items():
        with tempfile.TemporaryDirectory() as folder:
            paths = make(Path(folder), extent.files)
            for modalities in extent.modalities:
                shape = replace(clip_shape(config), modalities=modalities)
                check(paths[0], shape)
                with compute_threads(1, config.width, config.px):  # as in a worker
                    rows.append(measured(f"{kind}, {modalities}", paths, shape, extent.rounds))
    notes = [
        "digits: AV digits, 128 x 128; camera: as Kinetics, 640 x 360, 30 frames/s, 10 s, a key "
        "frame every 250 frames; clips of the preset videos, in CPU time of one thread"
    ]
    return CaseResult(rows=rows, notes=notes)


def check(path: Path, shape: ClipShape) -> None:
    """Raise AssertionError unless both decode as many frames and as much sound of the first clip.

    Where a frame stands still ours repeats it, and PyAV gives the sound of whole packets.
    """
    ours = ClipFiles([path]).load_clip(0, 0.0, CENTRE, shape)
    frames, samples = plain_clip(path, 0.0, shape)
    if ours.pixels is not None:
        shown = 1 + int((ours.pixels.diff(dim=1) != 0).flatten(2).any(dim=2).any(dim=0).sum())
        assert shown <= frames <= shape.frames, "the same frames"
    if ours.sound is not None:
        assert samples > 0.4 * shape.heard_seconds * SAMPLE_RATE, "the same sound"


def measured(what: str, paths: list[Path], shape: ClipShape, rounds: int) -> Row:
    """One window of each file in each of `rounds` rounds after a first."""
    source = ClipFiles(paths)
    latest = [max(_duration_seconds(path) - shape.clip_seconds, 0.0) for path in paths]
    random = np.random.default_rng(0)
    taken: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        ours = plain = 0.0
        for row, at in enumerate(random.random(len(paths)).tolist()):
            cpu = torch.device("cpu")
            ours += seconds(partial(source.load_clip, row, at, CENTRE, shape), cpu)
            plain += seconds(partial(plain_clip, paths[row], at * latest[row], shape), cpu)
        taken.append((ours, plain))
    our_seconds, plain_seconds = zip(*taken[1:])
    return speeds(what, "clips/s", len(paths), our_seconds, "plain PyAV", plain_seconds)


def _duration_seconds(path: Path) -> float:
    with opened(Files([path]), 0) as video:
        return video.duration_seconds()
