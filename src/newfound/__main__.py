"""`python -m newfound`, and the `newfound` command."""

import os
import sys
import traceback
from contextlib import suppress

from newfound.cli.loading import loading
from newfound.machine.process import keep_freed_memory, let_waiting_threads_sleep


def main() -> None:
    """Run the command line."""
    let_waiting_threads_sleep()
    keep_freed_memory()
    with loading():
        from newfound.cli.main import run_command_line
    try:
        code = run_command_line(sys.argv[1:])
    except BaseException:  # as --debug lets it pass
        if not _has_joined_others():
            raise
        traceback.print_exc()
        code = 1
    # It failed, and to end their group as Python does it could wait for ever.
    if _has_joined_others():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _has_joined_others() -> bool:
    """Whether other processes of torchrun may wait for this one, which then has loaded torch."""
    distributed = sys.modules.get("newfound.machine.distributed")
    return distributed is not None and distributed.count() > 1


if __name__ == "__main__":
    main()
