"""`python -m newfound`, and the `newfound` command."""

import os
import sys


def main() -> None:
    """Run the command line."""
    # Threads that spin while they wait take the cores from one another on a shared machine, up
    # to ten times over; OpenMP reads this once, when torch loads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from newfound.cli import run_command_line  # noqa: PLC0415 - after the setting above

    sys.exit(run_command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
