"""What was found out about large sets and is kept between runs, in a folder beside the data.

Nothing here is needed: an index that is absent, damaged, of other data or cannot be written is
as good as none, and nothing depends on whether there was one but time. All of it may be deleted
at any time. An index is a SHA-256 digest and a Parquet table, which holds no code; it is written
whole or not at all.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from newfound.data.folders import Listing, list_folder
from newfound.data.texts import BYTES, column, decoded
from newfound.disk.files import write_atomically
from newfound.errors import RunFolderError

WORTH_KEEPING = 10_000
"""Of fewer items nothing is kept: they are looked at in less than a second."""

SETTLED_SECONDS = 2.0
"""What changed less than that before it was looked at may change once more without a sign: the
clocks of file systems tick in steps, of FAT of 2 s."""

About = dict[str, Any]
"""What a table is about, in JSON's types; a table about anything else is not found."""

_DIGEST_BYTES = 32

_NAMES = pa.large_list(BYTES)
_LISTINGS = pa.schema(
    [
        ("folder", BYTES),
        ("changed_ns", pa.int64()),
        ("inode_changed_ns", pa.int64()),
        ("inode", pa.uint64()),
        ("files", _NAMES),
        ("folders", _NAMES),
        ("links", _NAMES),
    ]
)


def cache_folder() -> Path:
    """Where the tables lie: newfound/ in $XDG_CACHE_HOME, or in ~/.cache.

    Raises RuntimeError if there is no home.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "newfound"


def read_table(about: About, schema: pa.Schema) -> tuple[pa.Table, Any] | None:
    """The table kept about this, with what was noted with it; None if it cannot be had."""
    try:
        content = memoryview(_place(about).read_bytes())
        if hashlib.sha256(content[_DIGEST_BYTES:]).digest() != content[:_DIGEST_BYTES]:
            return None
        with pq.ParquetFile(pa.BufferReader(content[_DIGEST_BYTES:])) as file:
            table = file.read(use_threads=False)
        kept_about, note = json.loads(table.schema.metadata[b"newfound"])
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, pa.ArrowException):
        return None
    table = table.replace_schema_metadata(None)
    is_it = kept_about == about and table.schema.equals(schema)
    return (table, note) if is_it and not any(map(_has_nulls, table.columns)) else None


def keep_table(about: About, table: pa.Table, note: Any = None) -> None:
    """Keep a table about this, in place of another one; in vain where nothing can be written."""
    noted = json.dumps([about, note]).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata({b"newfound": noted}), sink, compression="zstd")
    content = sink.getvalue()
    digest = hashlib.sha256(content).digest()

    def write(beside: Path) -> None:
        with beside.open("wb") as file:
            file.write(digest)
            file.write(content)

    try:
        place = _place(about)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(place, write)
    except (OSError, RuntimeError, RunFolderError):
        pass


class Listings:
    """What lies in folders, known where a folder did not change since it was last listed.

    Adding, removing and renaming changes a folder's time stamps, what happens within a file does
    not: of files nothing but the names is kept, and where a link leads is looked up each time.
    """

    def __init__(self, *places: Path) -> None:
        """places: the folders that the data were given as; their listings are kept together."""
        self._about: About = {"listings": [_absolute(str(place)) for place in places], "format": 1}
        self._known: dict[str, _Listed] = {}
        self._kept: dict[str, _Listed] = {}
        self._n_files = 0
        if found := read_table(self._about, _LISTINGS):
            self._known = _listed(found[0])

    def __call__(self, folder: str) -> Listing:
        """See `folders.list_folder`."""
        path, now = _absolute(folder), time.time()
        stamp = _stamp(path)
        known = self._known.get(path)
        listing = known.listing if known and known.stamp == stamp else list_folder(folder)
        if stamp is not None and max(stamp[:2]) < (now - SETTLED_SECONDS) * 1e9:
            self._kept[path] = _Listed(stamp, listing)
        self._n_files += len(listing.files) + len(listing.links)
        return listing

    def keep(self) -> None:
        """Keep what was listed, if it is much and not what was known."""
        if self._n_files >= WORTH_KEEPING and _stamps(self._kept) != _stamps(self._known):
            keep_table(self._about, _table(self._kept))


_Stamp = tuple[int, int, int]
"""When the folder was changed, when its inode was, in ns; which inode it is."""


class _Listed(NamedTuple):
    """A listing, and the folder's stamp before it was made."""

    stamp: _Stamp
    listing: Listing


def _stamp(folder: str) -> _Stamp | None:
    try:
        status = os.stat(folder)  # noqa: PTH116 - there may be a million folders
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _stamps(listed: dict[str, _Listed]) -> dict[str, _Stamp]:
    return {path: of_folder.stamp for path, of_folder in listed.items()}


def _table(listed: dict[str, _Listed]) -> pa.Table:
    stamps, listings = [a.stamp for a in listed.values()], [a.listing for a in listed.values()]
    return pa.Table.from_arrays(
        [
            column(listed),
            pa.array([stamp[0] for stamp in stamps], pa.int64()),
            pa.array([stamp[1] for stamp in stamps], pa.int64()),
            pa.array([stamp[2] for stamp in stamps], pa.uint64()),
            _lists([listing.files for listing in listings]),
            _lists([column(listing.folders) for listing in listings]),
            _lists([column(listing.links) for listing in listings]),
        ],
        schema=_LISTINGS,
    )


def _listed(table: pa.Table) -> dict[str, _Listed]:
    paths = table.column(0).combine_chunks()
    changed, inode_changed, inode = (table.column(at).to_pylist() for at in range(1, 4))
    files, folders, links = (table.column(at).combine_chunks() for at in range(4, 7))
    listings = map(
        Listing,
        _parts(files, files.values),
        _parts(folders, decoded(folders.values)),
        _parts(links, decoded(links.values)),
    )
    stamps = zip(changed, inode_changed, inode)
    return dict(zip(decoded(paths), map(_Listed, stamps, listings)))


def _lists(names: Sequence[pa.LargeBinaryArray]) -> pa.LargeListArray:
    ends = np.cumsum([0, *map(len, names)], dtype=np.int64)
    return pa.LargeListArray.from_arrays(ends, pa.concat_arrays([column([]), *names]))


def _parts(lists: pa.LargeListArray, values: Any) -> Iterator[Any]:
    """The slice of the values for each list."""
    return (values[start:end] for start, end in pairwise(lists.offsets.to_pylist()))


def _has_nulls(values: pa.ChunkedArray) -> bool:
    is_list = pa.types.is_large_list(values.type)
    return bool(values.null_count or (is_list and pc.list_flatten(values).null_count))


def _place(about: About) -> Path:
    text = json.dumps(about, sort_keys=True).encode()
    return cache_folder() / f"{hashlib.sha256(text).hexdigest()[:32]}.index"


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - Path.absolute leaves .. in it
