"""Ctrl-C and termination: finish the step, keep the work, then stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Within, SIGINT and SIGTERM only set what the given function returns; a second one acts.

    Outside the main thread signals are left alone and the function returns False.
    """
    requested = False

    def request(code: int, _frame: FrameType | None) -> None:
        nonlocal requested
        requested = True
        number = signal.Signals(code)
        signal.signal(number, before[number])

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in _STOPPING}
    for number in before:
        signal.signal(number, request)
    try:
        yield lambda: requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def terminated_as_by_ctrl_c() -> Iterator[None]:
    """Within, SIGTERM raises KeyboardInterrupt, unless the program handles it in its own way.

    Outside the main thread signals are left alone.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def signals_held() -> Iterator[None]:
    """Within, SIGINT and SIGTERM wait; then they act.

    For what swallows exceptions, as the starting of a process does. A mask would not do: the
    signal goes to any thread that lets it in, and Python acts on it in the main one.
    """
    held: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _STOPPING}
    for number in before:
        signal.signal(number, lambda code, _frame: held.append(code))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for code in held:
            signal.raise_signal(code)
