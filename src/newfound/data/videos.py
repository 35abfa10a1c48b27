"""Videos through PyAV: what is on display at given times, and the sound around them.

Times are seconds by one clock, whose 0 is the first time stamp of the picture (of the sound in a
file without a picture). Time stamps decide everything; frame rates play no part.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain, dropwhile, takewhile
from time import monotonic
from typing import IO, Any, TypeVar

import av
import numpy as np
import torch
from av import AudioFrame, AudioStream, Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from newfound.data.sound import SAMPLE_RATE, is_silent, placed, resampled
from newfound.data.source import UnreadableError
from newfound.data.stored import Stored
from newfound.data.words import reason_of
from newfound.errors import StoreError

FORMATS = ("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg")
"""The containers that are opened, whatever the file is called: mp4 is "mov", webm "matroska", wmv
"asf". All keep their streams within themselves; playlists, which name other files and hosts, are
not among them."""

MAX_PIXELS = 2**26
"""Frames of more pixels than 8192 x 8192 are refused undecoded."""

MAX_DECODED_PIXELS = 2**33
"""One clip may cost that much decoding: 1,000 frames of 3840 x 2160, some 20 s of one core. Small
frames count as 256 x 256."""

LEAST_SAMPLE_RATE = 1_000
"""Sound of fewer samples a second is refused: minutes of it are in every frame, and would all be
resampled at once."""

MAX_PACKETS = 200_000
"""Each look into a file, see `MAX_SECONDS`, may cost that much reading."""

MAX_SECONDS = 60.0
"""Opening a file may take that long by the clock, and so may each look into it after that: for its
end, for a clip's frames, for a clip's sound. These take milliseconds; what `MAX_DECODED_PIXELS`
allows takes some 20 s. A file that takes longer is out for good, with the reason, when the items
are read at the start of a run, so that no clock decides what is trained on."""

_LEAST_PIXELS = 256 * 256
_STEPS_BACK_SECONDS = (0.0, 1.0, 5.0, 25.0, math.inf)
_WARM_UP_SECONDS = 0.3  # what MP3, the slowest to start, needs to decode without a trace of it
_BEFORE_ALL_SECONDS = 10.0
_LATEST_SECONDS = 1e9  # time stamps are 64 bits, in units as small as a nanosecond

_CONTAINER_OPTIONS = {
    "format_whitelist": ",".join(FORMATS),
    "protocol_whitelist": "none",  # the file is handed over open; nothing else may be opened
}
_DECODER_OPTIONS = {"max_pixels": str(MAX_PIXELS)}

_REASONS: dict[type[Exception], str] = {
    av.error.ArgumentError: "not a video of a supported format",  # it is not on the whitelist
    av.error.InvalidDataError: "not a video that FFmpeg reads, or cut short",
    av.error.EOFError: "cut short",
    FileNotFoundError: "no such file",
    PermissionError: "permission denied",
    MemoryError: "not enough memory to decode it",
}

_TOO_SLOW = f"it takes longer than {MAX_SECONDS:g} s to read"

_Frame = TypeVar("_Frame", VideoFrame, AudioFrame)


class _UnusableError(Exception):
    """A video cannot give what is asked of it; the text is the reason that a user reads."""


@contextmanager
def opened(files: Stored, i: int) -> Iterator["Video"]:
    """Video i, to read from; what goes wrong while it is open raises UnreadableError, too.

    Only regular files are opened, and nothing that they may refer to.
    """
    allowance = _Allowance()
    try:
        with (
            files.open(i) as file,
            av.open(
                _TimedFile(file, files.name(i), allowance),
                mode="r",
                options=_DECODER_OPTIONS,
                container_options=_CONTAINER_OPTIONS,
                metadata_errors="replace",
            ) as container,
        ):
            yield Video(container, allowance)
    except StoreError:  # which says nothing of the video
        raise
    except (_UnusableError, OSError, ValueError, MemoryError, av.FFmpegError) as error:
        reason = _TOO_SLOW if allowance.is_over() else reason_of(error, _REASONS)
        raise UnreadableError(reason, files.name(i)) from error


class Video:
    """An open video.

    picture, track: its first picture stream (a cover is none) and its first sound track that
    FFmpeg can decode, or None.
    """

    def __init__(self, container: InputContainer, allowance: "_Allowance") -> None:
        self.picture = next(filter(_is_picture, container.streams.video), None)
        self.track = next(filter(_has_decoder, container.streams.audio), None)
        self._container = container
        self._reformatter = VideoReformatter()
        self._allowance = allowance
        guide = self.picture or self.track
        if guide is None:
            raise _UnusableError("neither picture nor sound in it that FFmpeg decodes")
        self._guide: VideoStream | AudioStream = guide
        self._zero_seconds = float((guide.start_time or 0) * _time_base(guide))
        if self.picture is not None:
            _prepare(self.picture)

    def duration_seconds(self) -> float:
        """From second 0 to the end of the last frame that can be read; of the sound, without a
        picture. The last packets are looked at: what a file claims may be wrong.
        """
        self._allowance.renew()
        claimed = (self._container.duration or 0) / av.time_base or _LATEST_SECONDS
        for back in _STEPS_BACK_SECONDS:
            packets = self._packets(self._guide, claimed - back)
            end = max(map(_end, packets), default=-math.inf)
            if end > -math.inf:
                return end * float(_time_base(self._guide)) - self._zero_seconds
        raise _UnusableError("cut short before its first frame")

    def frames(
        self,
        start_seconds: float,
        clip_seconds: float,
        frames: int,
        side: int,
        across: float = 0.5,
        until_seconds: float = math.inf,
    ) -> Tensor:
        """(3, frames, side, side) uint8 RGB: what is on display from `start_seconds` on, in the
        middle of each of `frames` equal intervals of `clip_seconds`.

        On display at a time is the last frame whose stamp is not later; before the first frame it
        is the first, and after the last one the last stands still, as does at `until_seconds` the
        one before it. Frames stamped no later than one before them are left out, and so is what
        cannot be decoded.

        Frames are turned upright (by quarters; mirroring is ignored), their pixels made square
        and the shorter side resized to `side`, bicubic with antialiasing. The square is cut from
        the longer side, `across` of the way from the left or the top: 0 to 1, 0.5 = the middle.

        Decodes from the last key frame before `start_seconds` on.
        """
        interval_seconds = clip_seconds / frames
        latest_seconds = math.nextafter(until_seconds, -math.inf)
        times = [
            min(start_seconds + (k + 0.5) * interval_seconds, latest_seconds) for k in range(frames)
        ]
        pixels = np.empty((3, frames, side, side), dtype=np.uint8)
        converted: VideoFrame | None = None
        for k, frame in enumerate(self._shown(times)):
            if frame is converted:
                pixels[:, k] = pixels[:, k - 1]
            else:
                pixels[:, k] = self._square(frame, side, across).transpose(2, 0, 1)
                converted = frame
        return torch.from_numpy(pixels)

    def sound(self, start_seconds: float, seconds: float) -> NDArray[np.int16]:
        """(round(seconds * 16,000),) int16 mono: sample k is heard at start_seconds + k / 16,000.

        0 where the track has nothing: before it begins, after it ends, and in its gaps.
        """
        pieces = self._pieces(start_seconds)
        return placed(pieces, start_seconds, round(seconds * SAMPLE_RATE), SAMPLE_RATE)

    def is_heard(self, start_seconds: float, seconds: float) -> bool:
        """Whether there is more than silence in these seconds. Decodes up to the first of it."""
        end_seconds = start_seconds + seconds
        pieces = takewhile(lambda piece: piece[0] < end_seconds, self._pieces(start_seconds))
        return any(at >= start_seconds and not is_silent(samples) for at, samples in pieces)

    def _shown(self, times: Sequence[float]) -> Iterator[VideoFrame]:
        """The frame on display at each of the times, which rise."""
        frames = self._frames_from(times[0])
        shown = next(frames)
        following = next(frames, None)
        for time in times:
            while following is not None and self._clock(following) <= time:
                shown, following = following, next(frames, None)
            yield shown

    def _frames_from(self, seconds: float) -> Iterator[VideoFrame]:
        """Frames in order of time; the first is not after `seconds`, unless all are."""
        self._allowance.renew()
        picture = self._the_picture()
        for back in _STEPS_BACK_SECONDS:  # not every container's index leads where it should
            is_start = seconds - back <= 0
            packets = self._packets(picture, seconds - back)
            frames = self._in_order(_decoded(picture, picture.decode, packets))
            first = next(frames, None)
            if first is not None and (is_start or self._clock(first) <= seconds):
                return chain([first], frames)
        raise _UnusableError("not one frame of it can be decoded")

    def _in_order(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        latest = -math.inf
        for frame in frames:
            self._allowance.take_frame(frame)
            if frame.time is not None and frame.time > latest:
                latest = frame.time
                yield frame

    def _pieces(self, start_seconds: float) -> Iterator[tuple[float, NDArray[np.int16]]]:
        """Mono sound as (seconds of its first sample, samples), from before `start_seconds` on."""
        if self.track is None:
            raise _UnusableError("no sound in it")
        if 0 < self.track.rate < LEAST_SAMPLE_RATE:
            raise _UnusableError(f"sound of only {self.track.rate} samples a second")
        self._allowance.renew()
        packets = self._sound_packets(self.track, start_seconds - _WARM_UP_SECONDS)
        frames = _decoded(self.track, self.track.decode, packets)
        for seconds, samples in resampled(frames, SAMPLE_RATE):
            yield seconds - self._zero_seconds, samples

    def _sound_packets(self, track: AudioStream, seconds: float) -> "Iterator[Packet[Any]]":
        """The track's packets from the one at `seconds` on."""
        wanted = (self._zero_seconds + seconds) / float(_time_base(track))
        for back in _STEPS_BACK_SECONDS:
            packets = self._packets(track, seconds - back)
            first = next(packets, None)
            is_start = seconds - back <= 0
            if is_start or (first is not None and _start(first) <= wanted):
                break
        return dropwhile(
            lambda packet: _end(packet) < wanted, chain(filter(None, [first]), packets)
        )

    def _packets(
        self, stream: VideoStream | AudioStream, seconds: float
    ) -> "Iterator[Packet[Any]]":
        """The stream's packets from about the last key frame before `seconds` on.

        Where a file is damaged it may end early; the steps back cope with that.
        """
        self._seek(stream, seconds)
        packets = self._container.demux(stream)
        with suppress(av.FFmpegError, IndexError):  # PyAV's, at the end, if a stream turned up late
            for packet in packets:
                self._allowance.take_packet()
                if packet.size > 0:  # the last one is empty: a sign to flush, as _decoded does
                    yield packet
        self._allowance.check_time()  # beyond it the file only seems to end

    def _seek(self, stream: VideoStream | AudioStream, seconds: float) -> None:
        """Go to the picture's last key frame before `seconds`, or to the stream's beginning."""
        if seconds <= 0 and self._can_seek(stream, -_BEFORE_ALL_SECONDS):
            return  # a search for 0 itself may end shortly after it
        if not self._can_seek(self._guide, min(max(seconds, 0.0), _LATEST_SECONDS)):
            raise _UnusableError("FFmpeg cannot seek in it")

    def _can_seek(self, stream: VideoStream | AudioStream, seconds: float) -> bool:
        stamp = (self._zero_seconds + seconds) / _time_base(stream)
        try:
            self._container.seek(int(stamp), stream=stream)
        except (av.FFmpegError, OverflowError):  # the latter for absurd time stamps
            return False
        return True

    def _square(self, frame: VideoFrame, side: int, across: float) -> NDArray[np.uint8]:
        """(side, side, 3); see `frames`."""
        width, height = self._with_square_pixels(frame.width, frame.height)
        scale = side / min(width, height)
        width, height = max(side, round(width * scale)), max(side, round(height * scale))
        if width * height > MAX_PIXELS:
            raise _UnusableError(f"its picture is a strip of {frame.width} x {frame.height} pixels")
        scaled = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=Interpolation.BICUBIC, threads=1
        )
        upright = np.rot90(np.asarray(scaled.to_ndarray(), np.uint8), _quarter_turns(frame))
        top, left = (round(across * (length - side)) for length in upright.shape[:2])
        return upright[top : top + side, left : left + side]

    def _with_square_pixels(self, width: int, height: int) -> tuple[int, int]:
        """The size of an unturned frame on display: DVDs and some cameras stretch their pixels."""
        aspect = self._the_picture().sample_aspect_ratio or Fraction(1)
        return max(round(width * aspect), 1), height

    def _the_picture(self) -> VideoStream:
        if self.picture is None:
            raise _UnusableError("no picture in it")
        return self.picture

    def _clock(self, frame: VideoFrame) -> float:
        assert frame.time is not None, "_in_order leaves out frames without a time stamp"
        return frame.time - self._zero_seconds


