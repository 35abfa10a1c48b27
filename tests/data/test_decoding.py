import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from newfound.data import decoding
from newfound.data.decoding import Chunk, Decoding, decoded


class Interrupted(Decoding):
    """Whose workers get a signal that goes to all processes of a group."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        self.number = number

    def decode(self, requests: list[Any]) -> Chunk:  # noqa: ARG002
        os.kill(os.getpid(), self.number)
        return Chunk(None, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_worker_leaves_stopping_to_the_first_process(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "signals_held", nullcontext)  # which a forked one would inherit
    before = torch.get_num_threads()
    torch.set_num_threads(3)  # torch then starts threads in workers, too, before we come to speak
    try:
        for _ in range(3):
            chunks = list(decoded(Interrupted(number), [[0], [1], [2]], workers=1, pin=False))
            assert chunks == [Chunk(None, [])] * 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.timeout(60)
def test_an_error_while_workers_decode_ends_the_program() -> None:
    """Python ends workers by SIGTERM at its exit, and waits for them without a limit."""
    program = """
import time
from newfound.data.decoding import Chunk, Decoding, decoded

class Slow(Decoding):
    def decode(self, requests):
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


@pytest.mark.timeout(60)
def test_workers_end_soon_after_the_first_process_is_gone() -> None:
    """Even if they wait for somebody to take what they have decoded."""
    program = """
import os, signal, torch
from newfound.batch import Media
from newfound.data.decoding import Chunk, Decoding, decoded
class Large(Decoding):
    def decode(self, requests):
        return Chunk(Media(torch.zeros(1, 3, 2000, 2000, dtype=torch.uint8)), [])
chunks = decoded(Large(), [[0]] * 100, workers=2, pin=False)
next(chunks)
print(*(process.pid for process in __import__("multiprocessing").active_children()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, check=False, text=True
    )
    workers = [Path("/proc") / number for number in done.stdout.split()]
    assert len(workers) == 2
    until = time.monotonic() + 20
    while any(worker.exists() for worker in workers):
        assert time.monotonic() < until, "a worker is still there"
        time.sleep(0.1)


class Nothing(Decoding):
    def decode(self, requests: list[Any]) -> Chunk:  # noqa: ARG002
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
