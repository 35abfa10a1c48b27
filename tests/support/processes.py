"""Some processes that work together, as torchrun starts them, forked from the test's own."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from newfound.machine import distributed


def in_processes(count: int, folder: Path, work: Callable[[], Any], join: bool = True) -> list[Any]:
    """What `work` returns in each of `count` joined processes, by their numbers; what torch.save
    keeps.

    join: False: `work` joins by itself.  Raises AssertionError, with the trace, if one fails.
    """
    port = _free_port()
    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=_work, args=(number, count, port, folder, work, join))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=90)
        assert process.exitcode is not None, "a process hangs"
    for number, process in enumerate(processes):
        failure = folder / f"failure-{number}.txt"
        assert process.exitcode == 0, failure.read_text() if failure.exists() else process.exitcode
    return [
        torch.load(folder / f"returned-{number}.pt", weights_only=False) for number in range(count)
    ]


def _work(
    number: int, count: int, port: int, folder: Path, work: Callable[[], Any], join: bool
) -> None:
    os.environ |= {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    try:
        if join:
            with distributed.joined("cpu"):
                returned = work()
        else:
            returned = work()
        torch.save(returned, folder / f"returned-{number}.pt")
    except BaseException:
        (folder / f"failure-{number}.txt").write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