class _Allowance:
    """What is left of what one look into a file may cost."""

    def __init__(self) -> None:
        self._until_seconds = math.inf
        self.renew()

    def renew(self) -> None:
        """The last look was in time, and another one begins."""
        self.check_time()
        self._pixels = MAX_DECODED_PIXELS
        self._packets = MAX_PACKETS
        self._until_seconds = monotonic() + MAX_SECONDS

    def take_frame(self, frame: VideoFrame) -> None:
        self._pixels -= max(frame.width * frame.height, _LEAST_PIXELS)
        if self._pixels < 0:
            raise _UnusableError("too much to decode for one clip, its key frames are too rare")

    def take_packet(self) -> None:
        self._packets -= 1
        if self._packets < 0:
            raise _UnusableError(f"more than {MAX_PACKETS:,} packets to read for one clip")
        self.check_time()

    def check_time(self) -> None:
        if self.is_over():
            raise _UnusableError(_TOO_SLOW)

    def is_over(self) -> bool:
        return monotonic() > self._until_seconds


class _TimedFile:
    """An open file that seems to end when the time is over, in whatever search of FFmpeg's.

    An error instead would be printed by PyAV, each time that FFmpeg tries again. av.open's own
    time-out is not heeded for a file that is handed over open.

    name: without folders: FFmpeg goes by its ending, too, where the content leaves a doubt.
    """

    def __init__(self, file: IO[bytes], name: str, allowance: _Allowance) -> None:
        self.name = name.rpartition("/")[2]
        self.seek = file.seek
        self.tell = file.tell
        self._read = file.read
        self._allowance = allowance

    def read(self, size: int) -> bytes:
        return b"" if self._allowance.is_over() else self._read(size)


