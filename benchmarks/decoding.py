"""Decoding clips against its physical limit: PyAV decoding the very same windows, and no more.

Both take the same frames and the same sound of the same files in one process of one thread, as a
worker is, in turns. PyAV opens, seeks, decodes, and converts the frames to RGB and the sound to
16 kHz mono; where the window lies it is told. Ours also checks the file, finds out how long it
is, resizes the frames, bicubic with antialiasing, and puts every sample at its time.

    python benchmarks/decoding.py --out bench-decoding.json
"""

import argparse
import json
import math
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av import AudioFrame, AudioResampler, AudioStream, VideoFrame, VideoStream
from av.container import InputContainer
from numpy.typing import NDArray

from newfound.av_digits.make import make_av_digits
from newfound.config import PRESETS, VideoConfig, kind_of, make_config
from newfound.data.clip_loader import CENTRE, clip_shape
from newfound.data.clips import ClipFiles, ClipShape
from newfound.data.sound import SAMPLE_RATE
from newfound.data.videos import opened
from newfound.device import describe
from newfound.process import keep_freed_memory

CAMERA_SECONDS, CAMERA_RATE, CAMERA_WIDTH, CAMERA_HEIGHT = 10, 30, 640, 360
SOUND_RATE = 44_100
X264 = {"preset": "veryfast", "crf": "23", "threads": "1"}
"""With x264's own 250 frames between key frames and its B-frames, as films from the web have."""

VIDEO_PRESETS = [preset for preset in PRESETS if kind_of(preset) == "videos"]


def digit_files(folder: Path, count: int) -> list[Path]:
    """AV digits: 128 x 128, 10 to 30 frames a second, 2 to 6 s, a key frame every second."""
    make_av_digits(folder, bundled=True, per_class=math.ceil(count / 10))
    return sorted(folder.rglob("*.mp4"))[:count]


