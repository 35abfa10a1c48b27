"""Which device computes, and in which precision."""

import multiprocessing
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import torch
from joblib import cpu_count

from newfound.errors import CompilerError, InputError

SMALL_NETWORK = 512
"""Width times pixels of a side up to which one thread is enough."""


def choose_device(wish: str) -> torch.device:
    """`auto` takes CUDA where there is one; a GPU given by its number becomes the current one.

    Raises InputError for a device that is not there.
    """
    if wish == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wish)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(
            f"device {wish!r} is not on this machine; give auto, cpu, cuda or cuda:1"
        ) from None
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def uses_bfloat16(precision: Literal["auto", "float32", "bfloat16"], device: torch.device) -> bool:
    """Whether to run the network under bfloat16 autocast; `auto`: where the device has it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def describe(device: torch.device) -> str:
    """The hardware in words, for logs and results."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name", "CPU")
    return f"{device.type.upper()}, {name}, {torch.get_num_threads()} threads"


@contextmanager
def lack_of_memory_in_words(cure: str) -> Iterator[None]:
    """Within, what fails for want of memory raises InputError. cure: what the user can do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, torch.OutOfMemoryError):
            reason = ". ".join(reason.split(". ")[:2])  # how much; then come hints for programmers
        elif not isinstance(error, MemoryError) and "DefaultCPUAllocator" not in reason:
            raise
        raise InputError(f"there is not enough memory ({reason}); {cure}") from error


@contextmanager
def lack_of_compiler_in_words() -> Iterator[None]:
    """Within, a failure of torch.compile, as without a C++ compiler, raises CompilerError.

    What fails while it compiles, as for want of memory, raises as it does elsewhere.
    """
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415 - takes a second

        if not isinstance(error, TorchDynamoException):
            raise
        inner = getattr(error, "inner_exception", error)
        if isinstance(inner, MemoryError | torch.OutOfMemoryError):
            raise inner from error
        reason = str(inner).strip().partition("\n")[0] or type(inner).__name__
        raise CompilerError(
            f"torch.compile does not work here ({reason}); give the same command without --compile"
        ) from error


@contextmanager
def compute_threads(wish: int | None, width: int, px: int) -> Iterator[None]:
    """Within, torch computes with `wish` threads; None: one for a small network, else as before.

    The steps of a small network are so short that threads wait for one another more than they
    work: on two busy cores two threads took five times as long as one.
    """
    before = torch.get_num_threads()
    small = width * px <= SMALL_NETWORK
    torch.set_num_threads(wish or (1 if small else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_workers(wish: int | None) -> int:
    """Decoding processes: the number wished for, else one for each core, up to 8.

    Where several processes of a run are on this machine, they share the cores. Within a worker of
    a `multiprocessing.Pool`, which may start none, it is 0: that process decodes itself.

    Raises InputError if processes are wished for and may not be started.
    """
    if multiprocessing.current_process().daemon:
        if wish:
            raise InputError(
                f"workers is {wish}, and this process, as a worker of multiprocessing.Pool, may "
                "start none; give workers=0, or leave it out"
            )
        return 0
    if wish is not None:
        return wish
    cores: int = cpu_count()  # that the process may use, of those that the machine has
    return max(1, min(8, cores // local_processes()))


def local_processes() -> int:
    """How many processes of a run torchrun has started on this machine; 1 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def begin_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` count from now on, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak is what is resident now


def peak_memory(device: torch.device) -> int:
    """Most bytes at once: of a CUDA device that torch handed out, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        peak_kib = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return 1024 * int(peak_kib)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
