"""What the owner of a process settles: for commands to call, never at import."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's `mallopt`, from its `malloc.h`."""


def let_waiting_threads_sleep() -> None:
    """Make OpenMP's idle threads sleep, unless the environment says otherwise.

    Threads that spin while they wait take the cores from one another on a shared machine, up to
    ten times over. OpenMP reads its policy once: to be called before torch is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next use; nothing happens with another C library.

    glibc gives a large block back to the kernel as soon as it is free, and taking it again at
    the next step, page fault by page fault, costs a third of a training step on a CPU.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