def camera_files(folder: Path, count: int) -> list[Path]:
    """Like Kinetics: 640 x 360, 30 frames a second, 10 s, 44.1 kHz stereo."""
    paths = [folder / f"{number}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        write_camera_file(path, np.random.default_rng(number))
    return paths


def write_camera_file(path: Path, random: np.random.Generator) -> None:
    """A camera moves over a coloured ground, with some grain, and hears noise."""
    ground = _ground(random)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", CAMERA_RATE, options=X264)
        picture.width, picture.height, picture.pix_fmt = CAMERA_WIDTH, CAMERA_HEIGHT, "yuv420p"
        track = container.add_stream("aac", SOUND_RATE, layout="stereo")
        noise = random.normal(0, 0.1, (2, CAMERA_SECONDS * SOUND_RATE)).astype(np.float32)
        for start in range(0, noise.shape[1], 1024):
            piece = np.ascontiguousarray(noise[:, start : start + 1024])
            heard = AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts = SOUND_RATE, start
            heard.time_base = Fraction(1, SOUND_RATE)
            container.mux(track.encode(heard))
        container.mux(track.encode(None))
        room = np.subtract(ground.shape[:2], (CAMERA_HEIGHT, CAMERA_WIDTH))
        for number in range(CAMERA_SECONDS * CAMERA_RATE):
            top, left = (room * (0.5 + 0.5 * np.sin(number / np.array([70, 50])))).astype(int)
            seen = ground[top : top + CAMERA_HEIGHT, left : left + CAMERA_WIDTH]
            grain = random.integers(-2, 3, (CAMERA_HEIGHT, CAMERA_WIDTH, 1))
            pixels = np.clip(seen + grain, 0, 255).astype(np.uint8)
            container.mux(picture.encode(VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(picture.encode(None))


def _ground(random: np.random.Generator) -> NDArray[np.int16]:
    """(540, 960, 3): clouds of many sizes."""
    size = (540, 960)
    clouds = torch.zeros(1, 3, *size)
    for octave in range(2, 8):
        grid = (1, 3, 9 * 2**octave // 4, 16 * 2**octave // 4)
        cloud = torch.from_numpy(random.normal(0, 60 / octave, grid)).float()
        clouds += torch.nn.functional.interpolate(cloud, size, mode="bicubic")
    return (128 + clouds[0].permute(1, 2, 0)).clamp(0, 255).short().numpy()


def plain_clip(path: Path, begin_seconds: float, shape: ClipShape) -> tuple[int, int]:
    """Decode a window with nothing but PyAV; how many frames and samples that gave."""
    frames = samples = 0
    with av.open(str(path)) as container:
        if shape.modalities != "audio":
            frames = len(plain_frames(container, begin_seconds, shape))
        if shape.modalities != "visual":
            middle_seconds = begin_seconds + shape.clip_seconds / 2
            start_seconds = middle_seconds - shape.heard_seconds / 2
            pieces = plain_sound(container, start_seconds, start_seconds + shape.heard_seconds)
            samples = sum(piece.shape[1] for piece in pieces)
    return frames, samples


def plain_frames(
    container: InputContainer, begin_seconds: float, shape: ClipShape
) -> list[NDArray[Any]]:
    """The frames on display at the times of a clip, each once and in its own size, RGB."""
    picture = container.streams.video[0]
    picture.codec_context.thread_count = 1
    interval_seconds = shape.clip_seconds / shape.frames
    times = [begin_seconds + (k + 0.5) * interval_seconds for k in range(shape.frames)]
    seek(container, picture, begin_seconds)
    pixels: list[NDArray[Any]] = []
    shown: VideoFrame | None = None
    for frame in container.decode(picture):
        if shown is not None and seconds_of(frame) > times[0]:
            pixels.append(shown.to_ndarray(format="rgb24"))
            times = [time for time in times if time >= seconds_of(frame)]
            if not times:
                return pixels
        shown = frame
    assert shown is not None, "every window begins before the last frame"
    return [*pixels, shown.to_ndarray(format="rgb24")]


def plain_sound(
    container: InputContainer, start_seconds: float, end_seconds: float
) -> list[NDArray[Any]]:
    """The sound between two times and what is left of its packets, 16 kHz mono."""
    track = container.streams.audio[0]
    resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
    seek(container, track, max(start_seconds, 0.0))
    pieces: list[NDArray[Any]] = []
    for frame in container.decode(track):
        if seconds_of(frame) >= end_seconds:
            break
        pieces += [out.to_ndarray() for out in resampler.resample(frame)]
    return pieces


def seek(container: InputContainer, stream: VideoStream | AudioStream, seconds: float) -> None:
    """To the last key frame before."""
    assert stream.time_base is not None and not stream.start_time, "as the files here are written"
    container.seek(int(seconds / stream.time_base), stream=stream)


def seconds_of(frame: VideoFrame | AudioFrame) -> float:
    """By the file's clock."""
    assert frame.time is not None, "as the files here are written"
    return frame.time


def _duration_seconds(path: Path) -> float:
    with opened(str(path)) as video:
        return video.duration_seconds()


def measured(paths: list[Path], shape: ClipShape, rounds: int) -> dict[str, object]:
    """The figures of some files, one window of each in each of `rounds` rounds after a first."""
    source = ClipFiles(paths)
    latest = [max(_duration_seconds(path) - shape.clip_seconds, 0.0) for path in paths]
    random = np.random.default_rng(0)
    ours: list[float] = []
    plain: list[float] = []
    for _ in range(rounds + 1):
        places = random.random(len(paths)).tolist()
        taken = [0.0, 0.0]
        for row, at in enumerate(places):
            works: list[Callable[[], object]] = [
                partial(source.load_clip, row, at, CENTRE, shape),
                partial(plain_clip, paths[row], at * latest[row], shape),
            ]
            for which, work in enumerate(works):
                taken[which] += seconds(work)
        ours.append(len(paths) / taken[0])
        plain.append(len(paths) / taken[1])
    ratios = [our / bare for our, bare in zip(ours[1:], plain[1:])]
    return {
        "files": len(paths),
        "clips_per_second": statistics.median(ours[1:]),
        "plain_clips_per_second": statistics.median(plain[1:]),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": statistics.quantiles(ratios, n=4),
    }


def seconds(work: Callable[[], object]) -> float:
    """CPU time of one call: what it takes on a core of its own, whatever else the machine does."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Make the videos, measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=Path("bench-decoding.json"))
    parser.add_argument("--preset", choices=VIDEO_PRESETS, default="videos")
    parser.add_argument("--modalities", choices=["both", "visual", "audio"], default="both")
    parser.add_argument("--files", type=int, default=20, help="of each kind")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()

    config = make_config(arguments.preset)
    assert isinstance(config, VideoConfig)
    shape = replace(clip_shape(config), modalities=arguments.modalities)
    keep_freed_memory()  # as the newfound command does
    torch.set_num_threads(1)  # as in a worker
    figures: dict[str, object] = {
        "preset": config.preset,
        "modalities": shape.modalities,
        "rounds": arguments.rounds,
        "hardware": describe(torch.device("cpu")),
        "av": av.__version__,
        "python": platform.python_version(),
    }
    print(f"clips per second of one process ({config.preset}, {shape.modalities}); ratio")
    for kind, make in {"digits": digit_files, "camera": camera_files}.items():
        with tempfile.TemporaryDirectory() as folder:
            paths = make(Path(folder), arguments.files)
            of_kind = measured(paths, shape, arguments.rounds)
        figures[kind] = of_kind
        print(
            f"{kind}: ours {of_kind['clips_per_second']:.1f}, "
            f"plain PyAV {of_kind['plain_clips_per_second']:.1f}; {of_kind['ratio']:.3f}"
        )
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
