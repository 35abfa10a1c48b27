"""How many cores compute and how many decode, of those that the process may use."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from joblib import cpu_count

from newfound.errors import InputError
from newfound.machine.torchrun import started_here

SMALL_NETWORK = 512
"""Width times pixels of a side up to which one thread is enough."""


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
    return max(1, min(8, cores // started_here()))