def _has_decoder(stream: Stream) -> bool:
    return stream.codec_context is not None


def _is_picture(stream: Stream) -> bool:
    return _has_decoder(stream) and not stream.disposition & Disposition.attached_pic


def _prepare(picture: VideoStream) -> None:
    """Bound what decoding takes: one thread, as every worker has one core, and no giant frames."""
    context = picture.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise _UnusableError(
            f"frames of more than {MAX_PIXELS:,} pixels, too large: make them smaller"
        )
    context.thread_count = 1
    context.options = _DECODER_OPTIONS  # the size may change half-way


def _decoded(
    stream: Stream,
    decode: Callable[["Packet[Any] | None"], list[_Frame]],
    packets: "Iterable[Packet[Any]]",
) -> Iterator[_Frame]:
    """What comes out of the stream's decoder; damaged packets are skipped."""
    time_base = _time_base(stream)  # made anew at each look: too dear for every frame
    for packet in chain(packets, [None]):
        with suppress(av.FFmpegError):
            for frame in decode(packet):
                frame.time_base = time_base  # the last ones, of no packet, lack it
                yield frame


def _time_base(stream: Stream) -> Fraction:
    assert stream.time_base is not None, "every demuxer sets it"
    return stream.time_base


def _start(packet: "Packet[Any]") -> float:
    """In units of the stream's time base; -inf for a packet without time stamps."""
    stamp = packet.dts if packet.pts is None else packet.pts
    return -math.inf if stamp is None else stamp


def _end(packet: "Packet[Any]") -> float:
    """See _start. A picture of unknown duration is taken to last as long as they do on average."""
    stream = packet.stream
    if not packet.duration and isinstance(stream, VideoStream) and stream.average_rate:
        return _start(packet) + float(1 / (stream.average_rate * _time_base(stream)))
    return _start(packet) + (packet.duration or 0)


def _quarter_turns(frame: VideoFrame) -> int:
    """How often to turn a frame by 90 degrees, counter-clockwise; never by what is no angle."""
    return round(frame.rotation / 90) % 4 if abs(frame.rotation) <= 360 else 0
