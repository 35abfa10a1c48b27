"""Which device computes, and in which precision."""

from typing import Literal

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
