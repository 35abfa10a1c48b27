"""Ctrl-C and termination: finish the step, keep the work, then stop."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, what job schedulers send, and a terminal that is closed."""


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Within, the signals to stop only set what the given function returns; a second one acts.

    It may be asked afterwards, too. Within another such context both are set by the same signal.
    Signals that the program was started to ignore stay ignored. Outside the main thread signals
    are left alone and the function returns False.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = _handlers()
    request = _Request(before)
    for number in before:
        signal.signal(number, request)
    try:
        yield lambda: request.is_made
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is request:
                signal.signal(number, handler)


class _Request:
    """A handler that notes a signal, and leaves the next one to the handlers before all such."""

    def __init__(self, before: dict[signal.Signals, Any]) -> None:
        self.before, self.is_made = before, False

    def __call__(self, code: int, frame: FrameType | None) -> None:
        self.is_made = True
        handler = self.before[signal.Signals(code)]
        signal.signal(code, handler)
        if isinstance(handler, _Request):
            handler(code, frame)


@contextmanager
def terminated_as_by_ctrl_c() -> Iterator[None]:
    """Within, the other signals to stop raise KeyboardInterrupt, too, unless the program handles
    them in its own way.

    Outside the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = [number for number, handler in _handlers().items() if handler is signal.SIG_DFL]
    for number in usual:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in usual:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def signals_held() -> Iterator[None]:
    """Within, the signals to stop wait; then they act.

    For what swallows exceptions, as the starting of a process does. A mask would not do: the
    signal goes to any thread that lets it in, and Python acts on it in the main one.
    """
    held: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = _handlers()
    for number in before:
        signal.signal(number, lambda code, _frame: held.append(code))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for code in held:
            signal.raise_signal(code)


@contextmanager
def blocked(numbers: Iterable[int]) -> Iterator[None]:
    """Within, these signals reach neither this thread nor any thread or process it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _handlers() -> dict[signal.Signals, Any]:
    """Of the signals to stop, but those that are ignored."""
    now = {number: signal.getsignal(number) for number in _STOPPING}
    return {number: handler for number, handler in now.items() if handler is not signal.SIG_IGN}
