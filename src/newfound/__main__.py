"""`python -m newfound`, and the `newfound` command."""

import os
import sys
import traceback
from contextlib import suppress

from newfound.machine.process import keep_freed_memory, let_waiting_threads_sleep


def main() -> None:
    """Run the command line."""
    let_waiting_threads_sleep()
    keep_freed_memory()
    try:  # it takes seconds, in which people change their minds
        # They load torch: after the above.
        from newfound.cli.main import run_command_line  # noqa: PLC0415
        from newfound.machine.distributed import count  # noqa: PLC0415
    except KeyboardInterrupt:
        print("newfound: stopped", file=sys.stderr, flush=True)
        os._exit(130)  # Python may remember the interrupt and die of it where it exits by itself
    try:
        code = run_command_line(sys.argv[1:])
    except BaseException:  # as --debug lets it pass
        if count() == 1:
            raise
        traceback.print_exc()
        code = 1
    if count() > 1:  # it failed, and to end their group as Python does it could wait for ever
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
