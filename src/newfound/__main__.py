"""`python -m newfound`, and the `newfound` command."""

import sys

from newfound.process import keep_freed_memory, let_waiting_threads_sleep


def main() -> None:
    """Run the command line."""
    let_waiting_threads_sleep()
    keep_freed_memory()
    from newfound.cli import run_command_line  # noqa: PLC0415 - it loads torch: after the above

    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
