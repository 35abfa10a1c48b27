"""Items are kept where they fit, or where it is wished."""

from typing import Any

import pytest
import torch

from newfound.data import room
from newfound.data.room import choose_room

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("n_items", "device", "wish", "expected"),
    [
        (400, CUDA, "auto", "device"),
        (600, CUDA, "auto", "memory"),
        (6000, CUDA, "auto", "none"),
        (400, CPU, "auto", "memory"),
        (6000, CPU, "auto", "none"),
        (6000, CUDA, "device", "device"),
        (6000, CPU, "device", "memory"),
        (6000, CPU, "memory", "memory"),
        (1, CUDA, "none", "none"),
    ],
)
def test_the_cache_is_where_it_fits_or_where_it_is_wished(
    monkeypatch: pytest.MonkeyPatch, n_items: int, device: torch.device, wish: Any, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000 * 10, 0))
    monkeypatch.setattr(room, "free_memory", lambda: 10_000 * 10)
    assert choose_room(n_items, 10, device, wish) == expected
