"""The command line: parse, then call what `newfound.commands` has for it."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.extras import SubcommandApp

from newfound.cli.av_digits import make_av_digits_command
from newfound.cli.discover import discover_commands
from newfound.cli.finished import evaluate_command, predict_command, report_command
from newfound.cli.flags import Call
from newfound.cli.loading import INTERRUPTED
from newfound.cli.reproduce import REPRODUCE, reproduce_commands
from newfound.cli.tune import tune_commands
from newfound.errors import InputError, LocalError, Stopped
from newfound.machine import torchrun
from newfound.version import __version__

if TYPE_CHECKING:
    from newfound.commands.opening import Opened

USER_ERROR, OWN_ERROR = 2, 1


def run_command_line(arguments: Sequence[str]) -> int:
    """Run `newfound` with these arguments. Returns the exit code; errors go to stderr."""
    debug = "--debug" in arguments
    _open_closed_streams()
    try:
        arguments = [a for a in arguments if a != "--debug"]
        _check_processes(arguments)
        _parse(arguments)()
        sys.stdout.flush()
    except BrokenPipeError:  # as of `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OWN_ERROR
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        return _explain(error)
    return 0


def _open_closed_streams() -> None:
    """Where a shell has closed stdout or stderr, as by `>&-`, what is printed goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process


def _check_processes(arguments: Sequence[str]) -> None:
    """Raise InputError for a command that several processes would each do alone."""
    if torchrun.started() > 1 and list(arguments[:1]) != ["discover"]:
        raise InputError(
            f"torchrun started {torchrun.started()} processes, and newfound discover alone "
            "shares its work among several; start this command without torchrun"
        )


def _explain(error: BaseException) -> int:
    match error:
        case InputError():
            text, code = f"newfound: {error}", USER_ERROR
        case Stopped():
            text, code = f"newfound: {error}", INTERRUPTED
        case KeyboardInterrupt():
            text, code = "newfound: stopped", INTERRUPTED
        case _:
            text = (
                f"newfound: a mistake of its own: {type(error).__name__}: {error}\n"
                "The same command with --debug shows where. Please report it."
            )
            code = OWN_ERROR
    is_own = isinstance(error, LocalError) and not error.is_shared
    if torchrun.is_first() or code == OWN_ERROR or is_own:
        print(text, file=sys.stderr)
    return code


def _parse(arguments: Sequence[str], opened: "Opened | None" = None) -> Call:
    """Arguments -> the call they ask for. Exits with 2 after a message if they make no sense.

    opened: the data the arguments name, if it has been opened to choose the preset.
    """
    named = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    named.add_argument("--preset")
    named.add_argument("--method")
    named.add_argument("--version", action="version", version=f"newfound {__version__}")
    known, others = named.parse_known_args(arguments)
    preset: str | None = known.preset
    if preset == "auto":  # as in Python: the same as none
        method = ["--method", known.method] if known.method else []
        preset, arguments = None, [*others, *method]
    commands = _commands(arguments, preset, known.method, opened)
    # Of several processes that are given the same, one tells what makes no sense in it.
    with nullcontext() if torchrun.is_first() else redirect_stderr(io.StringIO()):
        call: Call = commands.cli(
            prog="newfound",
            description="Novel category discovery: sort images or videos into new categories.",
            args=list(arguments),
        )
    return call


def _commands(
    arguments: Sequence[str], preset: str | None, method: str | None, opened: "Opened | None"
) -> SubcommandApp:
    """All sub-commands, with the flags of the preset and the method given."""
    app = SubcommandApp()
    discover_app = discover_commands(arguments, preset, method, opened, _parse)
    app.command(discover_app, name="discover", help="Discover the categories in a data set.")
    tune_app = tune_commands(arguments, preset, opened, _parse)
    app.command(tune_app, name="tune", help="Choose settings on the known classes of a data set.")
    app.command(reproduce_commands(), name="reproduce", help=REPRODUCE)
    app.command(name="predict")(predict_command)
    app.command(name="evaluate")(evaluate_command)
    app.command(name="report")(report_command)
    app.command(name="make-av-digits")(make_av_digits_command)
    return app
