import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest

from newfound.data import decoding
from newfound.data.decoding import Chunk, Decoding, decoded


class Interrupted(Decoding):
    """Whose workers get a signal that goes to all processes of a group."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        self.number = number

    def __getitems__(self, requests: list[Any]) -> Chunk:
        os.kill(os.getpid(), self.number)
        return Chunk(None, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_leaves_stopping_to_the_first_process(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "signals_held", nullcontext)  # which a forked one would inherit
    chunks = list(decoded(Interrupted(number), [[0], [1], [2]], workers=1, pin=False))
    assert chunks == [Chunk(None, [])] * 3


@pytest.mark.timeout(60)
def test_an_error_while_workers_decode_ends_the_program() -> None:
    """Python ends workers by SIGTERM at its exit, and waits for them without a limit."""
    program = """
import time
from newfound.data.decoding import Chunk, Decoding, decoded

class Slow(Decoding):
    def __getitems__(self, requests):
        time.sleep(60 * requests[0])
        return Chunk(None, [])

for _ in decoded(Slow(), [[0], [1], [1]], workers=1, pin=False):
    raise ValueError("it escapes")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, timeout=50, check=False, text=True
    )
    assert done.returncode == 1 and "it escapes" in done.stderr


def test_ctrl_c_while_workers_start_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Swallowing:
        """As what Python calls after a fork: an exception there is printed, and ignored."""

        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __iter__(self) -> Iterator[Chunk]:
            with suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
            return iter([])

    monkeypatch.setattr(decoding, "DataLoader", Swallowing)
    with pytest.raises(KeyboardInterrupt):
        list(decoded(Interrupted(), [[0]], workers=1, pin=False))


def test_a_worker_whose_first_process_is_gone_ends_before_it_begins() -> None:
    program = "from newfound.data import decoding; decoding._leave_stopping_to(-1, 0); print('on')"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


class Nothing(Decoding):
    def __getitems__(self, requests: list[Any]) -> Chunk:
        return Chunk(None, [])


@pytest.mark.timeout(60)
def test_workers_live_whatever_way_of_starting_is_the_default() -> None:
    """That of newer Python has a server between them and the first process."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("forkserver", force=True)
    try:
        assert list(decoded(Nothing(), [[0], [1]], workers=1, pin=False)) == [Chunk(None, [])] * 2
    finally:
        multiprocessing.set_start_method(before, force=True)
