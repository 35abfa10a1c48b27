"""What images and videos have in common before they are decoded."""

from collections.abc import Callable
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Kind = Literal["images", "videos"]
"""What the items of a data set are."""

OnProgress = Callable[[int, int], None]
"""Called with (done, total) of whatever takes long."""


class Marked(Protocol):
    """Images or videos by row, of which it can be told whether they changed."""

    def __len__(self) -> int: ...

    def marks(self) -> NDArray[np.uint64]:
        """(n,) hashes of where each item lies and when it last changed; 0 where that is unsure.

        Of equal marks other than 0 are items that cannot differ.
        """
        ...

    def place(self) -> str:
        """What all items lie below, or "" for none: by it they are found in the index."""
        ...

    def subset(self, rows: NDArray[np.int64]) -> Self:
        """The items of these rows, in their order."""
        ...


class UnreadableError(Exception):
    """One item cannot be read. `reason` fits in a table; `path` is printable.

    at_seconds: where in a video, if it could be opened.
    """

    def __init__(self, reason: str, path: str) -> None:
        super().__init__(reason, path)
        self.reason = reason
        self.path = path
        self.at_seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
