"""Which device computes, and in which precision."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from newfound.errors import InputError


def choose_device(wish: str) -> torch.device:
    """`auto` takes CUDA where there is one; a GPU given by its number becomes the current one.

    Raises InputError for a device that is not there.
    """
    if wish == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wish)
        torch.empty(0, device=device)
        is_there = device.type in ("cpu", "cuda")
    except (RuntimeError, AssertionError, NotImplementedError):
        is_there = False
    if not is_there:
        raise InputError(f"device {wish!r} is not on this machine; give auto, cpu, cuda or cuda:1")
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


@contextmanager
def float32_as_such(precision: str) -> Iterator[None]:
    """Within, float32 is multiplied as float32, and by convolutions too if that is the precision.

    Else torch rounds what is convolved on a GPU to TF32's 10 bits, and what is multiplied if a
    notebook or the environment says so. Pairs are counted by such products whatever the precision
    of the network.
    """
    backends: Any = torch.backends  # of which the annotations know a part
    convolutions = [backends.cudnn.conv, backends.cudnn.rnn]  # cuDNN's, which are told together
    kinds = [backends.cuda.matmul, backends.mkldnn.matmul, *convolutions]
    before = [kind.fp32_precision for kind in kinds]
    products = _told(torch.get_float32_matmul_precision)
    tf32 = _told(lambda: backends.cudnn.allow_tf32)
    # By the older setters as well as the newer ones, as torch.compile reads the older.
    torch.set_float32_matmul_precision("highest")
    if precision == "float32":
        backends.cudnn.allow_tf32 = False
        for kind in convolutions:
            kind.fp32_precision = "ieee"
    try:
        yield
    finally:
        if products is not None:
            torch.set_float32_matmul_precision(products)
        if tf32 is not None:
            backends.cudnn.allow_tf32 = tf32
        for kind, value in zip(kinds, before):
            kind.fp32_precision = value


def _told(get: Callable[[], Any]) -> Any:
    """What torch tells; None where it refuses to, as somebody has used the newer setters."""
    try:
        return get()
    except RuntimeError:
        return None


def describe(device: torch.device) -> str:
    """The hardware in words, for logs and results."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name", "CPU")
    return f"{device.type.upper()}, {name}, {torch.get_num_threads()} threads"
