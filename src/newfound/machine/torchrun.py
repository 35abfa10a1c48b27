"""What torchrun tells each process that it starts, before the processes have joined."""

import os


def started() -> int:
    """How many processes torchrun has started, joined or not; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def started_here() -> int:
    """How many of them on this machine; 1 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the first of them, which writes and speaks once they have joined."""
    return started() == 1 or int(os.environ.get("RANK", "0")) == 0
