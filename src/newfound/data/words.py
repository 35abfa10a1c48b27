"""Names and reasons as people read them."""

import os
from collections.abc import Mapping, Sequence


def reason_of(error: Exception, known: Mapping[type[Exception], str]) -> str:
    """Why an item cannot be used, in a few printable words without its path.

    known: kinds of errors that have words of their own.
    """
    for kind, reason in known.items():
        if isinstance(error, kind):
            return reason
    system_text = getattr(error, "strerror", None)
    text = " ".join((system_text or str(error)).split()) or type(error).__name__
    return printable(text)[:200]


def printable(path: str) -> str:
    r"""A path as valid UTF-8: bytes that are not appear as \xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def some(names: Sequence[str]) -> str:
    """The first few names, quoted, and how many there are more."""
    shown = ", ".join(repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
