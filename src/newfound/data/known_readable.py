"""Which items were found readable before, so that a large set is not decoded whole each time."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from newfound.data.index import WORTH_KEEPING, About, keep_table, read_table
from newfound.data.source import Marked
from newfound.version import __version__

_MARKS = pa.schema([("mark", pa.uint64())])


class KnownReadable:
    """The items of a source that could be used before, and did not change since.

    One that could not be is tried again, as the reason may have gone. What another version of
    newfound could use says nothing.

    how: what else decides which items can be used, in JSON's types: the version of the decoder,
    what is decoded of each.
    """

    def __init__(self, source: Marked, how: About) -> None:
        self._marks = np.zeros(len(source), dtype=np.uint64)
        self._known = np.zeros(0, dtype=np.uint64)
        self._about: About = {"readable": source.place(), "version": __version__, **how}
        if len(source) >= WORTH_KEEPING:
            self._marks = source.marks()
            if found := read_table(self._about, _MARKS):
                self._known = found[0].column("mark").to_numpy()

    def doubtful(self) -> NDArray[np.int64]:
        """Rows of the items that have to be decoded to know."""
        return np.flatnonzero(~np.isin(self._marks, self._known))  # where 0 is never among

    def keep(self, unreadable: NDArray[np.int64]) -> None:
        """Keep that all items but those of these rows could be used, if they are many.

        Others of the same place stay known, up to as many.
        """
        marks = np.delete(self._marks, unreadable)
        marks = np.unique(marks[marks != 0])
        if not len(marks) or np.isin(marks, self._known).all():
            return
        both = np.union1d(marks, self._known)
        kept = both if len(both) <= 2 * len(self._marks) else marks
        keep_table(self._about, pa.table([kept], schema=_MARKS))
