"""Decoded sound of any rate, format and number of channels to mono samples at exact places."""

from collections.abc import Iterable, Iterator

import numpy as np
from av import AudioFrame, AudioResampler
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

SILENT_UP_TO = 3
"""Samples of at most this size, of 32,768 (-81 dB), count as silence: a lossy codec makes them
of nothing."""

_JUMP_SECONDS = 0.02  # time stamps may be rounded to milliseconds; more is a gap


def is_silent(samples: NDArray[np.int16]) -> bool:
    """Whether there is nothing to hear in these samples."""
    return not np.any((samples > SILENT_UP_TO) | (samples < -SILENT_UP_TO))


def placed(
    pieces: Iterable[tuple[float, NDArray[np.int16]]], start_seconds: float, samples: int, rate: int
) -> NDArray[np.int16]:
    """(samples,) int16 from `start_seconds` on: each piece at its time, and 0 where there is none.

    pieces: (seconds of the first sample, samples), rising; no more are taken than needed.
    """
    window = np.zeros(samples, dtype=np.int16)
    for seconds, piece in pieces:
        first = round((seconds - start_seconds) * rate)
        if first >= samples:
            break
        inside = piece[max(-first, 0) : samples - first]
        at = max(first, 0)
        window[at : at + len(inside)] = inside
    return window


def resampled(frames: Iterable[AudioFrame], rate: int) -> Iterator[tuple[float, NDArray[np.int16]]]:
    """Pieces of mono sound: (seconds of the first sample by the file's clock, (n,) int16).

    Channels are mixed by FFmpeg's weights (stereo: half of each). Frames that follow one another
    are resampled in one run, so that no seam is heard and no rounding adds up; a gap or another
    format begins a new one. Frames stamped earlier than what has come are left out, as pictures
    are.
    """
    run: _Run | None = None
    for frame in frames:
        if run is not None and run.is_before_its_end(frame):
            continue
        if run is None or not run.goes_on_with(frame):
            if run is not None:
                yield from run.pieces(None)
            run = _Run(frame, rate)
        yield from run.pieces(frame)
    if run is not None:
        yield from run.pieces(None)


class _Run:
    """Sound without a gap. Samples are counted from its first time stamp on."""

    def __init__(self, first: AudioFrame, rate: int) -> None:
        self.rate = rate
        self.kind = _kind(first)
        self.start_seconds = first.time or 0.0
        self.samples_in = 0
        self.samples_out = 0
        self.resampler = AudioResampler(format="s16", layout="mono", rate=rate)

    def goes_on_with(self, frame: AudioFrame) -> bool:
        if _kind(frame) != self.kind:
            return False
        return frame.time is None or frame.time - self.end_seconds < _JUMP_SECONDS

    def is_before_its_end(self, frame: AudioFrame) -> bool:
        return frame.time is not None and frame.time - self.end_seconds <= -_JUMP_SECONDS

    @property
    def end_seconds(self) -> float:
        """Where the next frame is expected."""
        return self.start_seconds + self.samples_in / self.kind[0]

    def pieces(self, frame: AudioFrame | None) -> Iterator[tuple[float, NDArray[np.int16]]]:
        """What comes out for one more frame; for None, the rest that the filter held back."""
        if frame is not None:
            self.samples_in += frame.samples
        for out in self.resampler.resample(frame):
            if out is None:  # how a resampler with nothing to do ends
                return
            piece = out.to_ndarray()[0]
            yield self.start_seconds + self.samples_out / self.rate, piece
            self.samples_out += len(piece)


def _kind(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.format.name, frame.layout.name
