"""`newfound reproduce`: parse, call, print."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import OmitArgPrefixes, arg
from tyro.extras import SubcommandApp

from newfound.cli.flags import Call, flags_of
from newfound.config import Runtime
from newfound.errors import InputError
from newfound.progress import Progress
from newfound.reproduce.datasets import ScaleName, find_data_set
from newfound.reproduce.listing import listing
from newfound.reproduce.measured import displayed
from newfound.reproduce.plan import make_plan
from newfound.reproduce.results_page import write_page
from newfound.reproduce.rows import TABLES
from newfound.reproduce.rows import Table as PaperTable
from newfound.reproduce.runner import reproduce
from newfound.settings import make_runtime

REPRODUCE = """Run the rows of the paper's tables.

What is missing is run, and OUT/<table>-<data set>-<scale>.md, .csv and .json are written anew after
each run. The same command continues what was cut; two of them side by side share the work.
"""


@dataclass(frozen=True)
class ReproduceTask:
    """Which rows are run, on what."""

    dataset: str
    """a data set as `newfound reproduce list` names them"""
    data: Path
    """the folder it lies in, or one that holds that folder under the data set's name"""
    out: Path
    """the folder for all runs and tables; several tables may share it, and their runs"""
    rows: tuple[int, ...] = ()
    """the numbers of the rows, as 1 11; unset: all"""
    seeds: int = 1
    """runs of each row, with the seeds 0, 1, ..."""
    scale: ScaleName = "full"
    """full: the settings of the paper and its baselines' authors; small: shrunk for two cores"""
    labelled_classes: int | None = None
    """with --dataset folder: so many class folders in name order are labelled"""
    num_novel: int | None = None
    """categories to discover; unset: as many as there are novel classes"""
    quiet: bool = False
    """print nothing but errors"""


def reproduce_commands() -> SubcommandApp:
    """One sub-command for each table and figure of the paper."""
    app = SubcommandApp()

    def command(table: PaperTable) -> Callable[..., Call]:
        def of_table(
            *,
            task: OmitArgPrefixes[ReproduceTask],
            runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=flags_of(Runtime()))]],
        ) -> Call:
            return lambda: _reproduce(table, task, runtime)

        of_table.__doc__ = f"{table.title}."
        return of_table

    for table in TABLES.values():
        app.command(name=table.name)(command(table))

    @app.command(name="list")
    def list_command() -> Call:
        """Show the tables with their rows, and the data sets."""
        return lambda: Console().print(listing())

    @app.command(name="page")
    def page_command(*, out: Path, to: Path) -> Call:
        """Put all tables and figures of a folder onto one page.

        Args:
            out: the folder that `newfound reproduce` wrote
            to: the page to write, Markdown; pictures are put beside it
        """
        return lambda: write_page(out, to)

    return app


def _reproduce(table: PaperTable, task: ReproduceTask, runtime: Any) -> None:
    rows = [table.row(number) for number in dict.fromkeys(task.rows)] or table.rows
    if task.seeds < 1:
        raise InputError(f"seeds is {task.seeds}; give at least 1")
    data_set = find_data_set(task.dataset, task.data, task.labelled_classes)
    with Progress(quiet=task.quiet) as progress:
        plan = make_plan(
            table, data_set, task.scale, task.data, task.out, task.num_novel, progress.message
        )
        outcome = reproduce(plan, rows, task.seeds, make_runtime(**asdict(runtime)), progress)
    if not task.quiet:
        Console().print(displayed(plan, outcome.measured))
        print(f"table: {task.out / plan.name}.md")
        if outcome.elsewhere:
            print(f"runs left to another process: {outcome.elsewhere}")
    if outcome.failures:
        raise InputError(
            f"{len(outcome.failures)} of {len(rows) * task.seeds} runs failed; the table says why"
        )
