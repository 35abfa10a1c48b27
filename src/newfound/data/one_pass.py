"""Items that the network sees once: each is decoded once, while it looks at those before."""

from collections.abc import Iterator
from typing import Any

from newfound.batch import Media
from newfound.config import Config, VideoConfig
from newfound.data.catalogue import Source
from newfound.data.clip_loader import CENTRE, ClipDecoding, Place, clip_shape, left_out
from newfound.data.clips import ClipFiles, evenly
from newfound.data.decoding import AHEAD, Chunk, Decoding, decoded
from newfound.data.image_loader import ImageDecoding, image_requests
from newfound.data.images import ImageSource
from newfound.data.skipped import Skipped
from newfound.data.source import OnProgress

Decoded = tuple[Media | None, list[Skipped]]
"""The usable items of a chunk, if any, and the others."""


class OnePass:
    """Batches of a source's usable items in order, an iterable for one time.

    Once the last batch is there, `skipped` has all the others: unreadable ones, and videos
    without sound unless `missing_audio` is "zeros".

    clips: how many rows of a batch are one item's, as for `Items`.  pin: batches lie in
    page-locked memory.  batch: at most so many rows make a batch, if an item has no more.
    on_progress: counts items as done when the next batch is asked for.
    Raises InputError if a worker is killed, StoreError if a store does not answer.
    """

    def __init__(
        self,
        source: Source,
        config: Config,
        workers: int,
        pin: bool,
        on_progress: OnProgress = lambda _done, _total: None,
        batch: int = 256,
    ) -> None:
        self.skipped: list[Skipped] = []
        self.clips = 1
        if isinstance(config, VideoConfig):
            assert isinstance(source, ClipFiles), "settings of videos go with videos"
            self.clips = config.clips
            self._chunks = _videos(source, config, workers, batch)
        else:
            assert not isinstance(source, ClipFiles), "settings of images go with images"
            self._chunks = _images(source, config, workers, batch)
        self._total = len(source)
        self._batch = batch
        self._pin = pin
        self._on_progress = on_progress

    def __iter__(self) -> Iterator[Media]:
        usable = 0
        for pieces in self._batches():
            rows = sum(map(len, pieces))
            batch = Media.joined(pieces, rows, self._pin)
            assert batch is not None, "there are pieces"
            yield batch
            usable += rows // self.clips
            self._on_progress(usable + len(self.skipped), self._total)
        self._on_progress(self._total, self._total)

    def _batches(self) -> Iterator[list[Media]]:
        """The pieces of each batch."""
        held: list[Media] = []
        for media, skipped in self._chunks:
            self.skipped += skipped
            if media is None:
                continue
            if held and sum(map(len, held)) + len(media) > self._batch:
                yield held
                held = []
            held.append(media)
        if held:
            yield held


def _images(source: ImageSource, config: Config, workers: int, batch: int) -> Iterator[Decoded]:
    dataset = ImageDecoding(source, config.px, config.channels)
    for chunk in _a_batch_ahead(dataset, image_requests(len(source)), workers, batch):
        usable = chunk.media if chunk.media is not None and len(chunk.media) else None
        yield usable, [Skipped(bad.index, bad.reason) for bad in chunk.bad]


def _videos(source: ClipFiles, config: VideoConfig, workers: int, batch: int) -> Iterator[Decoded]:
    """A chunk is one video, of which all clips are usable or none."""
    dataset = ClipDecoding(source, clip_shape(config))
    requests = [
        [Place(row, at, CENTRE) for at in evenly(config.clips)] for row in range(len(source))
    ]
    for row, chunk in enumerate(_a_batch_ahead(dataset, requests, workers, batch)):
        # Of new videos not even one without sound is an error: it stops no answer to the others.
        skipped = left_out(row, chunk, config)
        yield (None, [skipped]) if skipped else (chunk.media, [])


def _a_batch_ahead(
    dataset: Decoding, requests: list[list[Any]], workers: int, batch: int
) -> Iterator[Chunk]:
    """What is decoded of each list of requests; workers are about a batch ahead."""
    ahead = max(AHEAD, -(-batch // (len(requests[0]) * max(workers, 1))))
    return decoded(dataset, requests, workers, pin=False, ahead=ahead)
