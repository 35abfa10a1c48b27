"""Where the bytes of items lie: in files of their own, or within shards (`members`)."""

import io
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from newfound.data.file_status import marks, sizes
from newfound.data.source import Marked
from newfound.data.texts import Texts
from newfound.data.words import printable


class Stored(Marked, Protocol):
    """Encoded images or videos by row, wherever they lie. Rows count from 0."""

    def open(self, i: int) -> IO[bytes]:
        """What is stored in row i, to read and seek in. Raises OSError, from afar StoreError."""
        ...

    def stamps(self) -> NDArray[np.int64]:
        """(n,) sizes in bytes, -1 where nothing is."""
        ...

    def name(self, i: int) -> str:
        """Where row i lies, printable; it ends as the file is called."""
        ...

    def path(self, i: int) -> str:
        """Of a file of its own the path; bytes that are not UTF-8 appear as surrogates.

        Raises InputError for what is no such file.
        """
        ...


class Files:
    """Files of their own, see `Stored`."""

    def __init__(self, paths: Iterable[str | bytes | os.PathLike[str]]) -> None:
        self.paths = paths if isinstance(paths, Texts) else Texts(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def open(self, i: int) -> IO[bytes]:
        """See Stored."""
        return io.BufferedReader(open_regular(self.path(i)))

    def stamps(self) -> NDArray[np.int64]:
        """See Stored."""
        return sizes(self.paths)

    def marks(self) -> NDArray[np.uint64]:
        """See Stored."""
        return marks(self.paths)

    def place(self) -> str:
        """See Stored: their common folder."""
        folders = [os.path.abspath(folder) for folder in self.paths.beginnings]  # noqa: PTH100
        return os.path.commonpath(folders) if folders else ""

    def name(self, i: int) -> str:
        """See Stored."""
        return printable(self.path(i))

    def path(self, i: int) -> str:
        """See Stored; never raises."""
        return self.paths[i]

    def subset(self, rows: NDArray[np.int64]) -> Self:
        """See Stored."""
        return type(self)(self.paths.subset(rows))


def stored(files: Stored | Iterable[str | bytes | os.PathLike[str]]) -> Stored:
    """What is stored, itself or as the paths of its files."""
    return Files(files) if isinstance(files, Iterable) else files


def open_regular(path: str) -> io.FileIO:
    """A file that is opened. Raises OSError, for an empty one and what is no regular file, too."""
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise OSError("not a regular file")
    if status.st_size == 0:
        raise OSError("empty file")
    return io.FileIO(path)
