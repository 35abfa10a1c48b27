import multiprocessing
import os
import re
import resource
import sys
from pathlib import Path

import pytest
import torch

from newfound.device import (
    begin_peak_memory,
    choose_device,
    choose_workers,
    compute_threads,
    describe,
    lack_of_memory_in_words,
    peak_memory,
    uses_bfloat16,
)
from newfound.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize("wish", ["abacus", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there_is_named(wish: str) -> None:
    with pytest.raises(InputError, match=f"device '{wish}' is not on this machine; give auto"):
        choose_device(wish)


def test_auto_takes_what_there_is() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == CPU


def test_precision_can_be_ordered() -> None:
    assert uses_bfloat16("bfloat16", CPU)
    assert not uses_bfloat16("float32", CPU)


def test_a_gpu_that_is_named_becomes_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    for wish in ("cuda:1", "cuda", "cpu"):
        assert choose_device(wish) == torch.device(wish)
    assert chosen == [torch.device("cuda:1")]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_workers_are_the_cores_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert choose_workers(None) == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert choose_workers(0) == 0


def test_a_worker_of_a_pool_decodes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_workers(3) == 3
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    assert choose_workers(None) == choose_workers(0) == 0
    with pytest.raises(InputError, match=r"workers is 3, and this process.*give workers=0"):
        choose_workers(3)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB. Set X"), "memory. Tried 2 GiB)"),
        (MemoryError("Unable to allocate 9 TiB"), "(Unable to allocate 9 TiB)"),
    ],
)
def test_a_lack_of_memory_is_told_with_its_cure(error: Exception, reason: str) -> None:
    with (
        pytest.raises(InputError, match=f"not enough memory .*{re.escape(reason)}; give less"),
        lack_of_memory_in_words("give less"),
    ):
        raise error


def test_what_a_cpu_cannot_allocate_is_a_lack_of_memory() -> None:
    with pytest.raises(InputError, match="; give less"), lack_of_memory_in_words("give less"):
        torch.empty(2**55, dtype=torch.uint8)


def test_other_errors_are_no_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match=r"^other$"), lack_of_memory_in_words("give less"):
        raise RuntimeError("other")


@pytest.mark.parametrize(
    ("wish", "width", "px", "expected"), [(None, 16, 32, 1), (None, 64, 32, 3), (2, 16, 32, 2)]
)
def test_a_small_network_computes_with_one_thread(
    wish: int | None, width: int, px: int, expected: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with compute_threads(wish, width, px):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_hardware_is_named() -> None:
    assert describe(CPU).startswith("CPU, ")
    assert f"{torch.get_num_threads()} threads" in describe(CPU)


def touch(n_bytes: int) -> None:
    """Use so much memory, and give it back."""
    torch.empty(n_bytes, dtype=torch.uint8).fill_(1)


def can_begin_anew() -> bool:
    """Whether the system lets a process forget its peak: Linux does, most sandboxes do not."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


@pytest.mark.skipif(not can_begin_anew(), reason="the peak cannot be forgotten here")
def test_the_peak_of_memory_grows_with_what_is_touched_and_begins_anew() -> None:
    touched = 400_000_000
    begin_peak_memory(CPU)
    before = peak_memory(CPU)
    touch(touched)
    assert touched / 2 < peak_memory(CPU) - before < 2 * touched
    peak = peak_memory(CPU)
    touch(1_000_000)
    assert peak_memory(CPU) >= peak  # it is the peak, not what is in use
    begin_peak_memory(CPU)
    assert peak_memory(CPU) < peak - touched / 2


def test_where_the_system_does_not_tell_the_peak_of_the_process_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a Mac, whose count is of bytes, or a system without Linux's files."""

    def absent(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    monkeypatch.setattr(Path, "write_text", absent)
    begin_peak_memory(CPU)
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert peak_memory(CPU) == pytest.approx(1024 * kib, rel=0.05)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_memory(CPU) == pytest.approx(kib, rel=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_of_a_cuda_device_it_is_that_devices_memory() -> None:
    device = torch.device("cuda")
    begin_peak_memory(device)
    before = peak_memory(device)
    torch.empty(50_000_000, dtype=torch.uint8, device=device).fill_(1)
    assert peak_memory(device) >= before + 50_000_000
    begin_peak_memory(device)
    assert peak_memory(device) == before
