"""The training state on disk: whole or absent, and never code."""

from pathlib import Path
from typing import Any

import torch

from newfound.disk.files import write_atomically
from newfound.errors import RunFolderError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state beside `path`, then move it there; the old one stays whole until then.

    Raises RunFolderError if it cannot be written.
    """
    write_atomically(path, lambda beside: torch.save(state, beside))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state, on the CPU. Raises RunFolderError if the file is damaged; runs no code from it."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = str(error).strip().partition("\n")[0]
        raise RunFolderError(
            f"{path} is damaged and cannot be continued ({reason}). Delete that file to train "
            "again from the start, or give another --out"
        ) from error
    if not isinstance(state, dict):
        raise RunFolderError(f"{path} is no checkpoint of newfound; give another --out")
    return state
