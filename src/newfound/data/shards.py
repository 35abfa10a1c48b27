"""WebDataset shards: images or videos in tar files, here or at any address that fsspec knows.

The files of one sample share a key, their path up to the first dot of the name: `dog/0001.jpg` is
an image, `dog/0001.mp4` a video, `dog/0001.cls` or "label" in `dog/0001.json` its label. A picture
with one more dot in its name is none by that rule, of which the user is warned. Nothing is ever
extracted: the headers of a shard are read once, and an item is then read by where it lies in its
shard (`members`).
"""

import json
import os
import re
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from newfound.batch import UNLABELLED, UNLABELLED_AS_TEXT
from newfound.data.addresses import (
    as_shown,
    common_folder,
    errors_in_words,
    is_remote,
    open_file,
    stamp_of,
)
from newfound.data.endings import VIDEO_ENDINGS
from newfound.data.index import About, keep_table, read_table
from newfound.data.members import Members
from newfound.data.shard_names import UNPACK, shard_addresses
from newfound.data.source import Kind, OnProgress
from newfound.data.texts import BYTES, Texts, column, decoded
from newfound.data.words import printable
from newfound.errors import InputError

_IMAGE_ENDINGS = {"avif", "bmp", "gif", "jfif", "jp2", "jpeg", "jpg", "webp"}
_IMAGE_ENDINGS |= {"pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff"}

ENDINGS: dict[Kind, set[str]] = {
    "images": _IMAGE_ENDINGS,
    "videos": {ending.removeprefix(".") for ending in VIDEO_ENDINGS},
}
"""What follows the key and its dot in the name of an item, in any case."""

LIKE_LABEL = {"label", "labels", "class", "classes", "class_name", "cls", "category", "target"}
"""What a label may be called in a `.json` that has none by just "label", in any case: of such
samples the user is warned."""

MAX_LABEL_BYTES = 2**24

_THREADS = 16  # that wait for answers from afar

_ALL_ENDINGS = set[str]().union(*ENDINGS.values())

_MEMBERS = pa.schema(
    [
        ("name", BYTES),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("label", BYTES),
        ("instead", BYTES),
        ("is_item", pa.bool_()),
    ]
)
"""One row for each item of a shard, in their order, with an empty label for none, and the key that
its `.json` may have its label by instead, see `LIKE_LABEL`; then one for each file that is none for
a dot in its name, see `_members_in`."""


@dataclass(frozen=True)
class Shards:
    """What shards hold. labels: (n,) int64 numbers of `class_names`, -1 = unlabelled.

    Class names are in their order: of whole numbers if all are such, else of text.
    warnings: what of the shards is left out and may have been meant, in plain words.
    label_warnings: what is unlabelled and may not have been meant.
    """

    members: Members
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    source: str
    warnings: tuple[str, ...]
    label_warnings: tuple[str, ...]


def read_shards(
    data: str | os.PathLike[str], kind: Kind = "images", on_progress: OnProgress | None = None
) -> Shards:
    """The images or videos of shards, in the order of the shards and of what is in them.

    data: see `shard_addresses`. A shard whose size, time or tag is what it was is not read again.
    on_progress: is told of the others, if there are any, from 0 on.

    Of a sample with several items the first counts, of a member that is there twice the last. A
    label is text or a whole number; a sample is unlabelled if its label is empty, -1, null or not
    there, and a `.json` counts only where there is no `.cls`. Hidden members, links and all others
    are left out.

    Raises InputError if there are none, a shard is damaged, compressed or cannot be read, or a
    label makes no sense.
    """
    source = as_shown(os.fspath(data))
    addresses = shard_addresses(data)
    stamps, tables = _indexed(addresses, kind, on_progress or (lambda _done, _total: None))
    warnings = _of_dotted_names(addresses, tables, kind)
    label_warnings = _of_other_keys(addresses, tables)
    tables = [_rows(part, are_items=True) for part in tables]
    table = pa.concat_tables([_MEMBERS.empty_table(), *tables]).combine_chunks()
    if not len(table):
        endings = ", ".join(sorted(ENDINGS[kind]))
        raise InputError(
            f"{source!r} holds no {kind}: of the files of a sample these are those that end in "
            f"{'; '.join([endings, *warnings])}"
        )
    names, offsets, sizes, labels, *_ = (whole.combine_chunks() for whole in table.columns)
    shard_of = np.repeat(np.arange(len(tables), dtype=np.int32), [len(part) for part in tables])
    folder = common_folder(addresses)
    beginnings = column(as_shown(address).removeprefix(folder) + "/" for address in addresses)
    members = Members(
        addresses,
        stamps,
        Texts.composed(beginnings, shard_of, names),
        shard_of,
        offsets.to_numpy(),
        sizes.to_numpy(),
    )
    return Shards(members, *_numbered(labels), source, warnings, label_warnings)


