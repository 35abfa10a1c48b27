"""What the file system says of many files: how long they are, when they last changed."""

import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from newfound.data.index import SETTLED_SECONDS
from newfound.data.texts import Texts

_THREADS = 16  # a disk or a network can have many answers on their way
_EACH = 1024
_ASKED_AT_ONCE = 4 * _THREADS * _EACH

_Answer = TypeVar("_Answer", bound=np.generic)


def sizes(paths: Texts) -> NDArray[np.int64]:
    """(n,) bytes, -1 where there is no file."""
    return _of_each(paths, _size, np.int64)


def marks(paths: Texts) -> NDArray[np.uint64]:
    """(n,) hashes of path, size and times of change, see `source.Marked.marks`.

    0 where there is no file, or one that changed just now.
    """
    return _of_each(paths, _mark, np.uint64)


def are_absent(paths: Texts) -> NDArray[np.bool_]:
    """(n,) whether nothing is there; False for what is there but closed to us."""
    return _of_each(paths, _is_absent, np.bool_)


def _of_each(paths: Texts, ask: Callable[[str], int], dtype: type[_Answer]) -> NDArray[_Answer]:
    answers = [np.zeros(0, dtype)]
    with ThreadPoolExecutor(_THREADS) as pool:
        for at in range(0, len(paths), _ASKED_AT_ONCE):
            asked = paths[at : at + _ASKED_AT_ONCE]
            shares = [asked[start : start + _EACH] for start in range(0, len(asked), _EACH)]
            answers += pool.map(lambda share: np.array([*map(ask, share)], dtype), shares)
    return np.concatenate(answers)


# A Path takes longer to make than the system takes to answer.
# ruff: noqa: PTH100, PTH116


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _mark(path: str) -> int:
    now = time.time()
    try:
        status = os.stat(path)
    except OSError:
        return 0
    what = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    if max(what[1:]) >= (now - SETTLED_SECONDS) * 1e9:
        return 0
    text = f"{what} {os.path.abspath(path)}"
    return int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=8).digest())


def _is_absent(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return False
    return False
