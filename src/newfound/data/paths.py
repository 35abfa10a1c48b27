"""The path that a user gave, or what to do about one where nothing is."""

import difflib
import os
import re
from pathlib import Path

from newfound.data.layouts import BUILT_IN
from newfound.data.source import Kind
from newfound.data.words import printable
from newfound.errors import InputError


def existing(path: str | os.PathLike[str], kind: Kind) -> Path:
    """The path; raises InputError, with a near name if there is one, if nothing is there."""
    if not os.fspath(path):  # which would be the current folder to Path
        raise InputError("the path is empty; give one, or . for the current folder")
    place = Path(path)
    shown = printable(str(place))
    try:
        if place.exists():
            return place
        neighbours = [entry.name for entry in place.parent.iterdir()]
    except FileNotFoundError:
        neighbours = []
    except OSError as error:
        raise InputError(
            f"{shown!r} cannot be opened ({error.strerror}); give a path that can be read"
        ) from error
    if re.match("[a-z0-9+]{2,}:/", shown):
        raise InputError(f"{shown!r} is an address, and of these only shards are read, as DATA")
    near = difflib.get_close_matches(place.name, [*sorted(neighbours), *BUILT_IN[kind]], n=1)
    if shown.startswith("~"):
        raise InputError(f"{shown!r} does not exist; ~ stands for a home to the shell alone")
    cure = f"did you mean {printable(near[0])!r}?" if near else "see how it is spelt"
    raise InputError(f"{shown!r} does not exist; {cure}")
