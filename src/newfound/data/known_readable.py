"""Which images were found readable before, so that a large set is not decoded whole each time."""

import numpy as np
import PIL
import pyarrow as pa
from numpy.typing import NDArray

from newfound.data.images import ImageSource
from newfound.data.index import WORTH_KEEPING, About, keep_table, read_table
from newfound.version import __version__

_MARKS = pa.schema([("mark", pa.uint64())])


class KnownReadable:
    """The images of a source that could be decoded before, and did not change since.

    An image that could not be is tried again, as the reason may have gone. What another version
    of Pillow or of newfound could decode, or at another size, says nothing.
    """

    def __init__(self, source: ImageSource, px: int, channels: int) -> None:
        self._marks = np.zeros(len(source), dtype=np.uint64)
        self._known = np.zeros(0, dtype=np.uint64)
        self._about: About = {
            "readable": source.place(),
            "px": px,
            "channels": channels,
            "versions": [__version__, PIL.__version__],
        }
        if len(source) >= WORTH_KEEPING:
            self._marks = source.marks()
            if found := read_table(self._about, _MARKS):
                self._known = found[0].column("mark").to_numpy()

    def doubtful(self) -> NDArray[np.int64]:
        """Rows of the images that have to be decoded to know."""
        return np.flatnonzero(~np.isin(self._marks, self._known))  # where 0 is never among

    def keep(self, unreadable: NDArray[np.int64]) -> None:
        """Keep that all images but those of these rows could be decoded, if they are many.

        Others of the same place stay known, up to as many.
        """
        marks = np.delete(self._marks, unreadable)
        marks = np.unique(marks[marks != 0])
        if not len(marks) or np.isin(marks, self._known).all():
            return
        both = np.union1d(marks, self._known)
        kept = both if len(both) <= 2 * len(self._marks) else marks
        keep_table(self._about, pa.table([kept], schema=_MARKS))
