"""Runs cases, each in a process of its own, so that none disturbs another or is lost with it."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import CaseResult, Size

_SECONDS_AT_MOST: dict[Size, float] = {"tiny": 600, "default": 1800, "full": 6 * 3600}


def run_case(name: str, size: Size) -> CaseResult:
    """The case's result; of one that failed or hangs a result with the reason."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-m", "benchmarks.one_case", name, size, str(out)]
        try:
            ended = subprocess.run(
                command,
                stderr=subprocess.PIPE,
                text=True,
                timeout=_SECONDS_AT_MOST[size],
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _failed(f"did not end in {_SECONDS_AT_MOST[size]:g} s", began)
        if ended.returncode:
            return _failed(_last_error(ended.stderr, ended.returncode), began)
        return CaseResult.model_validate_json(out.read_bytes())


def _failed(reason: str, began: float) -> CaseResult:
    return CaseResult(error=reason, seconds=round(time.monotonic() - began, 1))


def _last_error(stderr: str, status: int) -> str:
    """The line that names the exception, and what follows it."""
    lines: Sequence[str] = stderr.strip().splitlines()
    if not lines:
        return f"ended with status {status}"
    trace = max((at for at, line in enumerate(lines) if line.startswith("  ")), default=-1)
    return " ".join(" ".join(lines[trace + 1 :] or lines[-1:]).split())[:300]
