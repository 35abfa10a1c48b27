"""Clips of videos in files or shards: a second of frames, and the sound around it."""

import hashlib
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from newfound.data.sound import SAMPLE_RATE, is_silent
from newfound.data.source import Kind, UnreadableError
from newfound.data.stored import Stored, stored
from newfound.data.videos import Video, opened
from newfound.errors import InputError

LISTENED_SECONDS = 60.0
"""How much of an item is listened to before it is taken to be silent."""


@dataclass(frozen=True)
class ClipShape:
    """What to take from a video. The defaults are the paper's (section 4, at 112 pixels).

    clip_seconds, frames, side: `frames` squares of `side` pixels, spread over `clip_seconds`.
    sound_seconds, sound_offset_seconds: sound of sound_seconds + 2 * sound_offset_seconds with
    the same middle, so that sound_seconds of it may begin up to the offset earlier or later.
    """

    modalities: Literal["both", "visual", "audio"] = "both"
    clip_seconds: float = 1.0
    frames: int = 16
    side: int = 128
    sound_seconds: float = 2.0
    sound_offset_seconds: float = 0.5

    @property
    def heard_seconds(self) -> float:
        """How long the sound of a clip is."""
        return self.sound_seconds + 2 * self.sound_offset_seconds


@dataclass(frozen=True)
class Clip:
    """pixels: (3, frames, side, side) uint8, or None without pictures.

    sound: (round(heard_seconds * 16,000),) int16 mono, or None without sound.  heard: False where
    the whole item has no sound, see `ClipFiles.load_clip`; None exactly where sound is None.
    """

    pixels: Tensor | None
    sound: Tensor | None
    heard: bool | None


