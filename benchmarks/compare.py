"""Compares a bench.json with the stored baseline: `make bench-compare`.

python -m benchmarks.compare [NEW] [OLD]
"""

import argparse
from pathlib import Path

from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.results import About, Bench, Row, Spread
from benchmarks.table import WIDTH, number_in_words, without_repetition
from newfound.errors import InputError

BASELINE = Path(__file__).parent / "baseline.json"

_NOT_WORTH_A_FLAG = 0.02
"""Share by which medians may differ without a word, however narrow the spreads."""


def read_bench(path: Path) -> Bench:
    """Raises InputError if there is no such file, or it is no bench.json."""
    try:
        return Bench.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"there is no {path}; make bench writes bench.json, and cp bench.json {BASELINE}, on a "
            "quiet machine, makes it the baseline"
        ) from None
    except ValidationError as error:
        raise InputError(f"{path} is no bench.json of this suite: {error}") from None


def differences(new: About, old: About) -> list[str]:
    """Why the figures may differ though newfound does not: what is not as it was."""
    lines = []
    if (new.hardware, new.cores) != (old.hardware, old.cores):
        lines.append(
            "other hardware or threads: these ratios compare machines, not versions of newfound: "
            f"{_machine(old)} -> {_machine(new)}"
        )
    for package in sorted(new.versions.keys() | old.versions.keys()):
        before, now = old.versions.get(package), new.versions.get(package)
        if before != now:
            lines.append(f"other {package}: {before} -> {now}")
    return lines


def flag(new: Spread, old: Spread, unit: str) -> str:
    """ "better", "worse" or "other" if the change is outside of the spread; else ""."""
    within = abs(new.median - old.median) <= _NOT_WORTH_A_FLAG * abs(old.median)
    if within or new.overlaps(old):
        return ""
    if unit == "%":
        return "other"
    more_is_better = unit.endswith("/s")
    return "better" if (new.median > old.median) == more_is_better else "worse"


def ratio(new: Spread | None, old: Spread | None) -> float | None:
    """New over old; None if either is missing or old is 0."""
    if new is None or old is None or old.median == 0:
        return None
    return new.median / old.median


def compared(new: Bench, old: Bench) -> Table:
    """A row for each figure that both have, and one for each that only one has."""
    table = Table(box=box.SIMPLE_HEAD, title="new / old, of medians", title_justify="left")
    table.add_column("what")
    for heading in ("newfound", "what it stands beside", "times as fast", "peak MB"):
        table.add_column(heading, justify="right")
    table.add_column("outside the spread")
    for case in dict.fromkeys([*old.cases, *new.cases]):
        table.add_section()
        table.add_row(f"[bold]{case}[/]")
        before, now = (
            {row.what: row for row in bench.cases[case].rows} if case in bench.cases else {}
            for bench in (old, new)
        )
        names = list(dict.fromkeys([*before, *now]))
        for shown, what in zip(without_repetition(names), names):
            if what in now and what in before:
                cells = compared_cells(now[what], before[what])
            else:
                cells = 4 * [""] + [f"only in the {'old' if what in before else 'new'} one"]
            table.add_row(escape(f"  {shown}"), *cells)
    return table


def compared_cells(new: Row, old: Row) -> list[str]:
    """Four ratios, and the flags of ours, of the ratio and of memory."""
    pairs = (
        (new.ours, old.ours),
        (new.theirs, old.theirs),
        (new.times_as_fast, old.times_as_fast),
        (new.peak_mb, old.peak_mb),
    )
    ratios = [ratio(*pair) for pair in pairs]
    flags = [flag(new.ours, old.ours, new.unit)]
    if new.peak_mb is not None and old.peak_mb is not None:
        of_memory = flag(new.peak_mb, old.peak_mb, "MB")
        flags += [f"memory {of_memory}"] if of_memory else []
    words = ["" if number is None else number_in_words(number) for number in ratios]
    return [*words, ", ".join(filter(None, flags))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("new", type=Path, nargs="?", default=Path("bench.json"))
    parser.add_argument("old", type=Path, nargs="?", default=BASELINE)
    arguments = parser.parse_args()
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    try:
        new, old = read_bench(arguments.new), read_bench(arguments.old)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    console.print(f"commit {old.about.commit} -> {new.about.commit}", highlight=False)
    for line in differences(new.about, old.about):
        console.print(line, markup=False, highlight=False)
    console.print(compared(new, old))


def _machine(about: About) -> str:
    return f"{'; '.join(about.hardware.values())}, {about.cores} cores"


if __name__ == "__main__":
    main()
