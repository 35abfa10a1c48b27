"""Modules that take seconds to load, loaded when it is clear that they are needed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""The exit code of what Ctrl-C or a signal has stopped."""


@contextmanager
def loading() -> Iterator[None]:
    """Around the import of what a command does, in the seconds of which people change their minds.

    Ctrl-C then ends the process at once: Python may remember the interrupt and die of it where it
    exits by itself.
    """
    try:
        yield
    except KeyboardInterrupt:
        print("newfound: stopped", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)
