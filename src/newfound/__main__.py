"""`python -m newfound`, and the `newfound` command."""

import os
import sys

from newfound.process import keep_freed_memory, let_waiting_threads_sleep


def main() -> None:
    """Run the command line."""
    let_waiting_threads_sleep()
    keep_freed_memory()
    try:  # it takes seconds, in which people change their minds
        from newfound.cli import run_command_line  # noqa: PLC0415 - it loads torch: after the above
    except KeyboardInterrupt:
        print("newfound: stopped", file=sys.stderr, flush=True)
        os._exit(130)  # Python may remember the interrupt and die of it where it exits by itself
    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
