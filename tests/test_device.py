import os

import pytest
import torch

from newfound.device import (
    choose_device,
    choose_workers,
    compute_threads,
    describe,
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


def test_workers_are_the_cores_that_may_be_used() -> None:
    assert choose_workers(None) == min(8, os.cpu_count())
    assert choose_workers(0) == 0


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
