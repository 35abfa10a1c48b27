"""Runs what is missing of a table, continues what was cut, and keeps the table up to date."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from newfound.config import Runtime
from newfound.errors import BusyError, InputError, Stopped
from newfound.progress import Progress
from newfound.reproduce.figures import check_drawable, draw
from newfound.reproduce.measured import Failures, Measured, measure, write_tables
from newfound.reproduce.plan import Plan
from newfound.reproduce.rows import Row
from newfound.run import run


@dataclass
class Outcome:
    """What there is of a table now. elsewhere: runs that another process is working on."""

    measured: list[Measured] = field(default_factory=list)
    failures: Failures = field(default_factory=dict)
    elsewhere: int = 0


def reproduce(
    plan: Plan, rows: Sequence[Row], seeds: int, runtime: Runtime, progress: Progress
) -> Outcome:
    """Run the rows with seeds 0..seeds-1: every row with a seed before any with the next.

    A run that cannot be done is told in the table, and the others go on. The table's files are
    written anew after each row and seed; they hold these rows, and those of the table that were
    run before. A figure is drawn of seed 0. Pretraining that several rows begin with is done once,
    and its seconds count for each of them.
    Raises Stopped when the user interrupts, and InputError if a figure could not be drawn.
    """
    shelf = runtime.shelf or plan.out / "pretrained"
    runtime = runtime.model_copy(update={"shelf": shelf})
    is_figure = plan.table.name.startswith("fig")
    if is_figure:
        check_drawable()
    outcome = Outcome()
    todo = [(row, seed) for seed in range(seeds) for row in rows]
    try:
        for number, (row, seed) in enumerate(todo, 1):
            where = f"{plan.name}, {number} of {len(todo)}: ({row.number}) {row.name}, seed {seed}"
            _run(plan, row, seed, runtime, progress, outcome, where)
            _write(plan, rows, seeds, outcome)
        if is_figure:
            draw(plan, progress)
    except (Stopped, KeyboardInterrupt):
        _write(plan, rows, seeds, outcome)
        raise Stopped(
            f"stopped; {plan.out / plan.name}.md holds what is complete. The same command goes on "
            "from there"
        ) from None
    return outcome


def _run(
    plan: Plan,
    row: Row,
    seed: int,
    runtime: Runtime,
    progress: Progress,
    outcome: Outcome,
    where: str,
) -> None:
    """What is missing of one row with one seed. where: told before it is begun."""
    try:
        for trial in plan.trials(row, seed):
            if trial.is_whole():
                continue
            progress.message(where)
            try:
                run(trial.job(runtime), progress)
            except BusyError as busy:
                outcome.elsewhere += 1
                progress.message(f"left to it: {busy}")
    except InputError as error:
        outcome.failures[row.number, seed] = str(error)
        progress.message(f"failed: {error}")


def _write(plan: Plan, rows: Sequence[Row], seeds: int, outcome: Outcome) -> None:
    def measure_all() -> list[Measured]:
        asked = {row.number: range(seeds) for row in rows}
        everything = [
            measure(plan, row, asked.get(row.number, ()), outcome.failures)
            for row in plan.table.rows
        ]
        return [m for m in everything if m.row.number in asked or m.readings]

    outcome.measured = write_tables(plan, measure_all)