class ClipFiles:
    """Videos in files, of their own or within shards, each whole or from one second to another.

    start_seconds, end_seconds: (n,) seconds of the file's clock between which each item lies, as
    Kinetics-400's and VGG-Sound's tables have them; NaN, or None for all, is the file's own end.
    An end beyond the file's is the file's. Raises InputError for a negative start and for an end
    that is not after its start.
    """

    kind: Kind = "videos"

    def __init__(
        self,
        files: Stored | Iterable[str | bytes | os.PathLike[str]],
        start_seconds: NDArray[np.float64] | None = None,
        end_seconds: NDArray[np.float64] | None = None,
    ) -> None:
        self.files = stored(files)
        self.start_seconds = _seconds_or_nan(start_seconds, len(self.files))
        self.end_seconds = _seconds_or_nan(end_seconds, len(self.files))
        self._check_spans()

    def __len__(self) -> int:
        return len(self.files)

    def load_clip(self, i: int, at: float, across: float, shape: ClipShape) -> Clip:
        """A clip of item i.

        at: where in the item the clip begins, from 0 = at its start to 1 = so late that it ends
        with the item. A clip longer than its item begins with it, and the last frame stands still.
        across: where the square is cut from the longer side, 0 to 1, 0.5 = the middle.

        Sound from before start_seconds or after end_seconds is another item's, and 0 here. An
        item is heard unless it has no sound track, or its first `LISTENED_SECONDS` and the sound
        of this clip are silence (`sound.SILENT_UP_TO`); a quiet clip of an item with sound is
        heard.

        The file is opened anew for every clip. Decoders keep traces of what they decoded before
        (the noise that AAC makes up, the samples that Opus drops at first, what stands in for a
        damaged picture), so a clip would depend on which others were read before it, and kept
        clips would differ from streamed ones.

        Raises UnreadableError, also if the item begins after the end of its file, and StoreError.
        """
        begin_seconds: float | None = None
        try:
            with opened(self.files, i) as video:
                start_seconds, end_seconds = self._span(i, video)
                latest = max(end_seconds - start_seconds - shape.clip_seconds, 0.0)
                begin_seconds = start_seconds + at * latest
                pixels = sound = heard = None
                if shape.modalities != "audio":
                    pixels = video.frames(
                        begin_seconds,
                        shape.clip_seconds,
                        shape.frames,
                        shape.side,
                        across,
                        until_seconds=end_seconds,
                    )
                if shape.modalities != "visual":
                    middle_seconds = begin_seconds + shape.clip_seconds / 2
                    samples = self._sound(
                        i, video, middle_seconds - shape.heard_seconds / 2, shape.heard_seconds
                    )
                    sound = torch.from_numpy(samples)
                    heard = not is_silent(samples) or _is_heard(video, start_seconds, end_seconds)
        except UnreadableError as error:
            error.at_seconds = begin_seconds
            raise
        return Clip(pixels, sound, heard)

    def stamps(self) -> NDArray[np.int64]:
        """(n,) numbers that change with an item: sizes in bytes, mixed with the span if any."""
        stamps = self.files.stamps()
        spans = np.stack([self.start_seconds, self.end_seconds], axis=1)
        for i in np.flatnonzero(~np.isnan(spans).all(axis=1)):
            stamps[i] = zlib.crc32(spans[i].tobytes(), stamps[i] & 0xFFFFFFFF)
        return stamps

    def marks(self) -> NDArray[np.uint64]:
        """See Marked: of the files, mixed with the span if any."""
        marks = self.files.marks()
        spans = np.stack([self.start_seconds, self.end_seconds], axis=1)
        for i in np.flatnonzero(~np.isnan(spans).all(axis=1) & (marks != 0)):
            whole = hashlib.blake2b(spans[i].tobytes() + marks[i].tobytes(), digest_size=8)
            marks[i] = int.from_bytes(whole.digest())
        return marks

    def place(self) -> str:
        """See Marked."""
        return self.files.place()

    def subset(self, rows: NDArray[np.int64]) -> "ClipFiles":
        """The items of these rows, in their order."""
        return ClipFiles(self.files.subset(rows), self.start_seconds[rows], self.end_seconds[rows])

    def name(self, i: int) -> str:
        """Where video i lies, printable."""
        return self.files.name(i)

    def path(self, i: int) -> str:
        """See Stored. Raises InputError for a video in a shard."""
        return self.files.path(i)

    def _check_spans(self) -> None:
        is_wrong = (self.start_seconds < 0) | (self.end_seconds <= np.fmax(self.start_seconds, 0))
        for i in np.flatnonzero(is_wrong)[:1]:
            raise InputError(
                f"{self.name(i)} is to be used from second {self.start_seconds[i]:g} "
                f"to {self.end_seconds[i]:g}; start_seconds has to be 0 or more and end_seconds "
                "later than that; leave either empty for the file's own"
            )

    def _span(self, i: int, video: Video) -> tuple[float, float]:
        """(start, end) of item i in seconds of the file's clock."""
        file_end_seconds = video.duration_seconds()
        start_seconds = float(np.fmax(self.start_seconds[i], 0.0))
        if start_seconds >= file_end_seconds > 0:
            raise UnreadableError(
                f"it is to start at second {start_seconds:g}, but ends at {file_end_seconds:g}",
                self.name(i),
            )
        return start_seconds, float(np.fmin(self.end_seconds[i], file_end_seconds))

    def _sound(
        self, i: int, video: Video, start_seconds: float, seconds: float
    ) -> NDArray[np.int16]:
        """Sound of item i alone: 0 where there is none, and outside of the item."""
        samples = round(seconds * SAMPLE_RATE)
        if video.track is None:
            return np.zeros(samples, dtype=np.int16)
        sound = video.sound(start_seconds, seconds)
        at_seconds = start_seconds + np.arange(samples) / SAMPLE_RATE
        sound[(at_seconds < self.start_seconds[i]) | (at_seconds >= self.end_seconds[i])] = 0
        return sound


def evenly(n: int) -> list[float]:
    """`at` of n clips spread evenly, from the first to the last possible; of one, the middle."""
    return [k / (n - 1) for k in range(n)] if n > 1 else [0.5]


def _is_heard(video: Video, start_seconds: float, end_seconds: float) -> bool:
    if video.track is None:
        return False
    return video.is_heard(start_seconds, min(end_seconds - start_seconds, LISTENED_SECONDS))


def _seconds_or_nan(seconds: NDArray[np.float64] | None, n: int) -> NDArray[np.float64]:
    """(n,) float64."""
    if seconds is None:
        return np.full(n, np.nan)
    assert len(seconds) == n, "one for each path"
    return np.asarray(seconds, dtype=np.float64)
