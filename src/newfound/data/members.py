"""Members of shards: files within tar files, read by where they lie in these.

A shard here is opened for each member that is read, and of the member only what is asked for is
read: of a video a clip. From afar a member is fetched whole, by one request, and kept until another
one is asked for.
"""

import hashlib
import io
import os
from collections.abc import Sequence
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from newfound.data.addresses import common_folder, is_remote, read_part
from newfound.data.stored import open_regular
from newfound.data.texts import Texts
from newfound.data.words import printable
from newfound.errors import InputError

MAX_BYTES = 2**30
"""What is longer is not fetched from afar, as it would lie in memory whole."""


class Members:
    """Members of shards, see `stored.Stored`.

    Only columns are held. What keeps a connection is fsspec's own, anew in each process.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        shard_stamps: Sequence[str],
        names: Texts,
        shard_of: NDArray[np.int32],
        offsets: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> None:
        """addresses: of the shards.  shard_stamps: what changes with a shard, "" = unknown.

        names: n names to know the members by.  shard_of: (n,) int32.  offsets, sizes: (n,) int64
        bytes in the shard.
        """
        self.addresses = tuple(addresses)
        self.shard_stamps = tuple(shard_stamps)
        self.names = names
        self.shard_of = shard_of
        self.offsets = offsets
        self.sizes = sizes
        self._folder = common_folder(self.addresses)
        self._fetched_last = (-1, b"")  # a row and its content, as clips of a video come in turn

    def __len__(self) -> int:
        return len(self.names)

    def open(self, i: int) -> IO[bytes]:
        """See Stored."""
        address = self.addresses[self.shard_of[i]]
        start, size = int(self.offsets[i]), int(self.sizes[i])
        if size == 0:
            raise OSError("empty file")
        if is_remote(address):
            if self._fetched_last[0] != i:
                self._fetched_last = (i, _fetched(address, start, size))
            return io.BytesIO(self._fetched_last[1])
        shard = open_regular(address)
        if os.fstat(shard.fileno()).st_size < start + size:
            shard.close()
            raise OSError(_CUT)
        return io.BufferedReader(_Window(shard, start, size))

    def stamps(self) -> NDArray[np.int64]:
        """See Stored."""
        return self.sizes.copy()

    def marks(self) -> NDArray[np.uint64]:
        """See Stored."""
        of_shards = np.array(
            [_hash(pair) if pair[1] else 0 for pair in zip(self.addresses, self.shard_stamps)],
            dtype=np.uint64,
        )[self.shard_of]
        spread = self.offsets.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # no two alike
        return np.where(of_shards == 0, np.uint64(0), of_shards ^ spread)

    def place(self) -> str:
        """See Stored: the folder of the shards."""
        return self._folder

    def name(self, i: int) -> str:
        """See Stored: the shard's address, and the name in it."""
        return printable(self._folder + self.names[i])

    def path(self, i: int) -> str:
        """Raises InputError: a member of a shard has no path of its own."""
        raise InputError(
            f"{self.name(i)!r} lies in a shard, so it cannot be copied or linked to; leave "
            "--copy-to out, or unpack the shards"
        )

    def subset(self, rows: NDArray[np.int64]) -> Self:
        """See Stored."""
        return type(self)(
            self.addresses,
            self.shard_stamps,
            self.names.subset(rows),
            self.shard_of[rows],
            self.offsets[rows],
            self.sizes[rows],
        )


_CUT = "its shard ends before it"


def _fetched(address: str, start: int, size: int) -> bytes:
    if size > MAX_BYTES:
        raise OSError(f"more than {MAX_BYTES:,} bytes, too many to fetch; keep its shard here")
    content = read_part(address, start, start + size)
    if len(content) > size:
        raise OSError("its server sends the whole shard where a part of it was asked for")
    if len(content) < size:
        raise OSError(_CUT)
    return content


class _Window(io.RawIOBase):
    """A part of a file, as a file of its own, with which the whole is closed."""

    def __init__(self, whole: io.FileIO, start: int, size: int) -> None:
        """start, size: bytes."""
        self._whole = whole
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # as it is called
        self._whole.seek(self._start + self._at)
        n = self._whole.readinto(memoryview(buffer)[: max(self._size - self._at, 0)])
        self._at += n
        return n

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if self._at < 0:
            raise OSError("a place before its beginning")
        return self._at

    def close(self) -> None:
        self._whole.close()
        super().close()


def _hash(what: tuple[str, str]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=8).digest())
