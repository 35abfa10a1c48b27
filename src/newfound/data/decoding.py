"""Decoding in worker processes: what they are asked for, and how it comes back."""

import gc
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from newfound.batch import Media
from newfound.data.words import some
from newfound.errors import LocalError, StoreError
from newfound.machine.interrupt import blocked, signals_held


@dataclass(frozen=True)
class Bad:
    """An item that cannot be read. index: its row in the source.  path: printable.

    at_seconds: where in a video, if it could be opened.
    """

    index: int
    path: str
    reason: str
    at_seconds: float | None = None


@dataclass(frozen=True)
class Chunk:
    """What became of some items: those that could be read, None if none could, and the others.

    store_error: the text of the StoreError that ended it, or "".

    It leaves a worker as plain bytes. Tensors would leave in shared memory, of which containers
    have little, and when that is full torch waits for ever.
    """

    media: Media | None
    bad: list[Bad]
    store_error: str = ""

    def __reduce__(self) -> tuple[Callable[..., "Chunk"], tuple[Any, ...]]:
        parts = None if self.media is None else _arrays(self.media)
        return _chunk_from_arrays, (parts, self.bad, self.store_error)

    def pin_memory(self) -> "Chunk":
        """What DataLoader calls when it is to pin."""
        return replace(self, media=None if self.media is None else self.media.pinned())


class Decoding(Dataset[Chunk]):
    """Decodes a list of requests at once."""

    def __getitems__(self, requests: list[Any]) -> Chunk:
        try:
            return self.decode(requests)
        except StoreError as error:  # torch would bring it from a worker with its trace as its text
            return Chunk(None, [], str(error))

    def decode(self, requests: list[Any]) -> Chunk:
        """What becomes of the items. Raises StoreError."""
        raise NotImplementedError

    def name(self, request: Any) -> str:
        """What a request is about, printable: a file."""
        raise NotImplementedError


_FOR_THE_FIRST = {signal.SIGTERM, signal.SIGHUP} if sys.platform == "linux" else set()
"""Signals that workers block from their start, before torch may start threads in them, so that one
thread can wait for them. On macOS none can, and there they act."""

SECONDS_BETWEEN_LOOKS = 1.0
"""How often a worker looks whether the first process is still there."""

AHEAD = 2
"""How many batches of requests each worker makes ahead, unless told otherwise."""


def decoded(
    dataset: Decoding,
    batches: Sequence[list[Any]],
    workers: int,
    pin: bool,
    ahead: int = AHEAD,
) -> Iterator[Chunk]:
    """What `dataset.decode` makes of each batch of requests, in order, made ahead.

    workers: processes, 0 = in this one.  pin: in page-locked memory, from which a copy to a CUDA
    device need not wait.  ahead: batches that each worker makes ahead, all of which may lie in
    memory at once.  Raises LocalError if a worker is killed or crashes, StoreError if a
    store does not answer.
    """
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
        prefetch_factor=ahead if workers else None,
        generator=torch.Generator(),  # else it draws from the global one, changing the run
        worker_init_fn=partial(_leave_stopping_to, os.getpid()) if workers else None,
        # A server that forks, as newer Python has, would be the parent of them all.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )
    n_done = 0
    try:
        with signals_held(), blocked(_FOR_THE_FIRST):
            chunks = iter(loader)
        for chunk in chunks:
            n_done += 1
            if chunk.store_error:
                raise StoreError(chunk.store_error)
            yield chunk
    except RuntimeError as error:
        if not is_of_a_lost_worker(error):
            raise  # an error of the decoding itself, passed on by its worker
        in_hand = chain(*batches[n_done : n_done + workers * ahead])
        files = some(list(dict.fromkeys(dataset.name(request) for request in in_hand)))
        raise LocalError(
            f"{lost_worker_in_words(error)}. If for want of "
            f"memory, give fewer --workers than {workers}, or 0 to decode without any. If by a "
            f"damaged file, it is one of {files}: remove it (with --workers 1 fewer come into "
            "question)"
        ) from error


def usable(chunk: Chunk, was_seen_whole: bool = True) -> Media:
    """The media of a chunk of items that could be read. Raises LocalError if one no longer can.

    was_seen_whole: everything that is asked for was decoded once before. Else a part of a video
    may never have been good.
    """
    for bad in chunk.bad:
        if bad.at_seconds is not None and not was_seen_whole:
            raise LocalError(
                f"{bad.path} cannot be decoded at second {bad.at_seconds:.1f}: {bad.reason}. If "
                "the file has changed since the run began, put it back, then continue the run. "
                "Else that part was bad from the start, as only the end of every video is tried "
                "first: remove the file, or give --places N, with which every place that is used "
                "is tried; either is a new run, with another --out"
            )
        raise LocalError(
            f"a file that could be read when the run began no longer can: {bad.path}: "
            f"{bad.reason}; put it back, then continue the run"
        )
    assert chunk.media is not None, "no request is empty"
    return chunk.media


def is_of_a_lost_worker(error: RuntimeError) -> bool:
    """Whether torch tells by it that a worker ended. That may come out of any line of ours."""
    return str(error).startswith("DataLoader worker (pid")


def lost_worker_in_words(error: RuntimeError) -> str:
    """What became of the worker: the signal, if that was noticed."""
    found = re.search(r"killed by signal: [^.]+", f"{error} {error.__cause__}")
    how = found.group() if found else "no signal was noticed"
    return f"a decoding process was killed or crashed ({how})"


def _leave_stopping_to(first: int, _worker: int) -> None:
    """A terminal sends Ctrl-C to all, `timeout` and job schedulers SIGTERM; the first process may
    want what is being decoded, to stop between two steps. By SIGTERM of its own it ends the others.
    """
    # What was left over in the first process, as of an earlier stage, is not to be collected here:
    # to free its page-locked memory would take CUDA, which does not work after a fork.
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _FOR_THE_FIRST:
        threading.Thread(target=_end_by_wish_of, args=(first,), daemon=True).start()


def _end_by_wish_of(first: int) -> None:
    """Wait for SIGTERM from the first process, or until that one is gone; then end."""
    while os.getppid() == first:
        received = signal.sigtimedwait({signal.SIGTERM}, SECONDS_BETWEEN_LOOKS)
        if received is not None and received.si_pid == first:
            break
    os._exit(0)


def _as_it_is(chunk: Any) -> Any:
    return chunk


def _arrays(media: Media) -> tuple[NDArray[Any] | None, ...]:
    parts = (media.pixels, media.sound, media.heard)
    return tuple(None if part is None else part.numpy() for part in parts)


def _chunk_from_arrays(
    parts: tuple[NDArray[Any] | None, ...] | None, bad: list[Bad], store_error: str
) -> Chunk:
    media = None
    if parts is not None:
        media = Media(*(None if part is None else torch.from_numpy(part) for part in parts))
    return Chunk(media, bad, store_error)
