import re
import resource
import sys
from pathlib import Path

import pytest
import torch

from newfound.errors import InputError
from newfound.machine import memory
from newfound.machine.memory import begin_peak_memory, lack_of_memory_in_words, peak_memory

CPU = torch.device("cpu")


def test_free_memory_is_plausible() -> None:
    assert 2**20 < memory.free_memory() < 2**50


@pytest.mark.parametrize(
    ("own", "left"),
    [
        ("0::/job/step", [100 - 60 + 10, 700 - 650]),
        ("0::/job/step/full", [0, 100 - 60 + 10, 700 - 650]),
        ("0::/job/untold", [300, 700 - 650]),
        ("0::/", []),
        ("4:memory:/job/step\n0::/other", []),
    ],
)
def test_what_a_jobs_groups_have_used_is_not_free(
    tmp_path: Path, own: str, left: list[int]
) -> None:
    root = tmp_path / "groups"
    for place, limit, used, files in (
        ("", "max", 9000, 0),
        ("job", "700", 650, 0),
        ("job/step", "100", 60, 10),
        ("job/step/full", "50", 60, 0),  # as for a moment after a limit was lowered
    ):
        group = root / place
        group.mkdir(exist_ok=True)
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"anon 5\nactive_file 3\ninactive_file {files}\n")
    (root / "job" / "untold").mkdir()
    (root / "job" / "untold" / "memory.max").write_text("300\n")
    (tmp_path / "own").write_text(own + "\n")
    assert list(memory._left_to_groups(tmp_path / "own", root)) == left


def test_groups_of_the_first_version_are_known_too(tmp_path: Path) -> None:
    """As on clusters of older systems, where the kinds of limits lie in trees of their own."""
    root = tmp_path / "groups"
    for place, limit, used, files in (
        ("", 2**63 - 4096, 9000, 0),
        ("slurm/job", 700, 650, 20),
    ):
        group = root / "memory" / place
        group.mkdir(parents=True, exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (group / "memory.usage_in_bytes").write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"cache 5\ntotal_inactive_file {files}\n")
    (tmp_path / "own").write_text("9:cpu,memory_recursive:/slurm\n4:memory:/slurm/job\n0::/\n\n")
    left = list(memory._left_to_groups(tmp_path / "own", root))
    assert left == [700 - 650 + 20, 2**63 - 4096 - 9000]


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


def test_what_makes_room_on_a_gpu_is_told_of_a_gpu_alone() -> None:
    for error, told in ((torch.OutOfMemoryError("full"), True), (MemoryError("full"), False)):
        with pytest.raises(InputError) as raised, lack_of_memory_in_words("give less", "move; or "):
            raise error
        assert str(raised.value).endswith("(full); move; or give less") == told


def test_what_a_cpu_cannot_allocate_is_a_lack_of_memory() -> None:
    with pytest.raises(InputError, match="; give less"), lack_of_memory_in_words("give less"):
        torch.empty(2**55, dtype=torch.uint8)


def test_other_errors_are_no_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match=r"^other$"), lack_of_memory_in_words("give less"):
        raise RuntimeError("other")


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
