"""Decoding in worker processes, keeping or streaming the pixels, and which rows make a batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from newfound.batch import UNLABELLED
from newfound.data.images import ImageSource, UnreadableImageError, decode_side
from newfound.errors import InputError

Cache = Literal["device", "memory", "none"]
OnProgress = Callable[[int, int], None]
"""Called with (done, total) images."""

_CHUNK = 16  # images a worker decodes at a time: enough to hide the hand-over


@dataclass(frozen=True)
class Skipped:
    """An image that cannot be read. index: its row in the source."""

    index: int
    reason: str


def decode_all(
    source: ImageSource,
    px: int,
    channels: int,
    workers: int,
    on_progress: OnProgress | None = None,
) -> tuple[Tensor, list[Skipped]]:
    """Every readable image, decoded once: (n_ok, channels, S, S) uint8 on the CPU, in order.

    workers: decoding processes, 0 = in this one. Unreadable images are left out and listed.
    Raises InputError if a worker is killed.
    """
    side = decode_side(px)
    pixels = torch.empty((len(source), channels, side, side), dtype=torch.uint8)
    skipped: list[Skipped] = []
    n_ok = 0
    for decoded, bad in _decoded_chunks(source, px, channels, workers, on_progress):
        pixels[n_ok : n_ok + len(decoded)] = decoded
        n_ok += len(decoded)
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


def check_share_bad(skipped: Sequence[Skipped], names: NDArray[np.str_], max_bad: float) -> None:
    """Raise InputError if more than the share `max_bad` of all images are unreadable.

    names: (n,) of all images, readable or not.
    """
    share = len(skipped) / len(names)
    if share <= max_bad:
        return
    first = ", ".join(f"{str(names[bad.index])!r} ({bad.reason})" for bad in skipped[:3])
    enough = np.ceil(share * 1000) / 1000
    raise InputError(
        f"{len(skipped)} of {len(names)} images ({share:.1%}) cannot be read, more than the "
        f"{max_bad:.1%} allowed: {first}{', ...' if len(skipped) > 3 else ''}; repair or remove "
        f"them, or go on without them with --max-bad {enough:g}"
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


class Pixels(Protocol):
    """Decoded images by row, kept or streamed."""

    def batches(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """For each (B,) int64 tensor of rows its (B, C, S, S) uint8 pixels, in order."""
        ...


class CachedPixels:
    """Pixels that are kept whole: (n, C, S, S) uint8 in memory or on the device."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def batches(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """See Pixels."""
        for batch in rows:
            yield self.pixels.index_select(0, batch.to(self.pixels.device, non_blocking=True))


class StreamedPixels:
    """Pixels that are decoded anew whenever they are needed; batches lie on the CPU.

    pin: in page-locked memory, from which a copy to a CUDA device need not wait.
    """

    def __init__(
        self, source: ImageSource, px: int, channels: int, workers: int, pin: bool
    ) -> None:
        self.dataset = _Decoding(source, px, channels)
        self.workers = workers
        self.pin = pin

    def batches(self, rows: Sequence[Tensor]) -> Iterator[Tensor]:
        """See Pixels. Raises InputError if an image can no longer be read."""
        chunks = _load(self.dataset, [batch.tolist() for batch in rows], self.workers, self.pin)
        for chunk in chunks:
            for bad in chunk.bad:
                raise InputError(
                    f"an image that could be read when the run began no longer can: "
                    f"{bad.path}: {bad.reason}; put it back, then continue the run"
                )
            yield chunk.pixels


def read_images(
    source: ImageSource,
    px: int,
    channels: int,
    workers: int,
    cache: Literal["auto", "device", "memory", "none"],
    device: torch.device,
    on_progress: OnProgress | None = None,
) -> tuple[Pixels, list[Skipped]]:
    """Every readable image, kept where there is room or streamed, and the unreadable ones.

    Each image is decoded once here, to know which are readable. Row i of the pixels is the i-th
    readable image.
    """
    place = choose_cache(len(source), channels * decode_side(px) ** 2, device, cache)
    if place != "none":
        pixels, skipped = decode_all(source, px, channels, workers, on_progress)
        return CachedPixels(pixels.to(device) if place == "device" else pixels), skipped
    skipped = check_all(source, px, channels, workers, on_progress)
    readable = source.subset(np.delete(np.arange(len(source)), [bad.index for bad in skipped]))
    pin = device.type == "cuda"
    return StreamedPixels(readable, px, channels, workers, pin), skipped


def choose_cache(
    n_items: int,
    bytes_per_item: int,
    device: torch.device,
    wish: Literal["auto", "device", "memory", "none"],
) -> Cache:
    """Where to keep decoded pixels; "auto" takes the fastest place with half of it to spare."""
    if wish == "auto":
        wish = _fastest_with_room(n_items * bytes_per_item, device)
    return "memory" if wish == "device" and device.type == "cpu" else wish


def _fastest_with_room(n_bytes: int, device: torch.device) -> Cache:
    if n_bytes > _free_memory() / 2:  # pixels pass through the host's memory in any case
        return "none"
    if device.type == "cuda" and n_bytes <= torch.cuda.mem_get_info(device)[0] / 2:
        return "device"
    return "memory"


def _free_memory() -> int:
    """Bytes of memory that can be had, by Linux's files; elsewhere a careful 4 GiB."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return 4 * 2**30
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    available = int(fields["MemAvailable"].removesuffix("kB")) * 1024
    container = Path("/sys/fs/cgroup/memory.max")
    limit = container.read_text().strip() if container.exists() else "max"
    return available if limit == "max" else min(available, int(limit))


def _stream(
    rows: NDArray[np.int64], length: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """The first `length` of an endless row of fresh permutations of `rows`."""
    assert len(rows) > 0, "a catalogue has labelled and unlabelled items"
    rounds = -(-length // len(rows))
    return np.concatenate([generator.permutation(rows) for _ in range(rounds)])[:length]


@dataclass(frozen=True)
class _Bad:
    index: int
    path: str
    reason: str


@dataclass(frozen=True)
class _Chunk:
    """What became of some rows: (n_ok, C, S, S) uint8, and those that cannot be read.

    It leaves a worker as plain bytes. Tensors would leave in shared memory, of which containers
    have little, and when that is full torch waits for ever.
    """

    pixels: Tensor
    bad: list[_Bad]

    def __reduce__(self) -> tuple[Callable[..., "_Chunk"], tuple[NDArray[np.uint8], list[_Bad]]]:
        return _chunk_from_array, (self.pixels.numpy(), self.bad)

    def pin_memory(self) -> "_Chunk":
        """What DataLoader calls when it is to pin."""
        return _Chunk(self.pixels.pin_memory(), self.bad)


def _chunk_from_array(pixels: NDArray[np.uint8], bad: list[_Bad]) -> _Chunk:
    return _Chunk(torch.from_numpy(pixels), bad)


class _Decoding(Dataset[_Chunk]):
    """Decodes a list of rows at once."""

    def __init__(self, source: ImageSource, px: int, channels: int) -> None:
        self.source = source
        self.px = px
        self.channels = channels

    def __getitems__(self, rows: list[int]) -> _Chunk:
        side = decode_side(self.px)
        pixels = torch.empty((len(rows), self.channels, side, side), dtype=torch.uint8)
        n_ok = 0
        bad = []
        for row in rows:
            try:
                pixels[n_ok] = self.source.load(row, self.px, self.channels)
                n_ok += 1
            except UnreadableImageError as error:
                bad.append(_Bad(row, error.path, error.reason))
        return _Chunk(pixels[:n_ok], bad)


def _as_it_is(chunk: Any) -> Any:
    return chunk


def _load(
    dataset: _Decoding, batches: list[list[int]], workers: int, pin: bool
) -> Iterator[_Chunk]:
    """What `dataset` makes of each batch, in order, decoded ahead by the workers.

    Raises InputError if the system kills a worker.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
        generator=torch.Generator(),  # else it draws from the global one, changing the run
    )
    try:
        yield from loader
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise  # an error of the decoding itself, passed on by its worker
        raise InputError(
            f"a decoding process was killed, most likely for want of memory ({error}); give fewer "
            f"--workers than {workers}, or 0 to decode without any"
        ) from error


def _decoded_chunks(
    source: ImageSource, px: int, channels: int, workers: int, on_progress: OnProgress | None
) -> Iterator[tuple[Tensor, list[Skipped]]]:
    total = len(source)
    chunks = [list(range(at, min(at + _CHUNK, total))) for at in range(0, total, _CHUNK)]
    done = 0
    for chunk in _load(_Decoding(source, px, channels), chunks, workers, pin=False):
        done += len(chunk.pixels) + len(chunk.bad)
        if on_progress is not None:
            on_progress(done, total)
        yield chunk.pixels, [Skipped(bad.index, bad.reason) for bad in chunk.bad]
