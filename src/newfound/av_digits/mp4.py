"""Writing a small video with sound: H.264 and AAC in an mp4 file, the same bytes every time."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

X264 = {"preset": "ultrafast", "crf": "30", "threads": "1", "bf": "0"}
KEY_FRAME_SECONDS = 1
LUMA = (16 + np.arange(256) * (219 / 255)).round().astype(np.uint8)
"""Video keeps 0 to 255 as 16 to 235."""
AAC = {"aac_coder": "fast", "flags": "+bitexact"}
AAC_BITS_PER_SECOND = 64_000


def write_mp4(
    path: Path,
    brightness: NDArray[np.uint8],
    tint: tuple[int, int],
    frames_per_second: int,
    sound: NDArray[np.int16],
    sound_rate: int,
) -> None:
    """Encode frames and sound, one thread each, without date or program in the metadata.

    brightness: (T, H, W) uint8, even H and W.  tint: the whole picture's Cb and Cr, 128 is grey.
    sound: (samples,) int16, mono, from the same moment on as the picture.
    Raises OSError if the file cannot be written.
    """
    exact = {"fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", container_options=exact) as container:
        picture_stream = container.add_stream("libx264", frames_per_second, options=X264)
        picture_stream.height, picture_stream.width = brightness.shape[1:]
        picture_stream.pix_fmt = "yuv420p"
        picture_stream.gop_size = KEY_FRAME_SECONDS * frames_per_second
        sound_stream = container.add_stream("aac", sound_rate, options=AAC, layout="mono")
        sound_stream.bit_rate = AAC_BITS_PER_SECOND
        # The muxer holds the sound back until the pictures of its time are there
        for heard in _sound_frames(sound, sound_rate):
            container.mux(sound_stream.encode(heard))
        container.mux(sound_stream.encode(None))
        for seen in _picture_frames(brightness, tint):
            container.mux(picture_stream.encode(seen))
        container.mux(picture_stream.encode(None))


def _picture_frames(brightness: NDArray[np.uint8], tint: tuple[int, int]) -> Iterator[VideoFrame]:
    height, width = brightness.shape[1:]
    chroma = np.repeat(np.array(tint, np.uint8), height * width // 4).reshape(-1, width)
    for number, luma in enumerate(LUMA[brightness]):
        frame = VideoFrame.from_ndarray(np.concatenate([luma, chroma]), format="yuv420p")
        frame.pts = number
        yield frame


def _sound_frames(sound: NDArray[np.int16], rate: int) -> Iterator[AudioFrame]:
    """The encoder takes 1,024 samples at a time, as planar floats."""
    planar = (sound.astype(np.float32) / 32_768)[None]
    for start in range(0, len(sound), 1024):
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(planar[:, start : start + 1024]), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame
