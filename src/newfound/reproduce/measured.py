"""What the runs of a table gave, beside the paper's figures: for the terminal and as files."""

import fcntl
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table as Display

from newfound.disk.files import unwritable, write_csv, write_text
from newfound.errors import InputError
from newfound.progress import duration
from newfound.reproduce.datasets import shrink_in_words
from newfound.reproduce.plan import Plan, PlannedRun
from newfound.reproduce.rows import Figure, Row

Failures = dict[tuple[int, int], str]
"""Why a row, by its number, has no figure for a seed."""


@dataclass(frozen=True)
class Reading:
    """One seed of a row: ACC in percent, the mean of its runs; the seconds of all of them.

    memory_bytes: the largest peak, None where it was not measured.
    """

    acc: float
    seconds: float
    memory_bytes: int | None
    hardware: str
    commit: str


@dataclass(frozen=True)
class Measured:
    """A row with what was measured of it, by seed."""

    row: Row
    paper: Figure | None
    readings: dict[int, Reading]
    failed: dict[int, str]

    @property
    def mean(self) -> float | None:
        """ACC in percent over all seeds there are."""
        return statistics.fmean(self._accs()) if self.readings else None

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation, of two seeds and more."""
        return statistics.stdev(self._accs()) if len(self.readings) > 1 else None

    @property
    def seconds(self) -> float | None:
        """Mean of a seed."""
        if not self.readings:
            return None
        return statistics.fmean(reading.seconds for reading in self.readings.values())

    @property
    def memory_bytes(self) -> int | None:
        """The largest peak of all."""
        return max((r.memory_bytes for r in self.readings.values() if r.memory_bytes), default=None)

    def _accs(self) -> list[float]:
        return [reading.acc for reading in self.readings.values()]


def measure(plan: Plan, row: Row, seeds: Iterable[int], failures: Failures) -> Measured:
    """What there is of a row: of these seeds, and of others that were run before.

    A seed counts when all its runs are complete; they are told by their folders, so it counts
    once.
    """
    failed = {seed: why for (number, seed), why in failures.items() if number == row.number}
    readings: dict[int, Reading] = {}
    with suppress(InputError):  # a row that is impossible here has nothing, as `failed` says
        seeds = {*seeds, *plan.seeds_begun(row)}
    for seed in sorted(seeds):
        with suppress(InputError):  # as a damaged folder, which is told where it is to be continued
            trials = plan.trials(row, seed)
            if all(trial.is_done() for trial in trials):
                readings[seed] = _read(trials)
    return Measured(row, row.paper.get(plan.data_set.name), readings, failed)


def _read(trials: Sequence[PlannedRun]) -> Reading:
    results = [trial.folder.result() for trial in trials]
    headers = [trial.folder.read_config() for trial in trials]
    peaks = [result["memory_bytes"] for result in results if result.get("memory_bytes")]
    return Reading(
        acc=100 * statistics.fmean(result["novel"]["acc"] for result in results),
        seconds=sum(result["seconds"]["total"] for result in results),
        memory_bytes=max(peaks, default=None),
        hardware=_joined(header.get("hardware") for header in headers),
        commit=_joined(header.get("commit") for header in headers),
    )


def _joined(values: Iterable[str | None]) -> str:
    """What the parts of a problem were made with, each once."""
    return ", ".join(dict.fromkeys(value for value in values if value))


def write_tables(plan: Plan, measure_all: Callable[[], list[Measured]]) -> list[Measured]:
    """Measure, and write OUT/<table>-<data set>-<scale>.md, .csv and .json.

    One process at a time: what is written last has then been measured last. Returns what was
    measured. Raises RunFolderError if the disk is full.
    """
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
        lock = (plan.out / ".lock").open("w")
    except OSError as error:
        raise unwritable(plan.out, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        measured = measure_all()
        write_text(plan.out / f"{plan.name}.md", in_markdown(plan, measured))
        write_csv(plan.out / f"{plan.name}.csv", in_numbers(measured))
        write_text(plan.out / f"{plan.name}.json", in_json(plan, measured))
    return measured


def heading(plan: Plan) -> str:
    """What the table is, with how small the small scale is."""
    size = "full scale"
    if plan.scale == "small":
        size = f"small scale ({shrink_in_words(plan.data_set)})"
    taken = ", known classes alone, some taken as unlabelled" if plan.table.pretended else ""
    data_set = plan.data_set
    return (
        f"{plan.table.name}: {plan.table.title}. {data_set.name}, {data_set.classes}{taken}, {size}"
    )


def columns(plan: Plan) -> list[str]:
    """The table's columns in words. Figures of the two scales never stand under one name."""
    return [
        "No",
        "method",
        f"ACC, %, {plan.scale} scale",
        "n",
        "by seed",
        "the paper's, %, full scale",
        "time",
        "memory",
    ]


