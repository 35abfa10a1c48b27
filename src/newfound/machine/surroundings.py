"""What torch and numpy are set to around a call from Python, as a notebook may have left them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch


@contextmanager
def plain_surroundings() -> Iterator[None]:
    """Within, torch and numpy are set as in a fresh process, and then as they were before.

    That is: gradients, float32, tensors on the CPU, no autocast, and numpy's own way with errors.
    The current GPU may change within. The default dtype is one for all threads, the others are
    the thread's own.
    """
    dtype, gpu = torch.get_default_dtype(), _current_gpu()
    with ExitStack() as held:
        held.callback(_take_gpu, gpu)
        held.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        held.enter_context(torch.inference_mode(False))  # which turns gradients on, too
        for kind in ("cpu", "cuda"):
            held.enter_context(torch.autocast(kind, enabled=False))
        held.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        if _makes_tensors_elsewhere():  # else not: it slows every call of torch a little
            held.enter_context(torch.device("cpu"))
        yield


def _current_gpu() -> int:
    return torch.cuda.current_device() if torch.cuda.is_initialized() else 0


def _take_gpu(number: int) -> None:
    if torch.cuda.is_initialized():
        torch.cuda.set_device(number)


def _makes_tensors_elsewhere() -> bool:
    try:
        return torch.get_default_device().type != "cpu"
    except (RuntimeError, AssertionError):  # of a device that is not there
        return True
