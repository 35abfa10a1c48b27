"""The suite's results as one table for people."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.results import About, Bench, Row, Spread

WIDTH = 160
"""Columns of text that the table takes where it is not shown on a terminal."""

_BUSY = 0.3
"""Processes busy per core beside ours, from which figures are not to be trusted."""


def print_bench(bench: Bench, console: Console) -> None:
    """The machine, the table, and what has to be said about it."""
    for line in about_in_words(bench.about):
        console.print(line, markup=False, highlight=False)
    if bench.size == "tiny":
        console.print("size tiny: this tries the suite, and its figures say nothing")
    table = Table(box=box.SIMPLE_HEAD, title="medians (quartiles)", title_justify="left")
    table.add_column("what", min_width=44)
    table.add_column("newfound", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("against")
    table.add_column("its figure", justify="right", no_wrap=True)
    table.add_column("times as fast", justify="right", no_wrap=True)
    table.add_column("peak MB", justify="right", no_wrap=True)
    table.add_column("its peak", justify="right", no_wrap=True)
    for name, result in bench.cases.items():
        table.add_section()
        failed = "" if result.error is None else ", failed"
        table.add_row(f"[bold]{name}[/] ({result.seconds:.0f} s{failed})")
        for what, row in zip(without_repetition([row.what for row in result.rows]), result.rows):
            table.add_row(escape(f"  {what}"), *map(escape, cells(row)))
    console.print(table)
    for name, result in bench.cases.items():
        if result.error is not None:
            console.print(f"{name} failed: {result.error}", style="red", markup=False)
        for note in result.notes:
            console.print(f"{name}: {note}", markup=False, highlight=False)


def about_in_words(about: About) -> list[str]:
    """A few lines; one warns of a machine that was busy."""
    hardware = "; ".join(about.hardware.values())
    versions = ", ".join(f"{package} {version}" for package, version in about.versions.items())
    lines = [
        f"newfound {about.newfound}, commit {about.commit}, {about.began}",
        f"{hardware}; {about.cores} cores, {about.memory_gb:g} GB, {about.system}",
        versions,
    ]
    if about.load > _BUSY * about.cores:
        lines.append(
            f"warning: {about.load:g} processes were busy on {about.cores} cores when it began; "
            "close them and measure again"
        )
    return lines


def cells(row: Row) -> list[str]:
    """What the table shows of a row, but for what it is about."""
    return [
        spread_in_words(row.ours),
        row.unit,
        row.against,
        "" if row.theirs is None else spread_in_words(row.theirs),
        "" if row.times_as_fast is None else spread_in_words(row.times_as_fast),
        "" if row.peak_mb is None else number_in_words(row.peak_mb.median),
        "" if row.their_peak_mb is None else number_in_words(row.their_peak_mb.median),
    ]


def without_repetition(names: Sequence[str]) -> list[str]:
    """Names "a: b" as "  b" where the one above is of "a", too."""
    shown = []
    above = None
    for name in names:
        group, colon, rest = name.rpartition(": ")
        shown.append(f"  {rest}" if colon and group == above else name)
        above = group if colon else None
    return shown


def spread_in_words(spread: Spread) -> str:
    """ "98.2 (97.0-99.1)"; of a single measurement "98.2"."""
    median = number_in_words(spread.median)
    if spread.count == 1:
        return median
    return f"{median} ({number_in_words(spread.low)}-{number_in_words(spread.high)})"


def number_in_words(number: float) -> str:
    """With three digits where that makes sense: 1,234, 12.3, 1.23, 0.123, 0.012."""
    size = abs(number)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{number:,.{decimals}f}"
