"""Where decoded items are kept: on the device, in memory, or nowhere."""

from typing import Literal

import torch

from newfound.config import Cache
from newfound.machine.distributed import everyones
from newfound.machine.memory import free_memory, free_on_gpu
from newfound.machine.torchrun import started_here

Room = Literal["device", "memory", "none"]
"""Where decoded items are kept."""


def choose_room(
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
    if n_bytes > free_memory() / 2 / started_here():
        return "none"
    if device.type == "cuda" and n_bytes <= free_on_gpu(device) / 2:
        return "device"
    return "memory"
