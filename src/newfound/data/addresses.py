"""Files here or at any address that fsspec knows: how they are opened, read in part, and named.

What an address may hold that is secret, a password or a signature in its query, is never shown.
"""

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from newfound.data.index import SETTLED_SECONDS
from newfound.data.words import printable
from newfound.errors import InputError, StoreError

_SECONDS_TO_WAIT = (1.0, 5.0)  # before something is asked for once more

# In what fsspec tells of a file, whatever changes with its content, by any name it is known for.
_TELLING = {"size", "mtime", "created", "modified", "lastmodified", "updated", "ino", "versionid"}
_TELLING |= {"etag", "generation", "contentmd5", "md5hash", "crc32c", "checksum", "digest"}


def is_remote(address: str) -> bool:
    """Whether it is fsspec's to open, as in s3://bucket/file, and no path."""
    return "://" in address


def opened(address: str) -> tuple[Any, str]:
    """The file system, of which fsspec keeps one for each process, and the path in it."""
    if not is_remote(address):
        return LocalFileSystem(), address
    file_system, path = fsspec.core.url_to_fs(address)
    return file_system, path


def open_file(address: str) -> Any:
    """The file, opened to read bytes."""
    file_system, path = opened(address)
    return file_system.open(path, "rb")


def read_part(address: str, start: int, end: int) -> bytes:
    """Some bytes of a shard; from afar they are asked for more than once.

    Raises StoreError if there is no answer from afar, and OSError for what cannot be read here, or
    is not there.
    """
    for seconds in (*_SECONDS_TO_WAIT, None):
        try:
            file_system, path = opened(address)
            content: bytes = file_system.cat_file(path, start=start, end=end)
            return content
        except Exception as error:
            if not is_remote(address) or isinstance(error, (FileNotFoundError, MemoryError)):
                raise
            if seconds is None:
                raise StoreError(
                    f"{as_shown(address)!r} does not give what is asked for ({in_words(error)}); "
                    "see to the connection and the permissions, then give the same command again: "
                    "it goes on from the work that is kept, if any. Without that shard it is a new "
                    "run, with another --out"
                ) from error
            time.sleep(seconds)
    raise AssertionError("the last time returns or raises")


def stamp_of(address: str) -> str:
    """What changes with a shard; "" if it changed just now and may do so once more, unseen."""
    now = time.time()
    with errors_in_words(address):
        file_system, path = opened(address)
        status = file_system.info(path)
    changed = status.get("mtime")
    if isinstance(changed, float) and changed > now - SETTLED_SECONDS:
        return ""
    names = [name for name in sorted(status) if re.sub("[-_]", "", name).lower() in _TELLING]
    return json.dumps({name: str(status[name]) for name in names})


@contextmanager
def errors_in_words(address: str) -> Iterator[None]:
    """What goes wrong with the file at an address raises InputError, in words."""
    shown = as_shown(address)
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        or_so = " or cannot be reached" if is_remote(address) else ""
        raise InputError(f"{shown!r} does not exist{or_so}; see how it is spelt") from error
    except ImportError as error:
        raise InputError(f"{shown!r} cannot be read without another package: {error}") from error
    except Exception as error:  # each of fsspec's file systems has errors of its own
        raise InputError(
            f"{shown!r} cannot be read ({in_words(error)}); see to the address, the connection "
            "and the permissions"
        ) from error


def as_shown(address: str) -> str:
    """An address without what is secret in it: a password, a signature in its query."""
    if not is_remote(address):
        return printable(address)
    return re.sub(r"(?<=://)[^/]*@", "", without_query(printable(address)))


def without_query(address: str) -> str:
    """An address without what follows its question mark; a path as it is."""
    return address.partition("?")[0] if is_remote(address) else address


def in_words(error: Exception) -> str:
    """What an error says, without what is secret in the addresses that it may name."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"(?<=://)[^\s/]*@", "", text)
    return printable(re.sub(r"(://[^\s?'\"]*)\?[^\s'\")]*", r"\1", text))[:300]


def common_folder(addresses: Sequence[str]) -> str:
    """What the addresses begin with as far as it is folders, to the last slash; as it is shown."""
    first, last = min(map(as_shown, addresses)), max(map(as_shown, addresses))
    return os.path.commonprefix([first, last]).rpartition("/")[0] + "/"  # noqa: RUF071 - cut there
