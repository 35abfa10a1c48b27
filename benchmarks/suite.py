"""Runs cases, each in a process of its own, so that none disturbs another or is lost with it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from benchmarks.results import CaseResult, Size

_SECONDS_AT_MOST: dict[Size, float] = {"tiny": 600, "default": 1800, "full": 6 * 3600}
_SECONDS_TO_END = 10.0
"""For a case that is asked to."""


def run_case(name: str, size: Size) -> CaseResult:
    """The case's result; of one that failed or hangs a result with the reason."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.one_case", name, size, str(out)]
        # Its errors into a file: a pipe would be held open by what a killed case leaves behind.
        with (Path(folder) / "errors").open("w+") as errors:
            status = _status_of(command, errors, folder, _SECONDS_AT_MOST[size])
            errors.seek(0)
            said = errors.read()
        if status is None:
            return _failed(f"did not end in {_SECONDS_AT_MOST[size]:g} s", began)
        if status:
            return _failed(_last_error(said, status), began)
        return CaseResult.model_validate_json(out.read_bytes())


def _status_of(command: Sequence[str], errors: TextIO, folder: str, seconds: float) -> int | None:
    """What the command ends with, None if it does not in time; nothing of it stays.

    folder: for its temporary files, as a command that is killed leaves them.
    """
    there = os.environ | {"TMPDIR": folder}
    with subprocess.Popen(command, stderr=errors, env=there, process_group=0) as case:
        try:
            return case.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end_group(case)


def _end_group(case: "subprocess.Popen[bytes]") -> None:
    """End what is left of a case and what it has started.

    torchrun's workers are in groups of their own, and end with it where it is asked to, at first.
    """
    with suppress(ProcessLookupError):
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.killpg(case.pid, number)
            until = time.monotonic() + _SECONDS_TO_END
            while time.monotonic() < until:
                case.poll()  # or it stays in its group though it has ended
                os.killpg(case.pid, 0)
                time.sleep(0.05)


def _failed(reason: str, began: float) -> CaseResult:
    return CaseResult(error=reason, seconds=round(time.monotonic() - began, 1))


def _last_error(stderr: str, status: int) -> str:
    """The line that names the exception, and what follows it."""
    lines: Sequence[str] = stderr.strip().splitlines()
    if status == -signal.SIGKILL:
        return "was killed, as by a system without memory left"
    if not lines:
        return f"ended with status {status}"
    trace = max((at for at, line in enumerate(lines) if line.startswith("  ")), default=-1)
    return " ".join(" ".join(lines[trace + 1 :] or lines[-1:]).split())[:300]
