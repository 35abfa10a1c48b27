"""Items that are labelled and unlabelled at once, as files that were copied rather than moved."""

import hashlib

import numpy as np

from newfound.blocks import spread
from newfound.data.catalogue import Catalogue, Source
from newfound.data.clips import ClipFiles
from newfound.data.images import ArrayImages, FileImages
from newfound.data.stored import Files
from newfound.errors import InputError

MOST = 2_000
"""At most so many items of either kind are read to compare them; of more a sample is."""

_FIRST_BYTES = 2**20
"""Of files of one size that begin alike for so long the rest is alike, too."""


def duplicates_in_words(catalogue: Catalogue) -> list[str]:
    """A warning of unlabelled items whose like is labelled, byte for byte, if there are any.

    Only items of one size are read, of a large set a sample of these. Shards, which programs make,
    and which may lie far away, are not looked through.
    """
    items = catalogue.items
    if not isinstance(items, ArrayImages) and _files_of(items) is None:
        return []
    stamps = items.stamps()
    is_labelled = catalogue.labels >= 0
    alike = np.intersect1d(stamps[is_labelled], stamps[~is_labelled])
    may_be = np.isin(stamps, alike[alike >= 0])
    unlabelled = _sample(np.flatnonzero(may_be & ~is_labelled))
    labelled = _sample(np.flatnonzero(may_be & is_labelled & np.isin(stamps, stamps[unlabelled])))
    digests = {_digest(catalogue, row): row for row in labelled.tolist()}
    digests.pop(None, None)
    pairs = [
        (row, digests[digest])
        for row in unlabelled.tolist()
        if (digest := _digest(catalogue, row)) in digests
    ]
    if not pairs:
        return []
    one, other = (str(catalogue.names[row]) for row in pairs[0])
    return [
        f"{len(pairs):,} of the unlabelled {items.kind} are labelled, too, such as {one!r}, which "
        f"is {other!r}: they will be sorted into new categories all the same, and teach them; move "
        "what you label, rather than copy it"
    ]


def _files_of(items: Source) -> Files | None:
    files = items.files if isinstance(items, FileImages | ClipFiles) else None
    return files if isinstance(files, Files) else None


def _sample(rows: np.ndarray) -> np.ndarray:
    sample: np.ndarray = rows[spread(len(rows), MOST)]
    return sample


def _digest(catalogue: Catalogue, row: int) -> bytes | None:
    """Equal for items of equal size that are alike; None for what cannot be read."""
    items = catalogue.items
    try:
        if isinstance(items, ArrayImages):
            content = items.pixels[row].tobytes()
        else:
            files = _files_of(items)
            assert files is not None, "others are not looked through"
            with files.open(row) as file:
                content = file.read(_FIRST_BYTES)
    except (OSError, InputError):
        return None
    span = b""
    if isinstance(items, ClipFiles):
        span = np.array([items.start_seconds[row], items.end_seconds[row]]).tobytes()
    return hashlib.blake2b(content + span, digest_size=16).digest()
