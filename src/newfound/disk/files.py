"""Writing files so that a reader never meets half of one, and by one process alone.

Of several processes at a run the others do what the writer does, and here it comes to nothing.
"""

import csv
import os
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError

from newfound.errors import RunFolderError
from newfound.machine.distributed import is_writer

_BESIDE = ".part"

_DISK_FULL = "the disk is probably full"

_TORCH_CANNOT_WRITE = re.compile(r"inline_container\.cc|PytorchStreamWriter failed")
"""In what torch raises where the system writes less than it was given, and does not say why."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a new file beside `path`, then put it in place of `path` in one move.

    Nothing happens in a process that is not the writer.
    Whatever happens, `path` holds either its old content or all of the new.
    Raises RunFolderError if the disk is full, read-only or gone, or no file can be there.
    """
    if not is_writer():
        return
    try:
        handle, name = tempfile.mkstemp(_BESIDE, f".{path.name}.", path.parent)
        os.close(handle)
    except OSError as error:
        raise unwritable(path, error) from error
    beside = Path(name)
    try:
        write(beside)
        _to_disk(beside)
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch's is a RuntimeError
        raise unwritable(path, error) from error
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_atomically` for text, UTF-8."""
    write_atomically(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """`write_atomically` for a table. Text is quoted: csv leaves a bare carriage return as it is,
    which a reader takes for the end of the row."""
    quoted = partial(table.to_csv, index=False, quoting=csv.QUOTE_NONNUMERIC)
    write_atomically(path, quoted)


def leftovers(folder: Path) -> list[Path]:
    """Unfinished files in `folder`, left by a process that was killed in `write_atomically`."""
    return list(folder.glob(f".*{_BESIDE}"))


def unwritable(path: Path, error: Exception) -> RunFolderError:
    """The error for a file or folder that could not be written, with its cure."""
    if isinstance(error, FileExistsError | IsADirectoryError | NotADirectoryError):
        return RunFolderError(f"cannot write {path}: {_in_the_way(path)}; give another place")
    reason = _DISK_FULL if _TORCH_CANNOT_WRITE.search(str(error)) else str(error)
    return RunFolderError(
        f"cannot write {path}: {reason}. What was written before is whole; free the disk or make "
        "it writable, then give the same command again to go on"
    )


def damaged(path: Path, error: Exception | str) -> RunFolderError:
    """The error for an output of a run that cannot be read, with its cure."""
    return RunFolderError(
        f"{path} is absent or damaged: {error}. Delete it, if it is there, and give the run's "
        "command again, which makes it anew"
    )


def _in_the_way(path: Path) -> str:
    """What is where a file or folder was to be, or above it."""
    there = next((place for place in (path, *path.parents) if os.path.lexists(place)), path)
    return f"{there} is a {'folder' if there.is_dir() else 'file'}"


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
