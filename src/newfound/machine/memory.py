"""How much memory is free, how much was used at most, and what to say where it is too little."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import torch

from newfound.errors import LocalError


class _GroupFiles(NamedTuple):
    """What a control group's files are called, and a line of its `memory.stat`."""

    limit: str
    current: str
    inactive: str


_VERSION_1 = _GroupFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = _GroupFiles("memory.max", "memory.current", "inactive_file")


def free_memory() -> int:
    """Bytes of memory that can be had, by Linux's files; elsewhere a careful 4 GiB."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return 4 * 2**30
    available = int(_numbers(meminfo)["MemAvailable:"]) * 1024
    return min([available, *_left_to_groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def free_on_gpu(device: torch.device) -> int:
    """Bytes of a CUDA device that can be had, with those that torch keeps for later use."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _left_to_groups(own: Path, root: Path) -> Iterator[int]:
    """Bytes that are left to this process's control group and those around it, as jobs have them.

    What Linux would give up when asked, pages of files read long ago, counts as left.

    own: tells which group it is; root: where they all lie, of either version.
    """
    lines = own.read_text().splitlines() if own.exists() else []
    told = (line.split(":", 2) for line in lines if line.count(":") > 1)
    groups = {kind: name for _, kind, name in told}
    memory = next((name for kind, name in groups.items() if "memory" in kind.split(",")), "/")
    yield from _left(root, groups.get("", "/"), _VERSION_2)
    yield from _left(root / "memory", memory, _VERSION_1)


def _left(root: Path, group: str, files: _GroupFiles) -> Iterator[int]:
    """Bytes left to a group and to those around it, as far as they have a limit."""
    innermost = root / group.removeprefix("/")
    for place in (innermost, *innermost.parents):
        limit = place / files.limit
        if place.is_relative_to(root) and limit.exists():
            text = limit.read_text().strip()
            if text != "max":
                yield max(0, int(text) - _used(place, files))


def _used(group: Path, files: _GroupFiles) -> int:
    """Bytes; 0 where the system does not tell, as some sandboxes do not."""
    with suppress(OSError, KeyError, ValueError):
        inactive = int(_numbers(group / "memory.stat")[files.inactive])
        return int((group / files.current).read_text()) - inactive
    return 0


def _numbers(table: Path) -> dict[str, str]:
    """Of each line the first two words."""
    words = map(str.split, table.read_text().splitlines())
    return {name: number for name, number, *_ in words}


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


@contextmanager
def lack_of_memory_in_words(cure: str, of_gpu: str = "") -> Iterator[None]:
    """Within, what fails for want of memory raises LocalError.

    cure: what the user can do.  of_gpu: what to say before it, where it is a GPU's.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, torch.OutOfMemoryError):
            reason = ". ".join(reason.split(". ")[:2])  # how much; then come hints for programmers
        elif not isinstance(error, MemoryError) and "DefaultCPUAllocator" not in reason:
            raise
        of_gpu = of_gpu if isinstance(error, torch.OutOfMemoryError) else ""
        told = LocalError(f"there is not enough memory ({reason}); {of_gpu}{cure}")
        told.is_shared = getattr(error, "is_shared", False)
        raise told from error
