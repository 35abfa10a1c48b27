"""Ctrl-C and termination: finish the step, keep the work, then stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


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
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, request)
    try:
        yield lambda: requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
