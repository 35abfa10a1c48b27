"""Decoded images, kept or streamed."""

from collections.abc import Iterator, Sequence

import PIL
import torch
from torch import Tensor

from newfound.batch import Media
from newfound.blocks import blocks
from newfound.config import Cache
from newfound.data.decoding import Bad, Chunk, Decoding, decoded, usable
from newfound.data.images import ImageSource, decode_side
from newfound.data.items import Draw, Items
from newfound.data.known_readable import KnownReadable
from newfound.data.room import choose_room
from newfound.data.skipped import Skipped, without_unusable
from newfound.data.source import OnProgress, UnreadableError

IMAGES_AT_ONCE = 16
"""Images that a worker decodes at a time: enough to hide the hand-over."""


def decode_all(
    source: ImageSource,
    px: int,
    channels: int,
    workers: int,
    on_progress: OnProgress | None = None,
) -> tuple[Tensor, list[Skipped]]:
    """Every readable image, decoded once: (n_ok, channels, S, S) uint8 on the CPU, in order.

    workers: decoding processes, 0 = in this one. Unreadable images are left out and listed.
    Raises InputError if a worker is killed, StoreError if a store does not answer.
    """
    side = decode_side(px)
    pixels = torch.empty((len(source), channels, side, side), dtype=torch.uint8)
    skipped: list[Skipped] = []
    n_ok = 0
    for readable, bad in _decoded_chunks(source, px, channels, workers, on_progress):
        pixels[n_ok : n_ok + len(readable)] = readable
        n_ok += len(readable)
        skipped += bad
    return pixels[:n_ok], skipped


def check_all(
    source: ImageSource,
    px: int,
    channels: int,
    workers: int,
    on_progress: OnProgress | None = None,
) -> list[Skipped]:
    """The unreadable images that `decode_all` would list, keeping no pixels."""
    chunks = _decoded_chunks(source, px, channels, workers, on_progress)
    return [skipped for _, bad in chunks for skipped in bad]


class KeptImages:
    """Images that are kept whole: (n, C, S, S) uint8 in memory or on the device.

    pin: give batches in page-locked memory, from which a copy to a CUDA device need not wait.
    """

    clips = 1

    def __init__(self, pixels: Tensor, pin: bool = False) -> None:
        self.pixels, self.pin = pixels, pin

    def batches(self, rows: Sequence[Tensor], draw: Draw | None = None) -> Iterator[Media]:  # noqa: ARG002
        """See Items."""
        return (Media(self.pixels).select(batch, self.pin) for batch in rows)


class StreamedPixels:
    """Images that are decoded anew whenever they are needed; batches lie on the CPU.

    pin: in page-locked memory, from which a copy to a CUDA device need not wait.
    """

    clips = 1

    def __init__(
        self, source: ImageSource, px: int, channels: int, workers: int, pin: bool
    ) -> None:
        self.dataset = ImageDecoding(source, px, channels)
        self.workers = workers
        self.pin = pin

    def batches(self, rows: Sequence[Tensor], draw: Draw | None = None) -> Iterator[Media]:  # noqa: ARG002
        """See Items. Raises InputError if an image can no longer be read."""
        requests = [batch.tolist() for batch in rows]
        return map(usable, decoded(self.dataset, requests, self.workers, self.pin))


def read_images(
    source: ImageSource,
    px: int,
    channels: int,
    workers: int,
    cache: Cache,
    device: torch.device,
    on_progress: OnProgress | None = None,
) -> tuple[Items, list[Skipped]]:
    """Every readable image, kept where there is room or streamed, and the unreadable ones.

    Each image is decoded once here, to know which are readable; of many that are streamed, those
    that were found so before are not decoded again until they change. Row i of the pixels is the
    i-th readable image.
    """
    room = choose_room(len(source), channels * decode_side(px) ** 2, device, cache)
    pin = device.type == "cuda" and room != "device"
    if room != "none":
        pixels, skipped = decode_all(source, px, channels, workers, on_progress)
        return KeptImages(pixels.to(device) if room == "device" else pixels, pin), skipped
    known = KnownReadable(source, {"px": px, "channels": channels, "pillow": PIL.__version__})
    readable, skipped = without_unusable(
        source, known, lambda part: check_all(part, px, channels, workers, on_progress)
    )
    return StreamedPixels(readable, px, channels, workers, pin), skipped


class ImageDecoding(Decoding):
    """Decodes images; requests are rows."""

    def __init__(self, source: ImageSource, px: int, channels: int) -> None:
        self.source = source
        self.px = px
        self.channels = channels

    def decode(self, rows: list[int]) -> Chunk:
        """See Decoding."""
        side = decode_side(self.px)
        pixels = torch.empty((len(rows), self.channels, side, side), dtype=torch.uint8)
        n_ok = 0
        bad = []
        for row in rows:
            try:
                pixels[n_ok] = self.source.load(row, self.px, self.channels)
                n_ok += 1
            except UnreadableError as error:
                bad.append(Bad(row, error.path, error.reason))
        return Chunk(Media(pixels[:n_ok]), bad)

    def name(self, row: int) -> str:
        """See Decoding."""
        return self.source.name(row)


def image_requests(n: int) -> list[list[int]]:
    """The rows 0..n-1 as `ImageDecoding` is asked for them."""
    return [list(range(rows.start, rows.stop)) for rows in blocks(n, IMAGES_AT_ONCE)]


def _decoded_chunks(
    source: ImageSource, px: int, channels: int, workers: int, on_progress: OnProgress | None
) -> Iterator[tuple[Tensor, list[Skipped]]]:
    total = len(source)
    done = 0
    for chunk in decoded(
        ImageDecoding(source, px, channels), image_requests(total), workers, pin=False
    ):
        assert chunk.media is not None and chunk.media.pixels is not None
        done += len(chunk.media) + len(chunk.bad)
        if on_progress is not None:
            on_progress(done, total)
        yield chunk.media.pixels, [Skipped(bad.index, bad.reason) for bad in chunk.bad]
