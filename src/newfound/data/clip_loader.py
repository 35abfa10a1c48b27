"""Clips of videos for training and evaluation, kept decoded or decoded anew.

Where a clip is taken from is a `Place`: evaluation sees `clips` evenly spread places of each
video. Training sees one place of each video in an epoch, drawn anew by (seed, epoch, row): one of
`places` evenly spread ones, so that all that is ever seen can be kept, or anywhere.

Both views of a training step come from one clip: one decode serves both, and what differs
between them is the crop, the colours, the piece of the sound and SpecAugment's masks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain, islice
from typing import NamedTuple

import av
import numpy as np
import torch
from torch import Tensor

from newfound.batch import Media
from newfound.config import Cache, VideoConfig
from newfound.data.clips import Clip, ClipFiles, ClipShape, evenly
from newfound.data.decoding import AHEAD, Bad, Chunk, Decoding, decoded, usable
from newfound.data.index import About
from newfound.data.items import Draw, Items
from newfound.data.known_readable import KnownReadable
from newfound.data.room import Room, choose_room
from newfound.data.skipped import Skipped, without_unusable
from newfound.data.sound import SAMPLE_RATE
from newfound.data.source import OnProgress, UnreadableError
from newfound.errors import InputError

CENTRE = 0.5

_CHUNK = 16  # clips a worker decodes at a time: a batch of the paper's, of 1,024, takes 0.9 GB
NO_SOUND = "no sound in it"


class Place(NamedTuple):
    """A clip: row of its video, and where it begins and is cut, see `ClipFiles.load_clip`."""

    row: int
    at: float
    across: float


def clip_shape(config: VideoConfig) -> ClipShape:
    """What a run takes of each clip: frames with the margin of 128 for 112 pixels (section 4)."""
    return ClipShape(
        modalities=config.modalities,
        clip_seconds=config.clip_seconds,
        frames=config.clip_frames,
        side=round(config.px * 128 / 112),
        sound_seconds=config.sound_seconds,
        sound_offset_seconds=config.sound_offset_seconds,
    )


def bytes_per_clip(shape: ClipShape) -> int:
    """Memory that a decoded clip takes."""
    pixels = 3 * shape.frames * shape.side**2 if shape.modalities != "audio" else 0
    samples = round(shape.heard_seconds * SAMPLE_RATE) if shape.modalities != "visual" else 0
    return pixels + 2 * samples


def kept_places(config: VideoConfig) -> list[float]:
    """Every `at` that a run with a set number of places ever sees, rising, each once."""
    assert config.places is not None
    return sorted({*evenly(config.clips), *evenly(config.places)})


def tried_places(config: VideoConfig) -> list[float]:
    """Every `at` at which a video has to be decodable, or it is left out; rising.

    Where clips come from anywhere, the latest: hardest to come by where key frames are rare.
    """
    return [1.0] if config.places is None else kept_places(config)


class StreamedClips:
    """Clips that are decoded whenever they are needed; batches lie on the CPU.

    pin: in page-locked memory, from which a copy to a CUDA device need not wait.
    """

    def __init__(self, source: ClipFiles, config: VideoConfig, workers: int, pin: bool) -> None:
        self.clips = config.clips
        self.places = config.places
        self.n_items = len(source)
        self.dataset = ClipDecoding(source, clip_shape(config))
        self.workers = workers
        self.pin = pin

    def batches(self, rows: Sequence[Tensor], draw: Draw | None = None) -> Iterator[Media]:
        """See Items. Raises InputError if a video can no longer be read."""
        if draw is None:
            spread = evenly(self.clips)
            requests = [
                [Place(row, at, CENTRE) for row in batch.tolist() for at in spread]
                for batch in rows
            ]
        else:
            at, across = _drawn(draw, self.n_items, self.places)
            requests = [
                [Place(row, at[row], across[row]) for row in batch.tolist()] for batch in rows
            ]
        return self._joined(requests)

    def _joined(self, requests: Sequence[list[Place]]) -> Iterator[Media]:
        """What lies at each list of places; workers decode about one list ahead, in chunks."""
        chunks = [
            [asked[at : at + _CHUNK] for at in range(0, len(asked), _CHUNK)] for asked in requests
        ]
        longest = max(map(len, chunks), default=0)
        ahead = max(AHEAD, -(-longest // max(self.workers, 1)))
        arriving = decoded(self.dataset, [*chain(*chunks)], self.workers, False, ahead)
        media = (usable(chunk, was_seen_whole=self.places is not None) for chunk in arriving)
        for asked, parts in zip(requests, chunks):
            batch = Media.joined(islice(media, len(parts)), len(asked), self.pin)
            assert batch is not None, "no request is empty"
            yield batch


class KeptClips:
    """Clips at a set number of places of each video, all kept decoded.

    kept: the clips of all items, item after item, each at the places of `kept_places`.  pin: as of
    `StreamedClips`.
    """

    def __init__(self, kept: Media, config: VideoConfig, pin: bool = False) -> None:
        assert config.places is not None
        at = kept_places(config)
        self.clips = config.clips
        self.kept, self.pin = kept, pin
        self.places = config.places
        self.kept_each = len(at)
        self.n_items = len(kept) // self.kept_each
        self._spread = torch.tensor([at.index(place) for place in evenly(self.clips)])
        self._index = {place: number for number, place in enumerate(at)}

    def batches(self, rows: Sequence[Tensor], draw: Draw | None = None) -> Iterator[Media]:
        """See Items."""
        if draw is None:
            for batch in rows:
                yield self._at((batch[:, None] * self.kept_each + self._spread).flatten())
            return
        at, _ = _drawn(draw, self.n_items, self.places)
        place = torch.tensor([self._index[a] for a in at])
        for batch in rows:
            yield self._at(batch * self.kept_each + place[batch])

    def _at(self, index: Tensor) -> Media:
        return self.kept.select(index, self.pin)


def read_clips(
    source: ClipFiles,
    config: VideoConfig,
    workers: int,
    cache: Cache,
    device: torch.device,
    on_progress: OnProgress | None = None,
) -> tuple[Items, list[Skipped]]:
    """Clips of every video that can be used, and the others; row i is the i-th usable one.

    With a set number of places all clips are decoded here, and kept where there is room: wherever
    they lie, the same videos can be used. Otherwise the last clip of each video is decoded, to
    know which can be read. Of many that are streamed, those that were found usable before are not
    decoded again until they change. A video without sound is left out, goes without, or is an
    error, as `missing_audio` says. Raises InputError.
    """
    shape, at = clip_shape(config), tried_places(config)
    room: Room = "none"
    if config.places is not None:
        room = choose_room(len(source), len(at) * bytes_per_clip(shape), device, cache)
    pin = device.type == "cuda" and room != "device"

    def unusable(part: ClipFiles) -> list[Skipped]:
        look = _FirstLook(part, config, workers, on_progress)
        for _ in look:
            pass
        return look.skipped

    if room == "none":
        known = KnownReadable(source, _usability(shape, at, config))
        usable_ones, skipped = without_unusable(source, known, unusable)
        return StreamedClips(usable_ones, config, workers, pin), skipped
    look = _FirstLook(source, config, workers, on_progress)
    kept = Media.joined(look, at_most=len(source) * len(at))
    if kept is None:
        nothing = source.subset(np.zeros(0, dtype=np.int64))
        return StreamedClips(nothing, config, workers, pin), look.skipped
    return KeptClips(kept.to(device) if room == "device" else kept, config, pin), look.skipped


class _FirstLook:
    """The clips of each usable video in order, an iterable for one time; then `skipped` has the
    others.
    """

    def __init__(
        self, source: ClipFiles, config: VideoConfig, workers: int, on_progress: OnProgress | None
    ) -> None:
        self.source, self.config, self.workers = source, config, workers
        self.on_progress = on_progress
        self.skipped: list[Skipped] = []

    def __iter__(self) -> Iterator[Media]:
        videos, at = len(self.source), tried_places(self.config)
        requests = [[Place(row, place, CENTRE) for place in at] for row in range(videos)]
        decoding = ClipDecoding(self.source, clip_shape(self.config))
        for row, chunk in enumerate(decoded(decoding, requests, self.workers, pin=False)):
            out = left_out(row, chunk, self.config)
            if out is None:
                assert chunk.media is not None
                yield chunk.media
            elif out.by_choice and self.config.missing_audio == "error":
                raise self._without_sound(row)
            else:
                self.skipped.append(out)
            if self.on_progress is not None:
                self.on_progress(row + 1, videos)

    def _without_sound(self, row: int) -> InputError:
        keep = ", or keep them with --missing-audio zeros"
        return InputError(
            f"{self.source.name(row)!r} has no sound; remove it, or leave such videos out "
            f"with --missing-audio skip{keep if self.config.modalities == 'both' else ''}"
        )


def _usability(shape: ClipShape, at: list[float], config: VideoConfig) -> About:
    """What decides which videos can be used, see `KnownReadable`."""
    return {
        "clips": asdict(shape),
        "at": at,
        "missing_audio": config.missing_audio,
        "ffmpeg": [av.__version__, av.ffmpeg_version_info],
    }


def left_out(row: int, chunk: Chunk, config: VideoConfig) -> Skipped | None:
    """A video that is left out, by the chunk of its clips, or None.

    The last clip tells whether it has sound, however many are there: where clips are kept must
    not change what is left out.
    """
    if chunk.bad:
        return Skipped(row, chunk.bad[0].reason)
    assert chunk.media is not None, "its clips were decoded"
    if chunk.media.heard is None or chunk.media.heard[-1] or config.missing_audio == "zeros":
        return None
    return Skipped(row, NO_SOUND, by_choice=True)


def _drawn(draw: Draw, n_items: int, places: int | None) -> tuple[list[float], list[float]]:
    """(at, across) for each row: anywhere, or at one of the evenly spread places, uncut aside."""
    random = np.random.default_rng([draw.seed, draw.epoch, 1]).random((2, n_items))
    if places is None:
        return random[0].tolist(), random[1].tolist()
    spread = evenly(places)
    return [spread[int(share * places)] for share in random[0]], [CENTRE] * n_items


class ClipDecoding(Decoding):
    """Requests are places."""

    def __init__(self, source: ClipFiles, shape: ClipShape) -> None:
        self.source = source
        self.shape = shape

    def decode(self, places: list[Place]) -> Chunk:
        """See Decoding."""
        clips: list[Clip] = []
        bad: list[Bad] = []
        for place in places:
            try:
                clips.append(self.source.load_clip(*place, self.shape))
            except UnreadableError as error:
                bad.append(Bad(place.row, error.path, error.reason, error.at_seconds))
        return Chunk(_media(clips) if clips else None, bad)

    def name(self, place: Place) -> str:
        """See Decoding."""
        return self.source.name(place.row)


def _media(clips: Sequence[Clip]) -> Media:
    first = clips[0]
    pixels = sound = heard = None
    if first.pixels is not None:
        pixels = torch.stack([clip.pixels for clip in clips if clip.pixels is not None])
    if first.sound is not None:
        sound = torch.stack([clip.sound for clip in clips if clip.sound is not None])
        heard = torch.tensor([clip.heard for clip in clips])
    return Media(pixels, sound, heard)