def _rows(table: pa.Table, are_items: bool) -> pa.Table:
    return table.filter(pc.equal(table.column("is_item"), are_items))


def _of_dotted_names(addresses: list[str], tables: list[pa.Table], kind: Kind) -> tuple[str, ...]:
    """A warning of the files that are no items for a dot in their names, if there are any."""
    left_out = [_rows(table, are_items=False).column("name") for table in tables]
    first = next((at for at, names in enumerate(left_out) if len(names)), None)
    if first is None:
        return ()
    name = f"{as_shown(addresses[first])}/{os.fsdecode(left_out[first][0].as_py())}"
    return (
        f"{sum(map(len, left_out)):,} of the {kind} are left out, such as {printable(name)!r}: by "
        "WebDataset's rule the key of a sample ends at the first dot of the name; rename them so "
        "that their only dot is that of the ending",
    )


def _of_other_keys(addresses: list[str], tables: list[pa.Table]) -> tuple[str, ...]:
    """A warning of the samples that may have a label by another key, if there are any."""
    of_shards = [part.filter(pc.not_equal(part.column("instead"), b"")) for part in tables]
    first = next((at for at, found in enumerate(of_shards) if len(found)), None)
    if first is None:
        return ()
    name, key = (of_shards[first].column(column)[0].as_py() for column in ("name", "instead"))
    shown = printable(f"{as_shown(addresses[first])}/{os.fsdecode(name)}")
    count = sum(map(len, of_shards))
    return (
        f"{count:,} of the samples are taken as unlabelled, such as that of {shown!r}: in its "
        f'.json there is no "label", but {key.decode()!r}; if that is the label, call it so, or '
        "write it into a .cls",
    )


def _numbered(labels: pa.LargeBinaryArray) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(n,) int64, and the classes' names."""
    encoded = labels.dictionary_encode()
    texts = decoded(encoded.dictionary)
    classes = [text for text in texts if text]
    if all(re.fullmatch("[0-9]{1,18}", text) for text in classes):
        classes.sort(key=lambda text: (int(text), text))
    else:
        classes.sort()
    number_of = {text: number for number, text in enumerate(classes)}
    numbers = np.array([number_of.get(text, UNLABELLED) for text in texts], dtype=np.int64)
    return numbers[encoded.indices.to_numpy()], tuple(classes)


def _indexed(
    addresses: list[str], kind: Kind, on_progress: OnProgress
) -> tuple[list[str], list[pa.Table]]:
    """The stamp of each shard, and its items.

    Shards of one folder are kept together. What was read is kept even if a shard cannot be.
    """
    about: About = {"shards": common_folder(addresses), "of": kind, "format": 5}
    known = _known(about)
    members: dict[str, pa.Table] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        stamps = list(pool.map(stamp_of, addresses))
        for address, stamp in zip(addresses, stamps):
            if stamp and known.get(as_shown(address), ("",))[0] == stamp:
                members[address] = known[as_shown(address)][1]
        new = [address for address in addresses if address not in members]
        # Threads help where a network is slow; to read headers is the interpreter's own work.
        at_once = pool.map if any(map(is_remote, new)) else map
        if new:
            on_progress(0, len(new))
        try:
            for n_read, table in enumerate(at_once(partial(_members_in, kind=kind), new), 1):
                members[new[n_read - 1]] = table
                on_progress(n_read, len(new))
        finally:
            read = {a: (s, members[a]) for a, s in zip(addresses, stamps) if a in members}
            if not read.keys().isdisjoint(new):
                _keep(about, known | {as_shown(a): of_shard for a, of_shard in read.items()})
    return stamps, [members[address] for address in addresses]


def _known(about: About) -> dict[str, tuple[str, pa.Table]]:
    """The stamps and items of shards that were read before, by their address as it is shown."""
    found = read_table(about, _MEMBERS)
    if found is None:
        return {}
    table, shards = found
    known, start = {}, 0
    for address, stamp, count in shards:
        known[address] = (stamp, table.slice(start, count))
        start += count
    return known


def _keep(about: About, known: dict[str, tuple[str, pa.Table]]) -> None:
    shards = [(address, stamp, len(table)) for address, (stamp, table) in known.items()]
    keep_table(about, pa.concat_tables([table for _, table in known.values()]), shards)


