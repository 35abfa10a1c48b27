"""The flags of `newfound reproduce`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, arg
from tyro.extras import SubcommandApp

from newfound.cli.flags import Call, flags_of
from newfound.cli.loading import loading
from newfound.commands.tasks import ReproduceTask
from newfound.config import Runtime
from newfound.reproduce.rows import TABLES, Table

REPRODUCE = """Run the rows of the paper's tables.

What is missing is run, and OUT/<table>-<data set>-<scale>.md, .csv and .json are written anew after
each run. The same command continues what was cut; two of them side by side share the work.
"""


def reproduce_commands() -> SubcommandApp:
    """One sub-command for each table and figure of the paper."""
    app = SubcommandApp()

    def command(table: Table) -> Callable[..., Call]:
        def of_table(
            *,
            task: OmitArgPrefixes[ReproduceTask],
            runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=flags_of(Runtime()))]],
        ) -> Call:
            def call() -> None:
                with loading():
                    from newfound.commands.reproduce import reproduce_and_print
                reproduce_and_print(table, task, runtime)

            return call

        of_table.__doc__ = f"{table.title}."
        return of_table

    for table in TABLES.values():
        app.command(name=table.name)(command(table))

    @app.command(name="list")
    def list_command() -> Call:
        """Show the tables with their rows, and the data sets."""

        def call() -> None:
            with loading():
                from newfound.commands.reproduce import print_listing
            print_listing()

        return call

    @app.command(name="page")
    def page_command(*, out: Path, to: Path) -> Call:
        """Put all tables and figures of a folder onto one page.

        Args:
            out: the folder that `newfound reproduce` wrote
            to: the page to write, Markdown; pictures are put beside it
        """

        def call() -> None:
            with loading():
                from newfound.reproduce.results_page import write_page
            write_page(out, to)

        return call

    return app
