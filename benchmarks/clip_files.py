"""Videos to decode, made: small digits that move, and films as from the web."""

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from newfound.av_digits.make import make_av_digits

CAMERA_SECONDS, CAMERA_RATE, CAMERA_WIDTH, CAMERA_HEIGHT = 10, 30, 640, 360
SOUND_RATE = 44_100
X264 = {"preset": "veryfast", "crf": "23", "threads": "1"}
"""With x264's own 250 frames between key frames and its B-frames, as films from the web have."""


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
