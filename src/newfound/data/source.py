"""What images and videos have in common before they are decoded."""

import os
from typing import Literal

Kind = Literal["images", "videos"]
"""What the items of a data set are."""


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


def printable(path: str) -> str:
    r"""A path as valid UTF-8: bytes that are not appear as \xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
