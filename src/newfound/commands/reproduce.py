"""`newfound reproduce`: call, print."""

from dataclasses import asdict
from typing import Any

from rich.console import Console

from newfound.commands.tasks import ReproduceTask
from newfound.errors import InputError
from newfound.progress import Progress
from newfound.reproduce.datasets import find_data_set
from newfound.reproduce.listing import listing
from newfound.reproduce.measured import displayed
from newfound.reproduce.plan import make_plan
from newfound.reproduce.rows import Table
from newfound.reproduce.runner import reproduce
from newfound.settings import make_runtime


def print_listing() -> None:
    """The tables with their rows, and the data sets."""
    Console().print(listing())


def reproduce_and_print(table: Table, task: ReproduceTask, runtime: Any) -> None:
    """Run what is missing of the table's rows, and print it.

    runtime: the fields of a Runtime, not judged yet.  Raises InputError if a run failed.
    """
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
