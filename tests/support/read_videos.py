"""One look into a video file that is opened for it alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from newfound.data.stored import Files
from newfound.data.videos import opened


@dataclass(frozen=True)
class VideoInfo:
    duration_seconds: float
    has_picture: bool
    has_sound: bool


def probe(path: str) -> VideoInfo:
    """What is in a file, whose first frame is decoded."""
    with opened(Files([path]), 0) as video:
        if video.picture:
            video.frames(0.0, 0.0, 1, 8)
        return VideoInfo(
            video.duration_seconds(), video.picture is not None, video.track is not None
        )


def read_frames(
    path: str,
    start_seconds: float,
    clip_seconds: float,
    frames: int,
    side: int,
    across: float = 0.5,
) -> Tensor:
    """See `Video.frames`."""
    with opened(Files([path]), 0) as video:
        return video.frames(start_seconds, clip_seconds, frames, side, across)


def read_sound(path: str, start_seconds: float, seconds: float) -> NDArray[np.int16]:
    """See `Video.sound`."""
    with opened(Files([path]), 0) as video:
        return video.sound(start_seconds, seconds)
