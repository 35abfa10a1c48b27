"""Keeping or streaming decoded images, and which rows make a batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from newfound.batch import UNLABELLED, Media
from newfound.blocks import blocks
from newfound.config import Cache
from newfound.data.decoding import Bad, Chunk, Decoding, decoded, usable
from newfound.data.folders import is_document, other_kind_in_words
from newfound.data.images import ImageSource, decode_side
from newfound.data.known_readable import KnownReadable
from newfound.data.source import Kind, Marked, OnProgress, UnreadableError
from newfound.data.texts import Texts
from newfound.device import local_processes
from newfound.distributed import agreed, count, everyones, rank
from newfound.errors import InputError

Room = Literal["device", "memory", "none"]
"""Where decoded items are kept."""

IMAGES_AT_ONCE = 16
"""Images that a worker decodes at a time: enough to hide the hand-over."""


@dataclass(frozen=True)
class Skipped:
    """An item that is left out. index: its row in the source.

    by_choice: it could be read, and the settings leave it out.
    """

    index: int
    reason: str
    by_choice: bool = False


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


@dataclass(frozen=True)
class Spoilt:
    """The items that should have been usable and are not, among so many that should."""

    items: list[Skipped]
    among: int

    @property
    def share(self) -> float:
        """0..1."""
        return len(self.items) / self.among


def spoilt(skipped: Sequence[Skipped], names: Texts | NDArray[np.str_]) -> Spoilt:
    """What is left out, but for what is by choice, and for documents by their names.

    names: (n,) of all items, readable or not, n > 0.  Where nothing is usable documents count.
    """
    unreadable = [item for item in skipped if not item.by_choice]
    if len(skipped) == len(names):
        return Spoilt(unreadable, len(names))
    items = [item for item in unreadable if not is_document(str(names[item.index]))]
    return Spoilt(items, len(names) - (len(unreadable) - len(items)))


def check_share_bad(
    skipped: Sequence[Skipped], names: Texts | NDArray[np.str_], kind: Kind, max_bad: float
) -> None:
    """Raise InputError if more than the share `max_bad` of the items are `spoilt`.

    names: (n,) of all items, readable or not.  kind: what they were read as.
    """
    found = spoilt(skipped, names)
    unreadable, share = found.items, found.share
    if share <= max_bad:
        return
    first = ", ".join(f"{str(names[bad.index])!r} ({bad.reason})" for bad in unreadable[:3])
    without = ""
    if share < 1:
        without = f", or go on without them with --max-bad {np.ceil(share * 1000) / 1000:g}"
    hint = other_kind_in_words((str(names[bad.index]) for bad in unreadable), kind)
    raise InputError(
        f"{len(unreadable)} of {found.among} files ({share:.1%}) cannot be used, more than the "
        f"{max_bad:.1%} allowed: {first}{', ...' if len(unreadable) > 3 else ''}; repair or remove "
        f"them{without}{hint}"
    )


def epoch_batches(
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    batch: int,
    epoch: int,
    seed: int,
    unlabelled_share: float | None = None,
) -> list[Tensor]:
    """The batches of one epoch, each (batch,) int64 rows of the catalogue.

    labels: (n,) of the whole catalogue, -1 = unlabelled.  rows: (m,) the rows to train on,
    `Catalogue.trainable`; no other occurs.  The same arguments give the same batches.

    There are m // batch batches. Unset `unlabelled_share`: they are drawn from
    Unif(D^u + D^l) without replacement (paper section 3.1), and what is left over is dropped.
    Set: each batch holds round(unlabelled_share * batch) unlabelled rows, at least 1 and at
    most batch - 1, and either stream goes through its rows in random order again and again.
    """
    assert 0 < batch <= len(rows), "check_counts lets no batch be larger than the set"
    generator = np.random.default_rng([seed, epoch])
    steps = len(rows) // batch
    if unlabelled_share is None:
        order = _stream(rows, steps * batch, generator).reshape(steps, batch)
    else:
        n_unlabelled = min(max(round(unlabelled_share * batch), 1), batch - 1)
        is_unlabelled = labels[rows] == UNLABELLED
        labelled = _stream(rows[~is_unlabelled], steps * (batch - n_unlabelled), generator)
        unlabelled = _stream(rows[is_unlabelled], steps * n_unlabelled, generator)
        order = np.hstack([labelled.reshape(steps, -1), unlabelled.reshape(steps, -1)])
    return list(torch.from_numpy(order))


def class_balanced_batches(
    labels: NDArray[np.int64], rows: NDArray[np.int64], batch: int, each: int, epoch: int, seed: int
) -> list[Tensor]:
    """The batches of one epoch, of random classes with `each` items, or more where they are few.

    labels: (n,) of the whole catalogue.  rows: (m,) labelled ones, that alone occur.  There are
    m // batch batches of (batch,) int64 rows. A batch has batch // each classes, at least two and
    at most all, and as equally many items of each as can be; a class with fewer repeats them.
    """
    generator = np.random.default_rng([seed, epoch])
    of_class = [rows[labels[rows] == label] for label in np.unique(labels[rows])]
    n_classes = min(max(batch // each, 2), len(of_class))
    sizes = [len(part) for part in np.array_split(np.arange(batch), n_classes)]
    return [
        torch.from_numpy(
            np.concatenate(
                [
                    _stream(of_class[chosen], size, generator)
                    for chosen, size in zip(generator.permutation(len(of_class))[:n_classes], sizes)
                ]
            )
        )
        for _ in range(len(rows) // batch)
    ]


@dataclass(frozen=True)
class Draw:
    """Which random clips training takes: a function of the seed and the epoch, from 1."""

    seed: int
    epoch: int


class Items(Protocol):
    """Decoded items by row, kept or streamed."""

    clips: int
    """How many clips of an item evaluation sees; 1 for images."""

    def batches(self, rows: Sequence[Tensor], draw: Draw | None = None) -> Iterator[Media]:
        """For each (B,) int64 tensor of rows what they hold, in order.

        Of videos, with `draw`: one clip of each item, B in all. Without, for evaluation: `clips`
        of each, evenly spread, B * clips in all, item after item.
        """
        ...


class CachedPixels:
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
    place = choose_cache(len(source), channels * decode_side(px) ** 2, device, cache)
    pin = device.type == "cuda" and place != "device"
    if place != "none":
        pixels, skipped = decode_all(source, px, channels, workers, on_progress)
        return CachedPixels(pixels.to(device) if place == "device" else pixels, pin), skipped
    known = KnownReadable(source, {"px": px, "channels": channels, "pillow": PIL.__version__})
    readable, skipped = without_unusable(
        source, known, lambda part: check_all(part, px, channels, workers, on_progress)
    )
    return StreamedPixels(readable, px, channels, workers, pin), skipped


_Source = TypeVar("_Source", bound=Marked)


def without_unusable(
    source: _Source, known: KnownReadable, check: Callable[[_Source], list[Skipped]]
) -> tuple[_Source, list[Skipped]]:
    """The usable items of a source, and the others, which `check` finds in a part of it.

    Those that are known to be usable are not checked. Several processes of a run share the work,
    and what one of them raises, all raise once they are through.
    """
    doubtful = agreed(known.doubtful)
    own = doubtful[rank() :: count()]
    checked: list[Skipped] = []
    error: InputError | None = None
    try:
        if len(own):
            checked = check(source.subset(own) if len(own) < len(source) else source)
    except InputError as raised:
        error = raised
    found = [replace(bad, index=int(own[bad.index])) for bad in checked]
    of_all, errors = zip(*everyones((found, error)))
    for of_one in filter(None, errors):
        raise of_one
    skipped = sorted(chain(*of_all), key=lambda bad: bad.index)
    unusable = np.array([bad.index for bad in skipped], dtype=np.int64)
    known.keep(unusable)
    return source.subset(np.delete(np.arange(len(source)), unusable)), skipped


def choose_cache(
    n_items: int,
    bytes_per_item: int,
    device: torch.device,
    wish: Cache,
) -> Room:
    """Where to keep decoded pixels; "auto" takes the fastest place with half of it to spare.

    It is one place for all processes of a run, as what they have to tell one another depends on it.
    """
    if wish == "auto":
        places = everyones(_fastest_with_room(n_items * bytes_per_item, device))
        return "none" if "none" in places else "memory" if "memory" in places else "device"
    return "memory" if wish == "device" and device.type == "cpu" else wish


def _fastest_with_room(n_bytes: int, device: torch.device) -> Room:
    # Pixels pass through the host's memory in any case, and each process of a run keeps all.
    if n_bytes > free_memory() / 2 / local_processes():
        return "none"
    if device.type == "cuda" and n_bytes <= torch.cuda.mem_get_info(device)[0] / 2:
        return "device"
    return "memory"


def free_memory() -> int:
    """Bytes of memory that can be had, by Linux's files; elsewhere a careful 4 GiB."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return 4 * 2**30
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    available = int(fields["MemAvailable"].removesuffix("kB")) * 1024
    return min([available, *_memory_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def _memory_limits(own: Path, root: Path) -> Iterator[int]:
    """Bytes that this process's control group and those around it may have, as jobs have them.

    own: tells which group it is; root: where they all lie, of their second version.
    """
    lines = own.read_text().splitlines() if own.exists() else []
    group = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    for place in (root / group, *(root / group).parents):
        limit = place / "memory.max"
        if place.is_relative_to(root) and limit.exists():
            text = limit.read_text().strip()
            if text != "max":
                yield int(text)


def _stream(
    rows: NDArray[np.int64], length: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """The first `length` of an endless row of fresh permutations of `rows`."""
    assert len(rows) > 0, "a catalogue has labelled and unlabelled items"
    rounds = -(-length // len(rows))
    return np.concatenate([generator.permutation(rows) for _ in range(rounds)])[:length]


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
