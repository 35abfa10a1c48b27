import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from newfound.disk.checkpoint import load_checkpoint, save_checkpoint
from newfound.errors import RunFolderError

STATE = {"training": {"weights": torch.arange(20.0), "step": 3, "nested": {"x": [1, 2.5, None]}}}


def test_a_state_comes_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", STATE)
    state = load_checkpoint(tmp_path / "c.pt")
    assert torch.equal(state["training"].pop("weights"), torch.arange(20.0))
    assert state == {"training": {"step": 3, "nested": {"x": [1, 2.5, None]}}}


def test_no_damage_whatever_ends_in_another_error(tmp_path: Path) -> None:
    """Cut short, bytes changed, or something else that begins like a pickle."""
    path = tmp_path / "c.pt"
    save_checkpoint(path, STATE)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0  # not all: a changed byte may do no harm
    for case in range(300):
        damaged = bytearray(whole)
        if case % 3 == 0:
            damaged = damaged[: random.integers(0, len(whole))]
        elif case % 3 == 1:
            for place in random.integers(0, len(whole), 5):
                damaged[place] = random.integers(0, 256)
        else:
            damaged = bytearray(b"\x80\x02" + random.bytes(100))
        path.write_bytes(damaged)
        try:
            with warnings.catch_warnings(action="ignore"):
                load_checkpoint(path)
        except RunFolderError as error:
            assert "Delete that file" in str(error)
            refused += 1
    assert refused > 200


def test_something_else_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "c.pt")
    with pytest.raises(RunFolderError, match="is no checkpoint of newfound"):
        load_checkpoint(tmp_path / "c.pt")