def _members_in(address: str, kind: Kind) -> pa.Table:
    """The items of one shard, see `_MEMBERS`, by one pass over its headers.

    Of a sample without any image or video, as `Screenshot 2021` is where there is a
    `Screenshot 2021.03.01.png`, those files count as dotted that would be items by their last
    ending. Of one that has an item they are masks and the like, which are rightly left out.
    """
    items: dict[str, tuple[str, int, int]] = {}
    with_media: set[str] = set()
    dotted: list[tuple[str, str]] = []
    labels: dict[str, dict[str, tuple[str, str]]] = {"cls": {}, "json": {}}
    with (
        errors_in_words(address),
        _damage_in_words(address),
        open_file(address) as file,
        tarfile.open(fileobj=file, mode="r:") as tar,
    ):
        for member in _regular_files(tar):
            name = "/".join(part for part in member.name.split("/") if part not in ("", "."))
            folder, _, base = name.rpartition("/")
            stem, _, ending = base.partition(".")
            if re.search(r"(^|/)\.", name) or not stem:
                continue
            key, ending = f"{folder}/{stem}", ending.lower()
            if ending in _ALL_ENDINGS:
                with_media.add(key)
            if ending in ENDINGS[kind]:
                if items.setdefault(key, (name, 0, 0))[0] == name:
                    items[key] = (name, member.offset_data, member.size)
            elif ending in labels:
                labels[ending][key] = _label(tar, member, f"{as_shown(address)}/{name}")
            elif ending.rpartition(".")[2] in ENDINGS[kind]:
                dotted.append((key, name))
    left_out = dict.fromkeys(name for key, name in dotted if key not in with_media)
    none = ("", "")
    label_of = {key: labels["cls"].get(key, labels["json"].get(key, none)) for key in items}
    rows = [(*item, *label_of[key], True) for key, item in items.items()]
    rows += [(name, 0, 0, *none, False) for name in left_out]
    names, offsets, sizes, texts, instead, are_items = zip(*rows) if rows else ((),) * 6
    return pa.Table.from_arrays(
        [
            column(names),
            pa.array(offsets, pa.int64()),
            pa.array(sizes, pa.int64()),
            column(texts),
            column(instead),
            pa.array(are_items, pa.bool_()),
        ],
        schema=_MEMBERS,
    )


@contextmanager
def _damage_in_words(address: str) -> Iterator[None]:
    """What is no tar file raises InputError."""
    try:
        yield
    except tarfile.TarError as error:
        raise InputError(
            f"{as_shown(address)!r} is no tar file, or is damaged or cut short ({error}); fetch it "
            f"again. Of compressed shards: {UNPACK}"
        ) from error


def _regular_files(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members that are files, one at a time. Raises ReadError for what is no tar's doing."""
    latest = -1
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined] # which would hold them all
        if member.offset <= latest or member.size < 0:
            raise tarfile.ReadError("its members lie upon one another")
        if member.issparse():
            raise tarfile.ReadError(f"{printable(member.name)!r} is sparse, which a shard is not")
        latest = member.offset
        if member.isreg():
            yield member
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    end = tar.fileobj.read(tarfile.BLOCKSIZE)
    if end.strip(b"\0"):
        raise tarfile.ReadError(f"no header at byte {tar.offset:,}")
    if len(end) < tarfile.BLOCKSIZE:  # cut between two members, as the last blocks are zeros
        raise tarfile.ReadError(
            f"no end marker at byte {tar.offset:,}; a shard that never had one gets it by "
            "truncate -s +1024 SHARD"
        )


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo, shown: str) -> tuple[str, str]:
    """The label that a `.cls` or `.json` member holds, and the key that it may have instead.

    "" for none. Raises InputError.
    """
    instead = ""
    file = tar.extractfile(member)
    assert file is not None, "of a regular file"
    content = file.read(MAX_LABEL_BYTES + 1)
    try:
        if len(content) > MAX_LABEL_BYTES:
            raise ValueError("it is too long")
        if member.name.lower().endswith(".cls"):
            label: Any = content.decode("utf-8", "backslashreplace")
        else:
            told = json.loads(content)
            keys = told if isinstance(told, dict) else {}
            label = keys.get("label")
            if "label" not in keys:
                instead = next((key for key in keys if key.strip().lower() in LIKE_LABEL), "")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{printable(shown)!r} cannot be read as a label: {error}; mend it, or leave it out "
            "for an unlabelled item"
        ) from error
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        raise InputError(
            f"{printable(shown)!r} has the label {label!r:.100}; give text or a whole number, or "
            "leave it out for an unlabelled item"
        )
    text = "" if label is None else str(label).strip()
    shown_text = text.encode("utf-8", "backslashreplace").decode()
    return "" if text in UNLABELLED_AS_TEXT else shown_text, instead