def in_words(measured: Measured) -> list[str]:
    """A row's cells under `columns`."""
    by_seed = [f"{seed}: {reading.acc:.1f}" for seed, reading in measured.readings.items()]
    by_seed += [f"{seed} failed: {why}" for seed, why in measured.failed.items()]
    seconds, peak = measured.seconds, measured.memory_bytes
    return [
        f"({measured.row.number})",
        measured.row.name,
        _figure_in_words(measured.mean, measured.deviation),
        str(len(measured.readings)),
        ", ".join(by_seed),
        _figure_in_words(*(measured.paper or (None, None))),
        duration(seconds) if seconds is not None else "-",
        f"{peak / 1e9:.1f} GB" if peak else "-",
    ]


def _figure_in_words(mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return "-"
    return f"{mean:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


def displayed(plan: Plan, measured: Sequence[Measured]) -> Display:
    """For the terminal."""
    display = Display(*columns(plan), title=escape(heading(plan)))
    for row in measured:
        display.add_row(*map(escape, in_words(row)))
    return display


def in_markdown(plan: Plan, measured: Sequence[Measured]) -> str:
    """Heading, table, the order of the methods here and in the paper, hardware and commit."""
    names = columns(plan)
    lines = [
        f"## {heading(plan)}",
        "",
        _markdown_line(names),
        _markdown_line(["---"] * len(names)),
        *(_markdown_line(in_words(row)) for row in measured),
        "",
        "Mean ± sample standard deviation of n seeds; time of a seed; the largest peak of memory.",
        *_order(plan, measured),
        *_made_with(measured),
    ]
    return "\n".join(lines) + "\n"


def _order(plan: Plan, measured: Sequence[Measured]) -> list[str]:
    """The rows by falling mean, and those of them that are in the paper by the paper's."""
    ours = {row.row.number: row.mean for row in measured if row.mean is not None}
    column = plan.data_set.stands_for or plan.data_set.name
    papers = {
        row.row.number: row.row.paper[column][0]
        for row in measured
        if row.row.number in ours and column in row.row.paper
    }
    orders = {
        f"Order by mean at {plan.scale} scale": ours,
        f"The paper's on {column}, full scale": papers,
    }
    return [
        f"{name}: {' '.join(f'({n})' for n in sorted(means, key=lambda n: -means[n]))}."
        for name, means in orders.items()
        if len(means) > 1
    ]


def _made_with(measured: Sequence[Measured]) -> list[str]:
    """On which hardware, by which commits."""
    readings = [reading for row in measured for reading in row.readings.values()]
    values = {
        "Hardware": {reading.hardware for reading in readings},
        "Commit": {reading.commit for reading in readings},
    }
    return [f"{name}: {'; '.join(sorted(v - {''}))}." for name, v in values.items() if v - {""}]


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(c.split()).replace("|", "\\|") for c in cells) + " |"


def in_numbers(measured: Sequence[Measured]) -> pd.DataFrame:
    """One row for each row and seed that was measured, and for each row of which none was."""
    records = []
    for row in measured:
        about = {"number": row.row.number, "name": row.row.name}
        paper, papers_deviation = row.paper or (None, None)
        for seed, reading in row.readings.items() or [(None, None)]:
            records.append(
                about
                | {"seed": seed}
                | {field.name: getattr(reading, field.name, None) for field in fields(Reading)}
                | {"paper": paper, "paper_deviation": papers_deviation}
            )
    return pd.DataFrame(records, columns=list(records[0]) if records else ["number", "name"])


def in_json(plan: Plan, measured: Sequence[Measured]) -> str:
    """All of it."""
    table = {
        "table": plan.table.name,
        "dataset": plan.data_set.name,
        "scale": plan.scale,
        "heading": heading(plan),
        "rows": [_row_in_json(row) for row in measured],
    }
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


def _row_in_json(measured: Measured) -> dict[str, Any]:
    return {
        "number": measured.row.number,
        "name": measured.row.name,
        "settings": dict(measured.row.settings),
        "mean": measured.mean,
        "deviation": measured.deviation,
        "n": len(measured.readings),
        "seeds": {seed: asdict(reading) for seed, reading in measured.readings.items()},
        "failed": measured.failed,
        "paper": measured.paper,
        "seconds": measured.seconds,
        "memory_bytes": measured.memory_bytes,
    }
