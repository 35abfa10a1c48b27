"""Decoding a window of a video with nothing but PyAV: the physical limit of ours."""

from pathlib import Path
from typing import Any

import av
from av import AudioFrame, AudioResampler, AudioStream, VideoFrame, VideoStream
from av.container import InputContainer
from numpy.typing import NDArray

from newfound.data.clips import ClipShape
from newfound.data.sound import SAMPLE_RATE


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
