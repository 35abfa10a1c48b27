"""Which devices there are to measure on."""

import torch

from newfound.machine.device import choose_device


def devices() -> list[torch.device]:
    """The CPU and, where there is one, the CUDA device that a run would choose."""
    return list(dict.fromkeys([torch.device("cpu"), choose_device("auto")]))
