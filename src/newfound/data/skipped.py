"""Which items are left out, and how many of them are too many."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from newfound.data.endings import is_document, other_kind_in_words
from newfound.data.known_readable import KnownReadable
from newfound.data.source import Kind, Marked
from newfound.data.texts import Texts
from newfound.errors import InputError
from newfound.machine.distributed import agreed, count, everyones, rank, shared


@dataclass(frozen=True)
class Skipped:
    """An item that is left out. index: its row in the source.

    by_choice: it could be read, and the settings leave it out.
    """

    index: int
    reason: str
    by_choice: bool = False


@dataclass(frozen=True)
class Spoilt:
    """The items that should have been usable and are not, among so many that should."""

    items: list[Skipped]
    among: int

    @property
    def share(self) -> float:
        """0..1."""
        return len(self.items) / self.among


def spoilt(skipped: Sequence[Skipped], names: Texts | NDArray[np.str_]) -> Spoilt:
    """What is left out, but for what is by choice, and for documents by their names.

    names: (n,) of all items, readable or not, n > 0.  Where nothing is usable documents count.
    """
    unreadable = [item for item in skipped if not item.by_choice]
    if len(skipped) == len(names):
        return Spoilt(unreadable, len(names))
    items = [item for item in unreadable if not is_document(str(names[item.index]))]
    return Spoilt(items, len(names) - (len(unreadable) - len(items)))


def check_share_bad(
    skipped: Sequence[Skipped], names: Texts | NDArray[np.str_], kind: Kind, max_bad: float
) -> None:
    """Raise InputError if more than the share `max_bad` of the items are `spoilt`.

    names: (n,) of all items, readable or not.  kind: what they were read as.
    """
    found = spoilt(skipped, names)
    unreadable, share = found.items, found.share
    if share <= max_bad:
        return
    first = ", ".join(f"{str(names[bad.index])!r} ({bad.reason})" for bad in unreadable[:3])
    without = ""
    if share < 1:
        without = f", or go on without them with --max-bad {np.ceil(share * 1000) / 1000:g}"
    hint = other_kind_in_words((str(names[bad.index]) for bad in unreadable), kind)
    raise InputError(
        f"{len(unreadable)} of {found.among} files ({share:.1%}) cannot be used, more than the "
        f"{max_bad:.1%} allowed: {first}{', ...' if len(unreadable) > 3 else ''}; repair or remove "
        f"them{without}{hint}"
    )


_Source = TypeVar("_Source", bound=Marked)


def without_unusable(
    source: _Source, known: KnownReadable, check: Callable[[_Source], list[Skipped]]
) -> tuple[_Source, list[Skipped]]:
    """The usable items of a source, and the others, which `check` finds in a part of it.

    Those that are known to be usable are not checked. Several processes of a run share the work,
    and what one of them raises, all raise once they are through.
    """
    doubtful = agreed(known.doubtful)
    own = doubtful[rank() :: count()]
    checked: list[Skipped] = []
    error: InputError | None = None
    try:
        if len(own):
            checked = check(source.subset(own) if len(own) < len(source) else source)
    except InputError as raised:
        error = raised
    found = [replace(bad, index=int(own[bad.index])) for bad in checked]
    of_all, errors = zip(*everyones((found, error)))
    for of_one in filter(None, errors):
        raise shared(of_one)
    skipped = sorted(chain(*of_all), key=lambda bad: bad.index)
    unusable = np.array([bad.index for bad in skipped], dtype=np.int64)
    known.keep(unusable)
    return source.subset(np.delete(np.arange(len(source)), unusable)), skipped
