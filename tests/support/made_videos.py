"""Tiny videos whose every frame tells its own time, and whose sound clicks at known times."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ENCODER_OPTIONS = {  # no key frames but where they are wanted, for all that every frame is new
    "libx264": {"preset": "veryfast", "bf": "2", "sc_threshold": "0"},
    "mpeg2video": {"sc_threshold": "1000000000"},
}
CLICK_SECONDS = 0.004
ONLY_FRAME_SECONDS = 0.04


@dataclass(frozen=True)
class Picture:
    """A video stream. The k-th frame is plain grey of the level `grey_of_frame(k)`.

    times: of the frames, in seconds, rising.  split: the left half grey, the right half white.
    stretch: width of a pixel by its height.  clock: ticks a second, in which times are kept; old
    codecs and AVI know but the usual frame rates.
    """

    times: Sequence[float]
    width: int = 64
    height: int = 48
    codec: str = "libx264"
    key_every: int = 12
    split: bool = False
    stretch: Fraction = Fraction(1)
    clock: int = 1_000_000


@dataclass(frozen=True)
class Sound:
    """An audio stream of (channels, samples) float32 that begins at `start_seconds`."""

    samples: NDArray[np.float32]
    rate: int = 48_000
    start_seconds: float = 0.0
    codec: str = "aac"


def steady(seconds: float, rate: float = 12, start_seconds: float = 0.0) -> list[float]:
    """Times of frames at a constant rate."""
    return [start_seconds + k / rate for k in range(round(seconds * rate))]


def grey_of_frame(k: int) -> int:
    """Neighbours differ by more than any codec's error; comes round after 23 frames."""
    return 16 + (k * 97) % 23 * 10


def clicks(
    seconds: float, at_seconds: Sequence[float], rate: int = 48_000, channels: int = 1
) -> NDArray[np.float32]:
    """(channels, samples): silence but for short bursts of full loudness at these times."""
    sound = np.zeros((channels, round(seconds * rate)), dtype=np.float32)
    for at in at_seconds:
        start = round(at * rate)
        sound[:, start : start + round(CLICK_SECONDS * rate)] = 0.9
    return sound


def tone(
    seconds: float, hertz: float = 440, rate: int = 48_000, channels: int = 1
) -> NDArray[np.float32]:
    """(channels, samples): a sine of half the full scale in every channel."""
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.tile(wave.astype(np.float32), (channels, 1))


def write_video(
    path: Path,
    picture: Picture | None = None,
    sound: Sound | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode into the container that the name's ending says; returns the path.

    options: of FFmpeg's muxer.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        encoders = []
        if picture is not None:
            encoders.append(_picture_packets(container, picture))
        if sound is not None:
            encoders.append(_sound_packets(container, sound))
        packets = [packet for encoder in encoders for packet in encoder]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def turn(path: Path, degrees: int | None) -> Path:
    """Tell players of an mp4 to turn its picture clockwise, as a phone held upright does.

    None: by a matrix of zeros, which is no turn at all.
    """
    a, b = {None: (0, 0), 0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 4 + 8 + 12 + 16  # version, times, track, layer, volume
    struct.pack_into(">5i", content, matrix, a << 16, b << 16, 0, -b << 16, a << 16)
    path.write_bytes(content)
    return path


def cut(path: Path, share: float) -> Path:
    """Keep only the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    return path


def write_bad_videos(folder: Path) -> dict[str, str]:
    """Files that cannot be used as videos with sound, by name, each with the reason."""
    picture, sound = Picture(steady(1, 8), 32, 24), Sound(tone(1))
    cut(write_video(folder / "cut.mp4", picture, sound), 0.3)
    headed = write_video(folder / "header.mkv", picture, sound)
    content = headed.read_bytes()
    headed.write_bytes(content[: content.index(b"\x1f\x43\xb6\x75")])  # where the frames begin
    write_video(folder / "only_sound.mp4", None, sound)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("not a video " * 100)
    Image.new("RGB", (64, 64), "red").save(folder / "picture.png")
    (folder / "picture.png").rename(folder / "picture.mp4")
    return {
        "cut.mp4": "not a video that FFmpeg reads, or cut short",
        "header.mkv": "cut short",
        "only_sound.mp4": "no picture in it",
        "empty.mp4": "empty file",
        "text.mp4": "not a video that FFmpeg reads, or cut short",
        "picture.mp4": "not a video of a supported format",
    }


def _picture_packets(container: av.container.OutputContainer, picture: Picture) -> list[av.Packet]:
    stream = container.add_stream(picture.codec, rate=picture.clock)
    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
    tick = Fraction(1, picture.clock)
    stream.time_base = stream.codec_context.time_base = tick
    stream.codec_context.gop_size = picture.key_every
    stream.codec_context.sample_aspect_ratio = picture.stretch
    stream.codec_context.thread_count = 1
    stream.options = ENCODER_OPTIONS.get(picture.codec, {})
    stamps = [round(time / tick) for time in picture.times]
    gaps = np.diff(stamps).tolist() or [round(ONLY_FRAME_SECONDS / tick)]
    lasting = dict(zip(stamps, [*gaps, gaps[-1]]))
    packets = []
    for k, stamp in enumerate(stamps):
        pixels = np.full((picture.height, picture.width, 3), grey_of_frame(k), dtype=np.uint8)
        if picture.split:
            pixels[:, picture.width // 2 :] = 255
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = stamp, tick
        packets += stream.encode(frame)
    packets += stream.encode(None)
    for packet in packets:
        packet.duration = lasting.get(packet.pts, 1)
    return packets


def _sound_packets(container: av.container.OutputContainer, sound: Sound) -> list[av.Packet]:
    channels = len(sound.samples)
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[channels]
    stream = container.add_stream(sound.codec, rate=sound.rate, layout=layout)
    wanted = stream.codec_context.format.name
    start = round(sound.start_seconds * sound.rate)
    packets = []
    size = stream.codec_context.frame_size or 1024
    for at in range(0, sound.samples.shape[1], size):
        frame = av.AudioFrame.from_ndarray(
            _as_format(sound.samples[:, at : at + size], wanted), format=wanted, layout=layout
        )
        frame.sample_rate, frame.pts, frame.time_base = (
            sound.rate,
            start + at,
            Fraction(1, sound.rate),
        )
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _as_format(samples: NDArray[np.float32], name: str) -> NDArray[np.generic]:
    """Float samples as FFmpeg's format "fltp" (planes) or "s16" (interleaved in one row)."""
    if name == "fltp":
        return np.ascontiguousarray(samples)
    assert name == "s16", name
    return (samples.T.reshape(1, -1) * 32767).round().astype(np.int16)
