"""Items that are there twice, labelled and unlabelled or in two classes, as files that were copied
rather than moved."""

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from newfound.blocks import spread
from newfound.data.catalogue import Catalogue, Source
from newfound.data.clips import ClipFiles
from newfound.data.images import ArrayImages, FileImages
from newfound.data.stored import Files

MOST = 2_000
"""At most so many items of either kind are read to compare them; of more a sample is."""

_FIRST_BYTES = 2**16
"""Of files of one size those are read whole that begin alike."""

_BYTES_AT_ONCE = 2**20


def duplicates_in_words(catalogue: Catalogue) -> list[str]:
    """Warnings of unlabelled items whose like is labelled, byte for byte, and of labelled ones
    whose like is of another class, if there are any.

    Only items of one size are read, of a large set a sample of these. Shards, which programs make,
    and which may lie far away, are not looked through.
    """
    items = catalogue.items
    if not isinstance(items, ArrayImages) and _files_of(items) is None:
        return []
    return [*_labelled_too(catalogue), *_of_two_classes(catalogue)]


def _labelled_too(catalogue: Catalogue) -> Iterator[str]:
    items = catalogue.items
    stamps = items.stamps()
    is_labelled = catalogue.labels >= 0
    alike = np.intersect1d(stamps[is_labelled], stamps[~is_labelled])
    may_be = np.isin(stamps, alike[alike >= 0])
    unlabelled = _sample(np.flatnonzero(may_be & ~is_labelled))
    labelled = _sample(np.flatnonzero(may_be & is_labelled & np.isin(stamps, stamps[unlabelled])))
    rows, others = unlabelled.tolist(), labelled.tolist()
    for whole in (False, True):
        of_rows, of_others = _digests(items, rows, whole), _digests(items, others, whole)
        both = set(of_rows.values()) & set(of_others.values())
        rows = [row for row, digest in of_rows.items() if digest in both]
        others = [row for row, digest in of_others.items() if digest in both]
    if rows:
        other_of = {digest: row for row, digest in of_others.items()}
        one, other = (str(catalogue.names[row]) for row in (rows[0], other_of[of_rows[rows[0]]]))
        yield (
            f"{len(rows):,} of the unlabelled {items.kind} are labelled, too, such as {one!r}, "
            f"which is {other!r}: they will be sorted into new categories all the same, and teach "
            "them; move what you label, rather than copy it"
        )


def _of_two_classes(catalogue: Catalogue) -> Iterator[str]:
    items, labels = catalogue.items, catalogue.labels
    stamps = items.stamps()
    groups = [_sample(_several_classes(stamps, np.flatnonzero(labels >= 0), labels))]
    for whole in (False, True):
        digests = _digests(items, np.concatenate(groups).tolist(), whole)
        of_digest: dict[bytes, list[int]] = {}
        for row, digest in digests.items():
            of_digest.setdefault(digest, []).append(row)
        rows_alike = map(np.array, of_digest.values())
        groups = [rows for rows in rows_alike if len(np.unique(labels[rows])) > 1]
        if not groups:
            return
    first = groups[0]
    rows = first[0], first[labels[first] != labels[first[0]]][0]
    one, other = (str(catalogue.names[row]) for row in rows)
    yield (
        f"{sum(map(len, groups)):,} of the labelled {items.kind} are there in another class, too, "
        f"such as {one!r}, which is {other!r}: what tells these classes apart is hard to learn of "
        "them; keep each in one"
    )


def _several_classes(stamps: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> NDArray[np.int64]:
    """Those of the labelled rows, in order, whose size is one of several classes'."""
    known = rows[stamps[rows] >= 0]
    sizes, number = np.unique(stamps[known], return_inverse=True)
    of_class = np.unique(np.stack([number, labels[known]]), axis=1)
    classes = np.bincount(of_class[0], minlength=len(sizes))
    several: NDArray[np.int64] = known[classes[number] > 1]
    return several


def _files_of(items: Source) -> Files | None:
    files = items.files if isinstance(items, FileImages | ClipFiles) else None
    return files if isinstance(files, Files) else None


def _sample(rows: np.ndarray) -> np.ndarray:
    sample: np.ndarray = rows[spread(len(rows), MOST)]
    return sample


def _digests(items: Source, rows: list[int], whole: bool) -> dict[int, bytes]:
    """Of those rows that can be read."""
    digests = ((row, _digest(items, row, whole)) for row in rows)
    return {row: digest for row, digest in digests if digest is not None}


def _digest(items: Source, row: int, whole: bool) -> bytes | None:
    """Of the span and the first bytes of an item, or all; None for what cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(items, ArrayImages):
        digest.update(items.pixels[row].tobytes())
        return digest.digest()
    if isinstance(items, ClipFiles):
        digest.update(np.array([items.start_seconds[row], items.end_seconds[row]]).tobytes())
    files = _files_of(items)
    assert files is not None, "others are not looked through"
    try:
        with files.open(row) as file:
            digest.update(file.read(_FIRST_BYTES))
            while whole and (further := file.read(_BYTES_AT_ONCE)):
                digest.update(further)
    except OSError:
        return None
    return digest.digest()
