"""How much memory one operation takes at most, beside what it is given."""

import ctypes
import gc
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch

from benchmarks.clock import Work
from newfound.machine.memory import begin_peak_memory, free_memory, free_on_gpu, peak_memory

M_MMAP_THRESHOLD = -3
"""A parameter of glibc's `mallopt`, from its `malloc.h`."""

_WARM_ROWS = 64
"""Threads and libraries are there after an operation of so many rows."""


def peak_mb(prepare: Callable[[int], Work], rows: int, device: torch.device) -> float:
    """10^6 bytes at most of a call of `prepare(rows)()`, its result included, inputs not.

    On a CPU in a process of its own, forked from one that has done nothing yet, so that no memory
    is there already from something before; `prepare` must be picklable, then.
    """
    if device.type == "cuda":
        return _peak_mb(prepare, rows, device)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.cases"])
    with ProcessPoolExecutor(1, context) as process:
        return process.submit(_peak_mb_alone, prepare, rows, torch.get_num_threads()).result()


def room(device: torch.device) -> int:
    """Bytes that a measurement may take: a quarter of what is free.

    What it took stays with its process until `give_back_what_is_free`, as holes that only smaller
    blocks fit into, and is taken once more where its peak is measured.
    """
    free = free_on_gpu(device) if device.type == "cuda" else free_memory()
    return free // 4


def give_back_what_is_free() -> None:
    """Make glibc return what it keeps free, once, wherever it lies."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def _peak_mb_alone(prepare: Callable[[int], Work], rows: int, threads: int) -> float:
    """What the process of its own does."""
    torch.set_num_threads(threads)
    _give_back_what_is_freed()
    return _peak_mb(prepare, rows, torch.device("cpu"))


def _peak_mb(prepare: Callable[[int], Work], rows: int, device: torch.device) -> float:
    prepare(_WARM_ROWS)()
    work = prepare(rows)
    gc.collect()
    begin_peak_memory(device)
    before = peak_memory(device)
    work()
    return (peak_memory(device) - before) / 1e6


def _give_back_what_is_freed() -> None:
    """Make glibc return every large block to the system, so that what is resident is in use."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 64 * 1024)
