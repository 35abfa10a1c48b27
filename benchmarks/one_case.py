"""Runs one case in this process and writes its result: what the suite starts for each.

python -m benchmarks.one_case NAME SIZE FILE
"""

import sys
import time
from pathlib import Path
from typing import get_args

from newfound.machine.process import keep_freed_memory, let_waiting_threads_sleep


def main() -> None:
    """Run, and write JSON. What a process is to begin with is as for the newfound command."""
    let_waiting_threads_sleep()
    from benchmarks.cases import CASES  # noqa: PLC0415 - these load torch
    from benchmarks.results import Size  # noqa: PLC0415

    keep_freed_memory()
    name, size, out = sys.argv[1:]
    assert size in get_args(Size)
    began = time.monotonic()
    result = CASES[name](size)  # type: ignore[arg-type]
    result = result.model_copy(update={"seconds": round(time.monotonic() - began, 1)})
    Path(out).write_text(result.model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
