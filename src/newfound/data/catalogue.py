"""What there is to learn from: items, their labels, and (apart, for evaluation only) the truth.

Of the novel items a catalogue knows names and contents alone. Where a protocol knows their
classes, those are in a separate `Truth`, which training never receives.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from newfound.batch import UNLABELLED
from newfound.data.clips import ClipFiles
from newfound.data.endings import other_kind_in_words
from newfound.data.images import ImageSource
from newfound.data.layouts import LAYOUTS
from newfound.data.texts import Texts
from newfound.data.words import some
from newfound.errors import InputError
from newfound.presets import PRESETS, QUICK

Source = ImageSource | ClipFiles
"""Images or videos by row, wherever they lie."""

_BYTE = re.compile(r"\\x[89a-f][0-9a-f]")
"""How `printable` spells a byte that is not UTF-8."""

_LIKE_NO_LABEL = {"nan", "na", "n/a", "null", "none", "unlabelled", "unlabeled", "unknown"}
"""What programs and people write where there is no label, in small letters."""


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All items of a data set, as columns of n rows.

    names: n texts, unique and printable: paths relative to the data, with "/".
    labels: (n,) int64, 0..C_l-1 or -1 = unlabelled.
    class_names: the C_l known classes by label.
    held_out: (n,) bool, labelled items that are never trained on, only measured on.
    items: the n images or videos.  source: what the user gave, for the log.
    missing: how many more items a published data set lists, whose files are not there.
    warnings: what of the data is left out and may have been meant, in plain words.
    """

    names: Texts
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    held_out: NDArray[np.bool_]
    items: Source
    source: str
    missing: int = 0
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.names)
        assert self.labels.shape == self.held_out.shape == (n,) and len(self.items) == n
        assert self.labels.dtype == np.int64 and self.held_out.dtype == np.bool_
        assert ((self.labels >= UNLABELLED) & (self.labels < len(self.class_names))).all()
        assert not (self.held_out & (self.labels == UNLABELLED)).any()
        assert self.names.are_unique

    def __len__(self) -> int:
        return len(self.names)

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Rows of the labelled items to train on."""
        return np.flatnonzero((self.labels != UNLABELLED) & ~self.held_out)

    @property
    def unlabelled(self) -> NDArray[np.int64]:
        """Rows of the unlabelled items."""
        return np.flatnonzero(self.labels == UNLABELLED)

    @property
    def trainable(self) -> NDArray[np.int64]:
        """Rows that training may see: all but the held-out ones."""
        return np.flatnonzero(~self.held_out)

    def fingerprint(self) -> str:
        """16 hex digits of names, labels, file sizes (or pixels) and what is held out: equal for
        equal data.
        """
        digest = hashlib.sha256()
        for text in chain(self.names, self.class_names):
            digest.update(text.encode() + b"\0")
        digest.update(self.labels.tobytes() + self.items.stamps().tobytes())
        if self.held_out.any():
            digest.update(self.held_out.tobytes())
        return digest.hexdigest()[:16]

    def subset(self, rows: NDArray[np.int64]) -> "Catalogue":
        """The items of these rows, in their order, with the same classes."""
        return replace(
            self,
            names=self.names.subset(rows),
            labels=self.labels[rows],
            held_out=self.held_out[rows],
            items=self.items.subset(rows),
        )


@dataclass(frozen=True, eq=False)
class Truth:
    """The classes of the unlabelled items, where a protocol knows them. For evaluation only.

    labels: (n_unlabelled,) int64 in the order of `Catalogue.unlabelled`, 0..len(class_names)-1.

    Raises InputError for other labels when it is made.
    """

    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        labels, classes = np.asarray(self.labels), len(self.class_names)
        is_column = isinstance(self.labels, np.ndarray) and labels.ndim == 1
        are_numbers = is_column and labels.dtype == np.int64
        if not (are_numbers and ((labels >= 0) & (labels < classes)).all()):
            raise InputError(
                f"the labels of a truth of {classes} classes are numbers from 0 to {classes - 1} "
                f"in an array, (n,) int64; these are a {type(self.labels).__name__} of "
                f"{labels.dtype}, {labels.shape}, first {labels[:3].tolist()}"
            )


def split_classes(
    *,
    names: Texts,
    classes: NDArray[np.int64],
    class_names: Sequence[str],
    known: int,
    items: Source,
    source: str,
    held_out: NDArray[np.bool_] | None = None,
) -> tuple[Catalogue, Truth]:
    """A protocol: the first `known` classes are labelled, the others become the truth.

    names, items: of n items, as in Catalogue.  classes: (n,) int64, numbers of `class_names`.
    held_out: (n,) bool, of items of the first classes alone; None: nothing is.
    """
    is_known = classes < known
    labels = np.where(is_known, classes, UNLABELLED)
    catalogue = plain_catalogue(names, labels, tuple(class_names[:known]), items, source)
    if held_out is not None:
        catalogue = replace(catalogue, held_out=held_out)
    return catalogue, Truth(classes[~is_known] - known, tuple(class_names[known:]))


def plain_catalogue(
    names: Texts,
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
    items: Source,
    source: str,
) -> Catalogue:
    """A catalogue with nothing held out."""
    nothing = np.zeros(len(names), dtype=np.bool_)
    return Catalogue(names, labels, class_names, nothing, items, source)


def hold_out(catalogue: Catalogue, share: float, seed: int) -> Catalogue:
    """Marks a random `share` of each class's labelled items as held out, rounded.

    Every class keeps at least one item to train on. A set that brings held-out items of its
    own (a test split) is returned as it is.
    """
    if catalogue.held_out.any():
        return catalogue
    generator = np.random.default_rng(seed)
    held_out = catalogue.held_out.copy()
    by_label = np.argsort(catalogue.labels, kind="stable")
    edges = np.searchsorted(catalogue.labels[by_label], range(len(catalogue.class_names) + 1))
    for start, end in pairwise(edges):
        rows = by_label[start:end]
        n_held_out = min(round(share * len(rows)), len(rows) - 1)
        held_out[generator.permutation(rows)[:n_held_out]] = True
    return replace(catalogue, held_out=held_out)


def drop(
    catalogue: Catalogue, truth: Truth | None, rows: Iterable[int]
) -> tuple[Catalogue, Truth | None]:
    """Both without these rows, which cannot be read; a class left without items goes too.

    Raises InputError if too little is left, as `open_catalogue` does.
    """
    keep = np.ones(len(catalogue), dtype=np.bool_)
    keep[list(rows)] = False
    if truth is not None:
        truth = replace(truth, labels=truth.labels[keep[catalogue.unlabelled]])
    kept = catalogue.subset(np.flatnonzero(keep))
    labels, class_names = _renumbered(kept.labels, kept.class_names)
    return checked(replace(kept, labels=labels, class_names=class_names)), truth


def check_num_novel(num_novel: int) -> None:
    """Raise InputError for a number of categories that nothing could be told apart into."""
    if num_novel < 2:
        raise InputError(
            f"num_novel is {num_novel}; discovery tells categories apart, so give at least 2"
        )


def check_counts(catalogue: Catalogue, num_novel: int, batch: int) -> list[str]:
    """Whether the items suffice for this many categories and this batch.

    Raises InputError if they do not; returns warnings in plain words.
    """
    check_num_novel(num_novel)
    n_unlabelled = len(catalogue.unlabelled)
    if n_unlabelled < num_novel:
        raise InputError(
            f"num_novel is {num_novel}, but there are only {n_unlabelled} unlabelled items; "
            f"{'ask for fewer categories or ' if n_unlabelled >= 2 else ''}add items"
        )
    largest = len(catalogue.trainable)
    if batch > largest:
        quick = QUICK[catalogue.items.kind]
        hint = f" (--preset {quick} is made for few items)" if batch > PRESETS[quick].batch else ""
        raise InputError(
            f"batch is {batch}, but there are only {largest} items to train on; give --batch "
            f"{largest} or less{hint}{other_kind_in_words(catalogue.names, catalogue.items.kind)}"
        )
    sizes = np.bincount(catalogue.labels[catalogue.labelled])
    single = [
        f"the labelled class {name!r} has a single item to train on: little can be learnt of it"
        for name, size in zip(catalogue.class_names, sizes)
        if size == 1
    ]
    return [*catalogue.warnings, *_doubtful(catalogue.class_names), *single]


def no_classes(class_names: Iterable[str]) -> list[str]:
    """Those that look like what is written where there is no label."""
    return [name for name in class_names if _at_heart(name) in _LIKE_NO_LABEL]


def _doubtful(class_names: tuple[str, ...]) -> list[str]:
    """Warnings of classes that may be one, that may be none, and whose names may mislead."""
    alike: dict[str, list[str]] = {}
    for name in class_names:
        alike.setdefault(_at_heart(name), []).append(name)
    one = [
        f"the labelled classes {some(names)} differ only in case, in zeros before them, in space "
        "around them or in how they are encoded; if they are one class, name them alike"
        for names in alike.values()
        if len(names) > 1
    ]
    none = [
        f"the labelled class {name!r} is taken for a class like any other; if its items are "
        "unlabelled, leave their labels empty or put them into unlabelled/"
        for name in no_classes(class_names)
    ]
    odd = [
        f"the labelled class {name!r} holds bytes that are not UTF-8; if it comes from a table, "
        "save that as UTF-8"
        for name in class_names
        if _BYTE.search(name)
    ]
    novel = [
        f"the labelled class {name!r} is called like a category that will be discovered; rename "
        "it, or look at the column kind, known or novel, of what predict says"
        for name in class_names
        if re.fullmatch("novel-[0-9]+", name)
    ]
    return one + none + odd + novel


def _at_heart(name: str) -> str:
    """A class name without case, the space around it, a byte order mark, a form of Unicode, or the
    zeros before a number."""
    text = unicodedata.normalize("NFC", name.replace("\ufeff", "").strip().casefold())
    return text.lstrip("0") or "0" if text.isdecimal() else text


def checked(catalogue: Catalogue) -> Catalogue:
    """The same; raises InputError if there is too little to learn from or to discover."""
    kind = catalogue.items.kind
    warnings = "".join(f"; {warning}" for warning in catalogue.warnings)
    if len(catalogue) == 0:
        raise InputError(f"{catalogue.source!r} holds no {kind}\n{LAYOUTS[kind]}")
    present = np.unique(catalogue.labels[catalogue.labelled])
    if len(present) < 2:
        found = f"only {catalogue.class_names[present[0]]!r}" if len(present) else "none"
        raise InputError(
            f"{catalogue.source!r} needs at least two labelled classes, to learn what tells "
            f"categories apart, and has {found}; label {kind} of more classes"
            f"{warnings}"
        )
    measured_alone = np.setdiff1d(catalogue.labels[catalogue.held_out], present)
    if len(measured_alone):
        names = some([catalogue.class_names[label] for label in measured_alone])
        raise InputError(
            f"of {names} {catalogue.source!r} has {kind} that are held out, and none that can be "
            f"used to train on; add some, or leave these classes out of both{warnings}"
        )
    if len(catalogue.unlabelled) == 0:
        raise InputError(
            f"{catalogue.source!r} has no unlabelled {kind}, so there is nothing to discover: all "
            f"are labelled {some(catalogue.class_names)}; add those to sort: into unlabelled/, "
            f"in a table with an empty label, or in arrays with -1{warnings}"
        )
    return catalogue


def _renumbered(
    labels: NDArray[np.int64], class_names: tuple[str, ...]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels and names without the classes that have no item."""
    present = np.unique(labels[labels != UNLABELLED])
    numbers = np.where(labels == UNLABELLED, UNLABELLED, np.searchsorted(present, labels))
    return numbers, tuple(class_names[label] for label in present)
