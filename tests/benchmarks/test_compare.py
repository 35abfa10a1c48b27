"""Comparing with the baseline: ratios, flags, and what else was not as before."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import compare
from benchmarks.about import about
from benchmarks.results import Bench, CaseResult, Row, Spread
from newfound.errors import InputError


def spread(median: float, around: float = 0.0) -> Spread:
    return Spread(median=median, low=median - around, high=median + around, count=5)


def bench(rows: list[Row], **changed: object) -> Bench:
    cases = {"step": CaseResult(rows=rows)}
    return Bench(about=about().model_copy(update=changed), size="default", cases=cases)


@pytest.mark.parametrize(
    ("new", "old", "unit", "expected"),
    [
        (spread(12, 1), spread(10, 0.5), "images/s", "better"),
        (spread(12, 1), spread(10, 0.5), "ms", "worse"),
        (spread(8, 0.1), spread(10, 0.5), "clips/s", "worse"),
        (spread(8, 0.1), spread(10, 0.5), "bytes/item", "better"),
        (spread(8, 0.1), spread(10, 0.5), "%", "other"),
        (spread(12, 1), spread(10, 1), "ms", ""),  # the spreads touch
        (spread(10.1), spread(10.0), "MB", ""),  # one measurement each, and hardly a difference
        (spread(10.5), spread(10.0), "MB", "worse"),
    ],
)
def test_a_flag_says_what_lies_outside_the_spread(
    new: Spread, old: Spread, unit: str, expected: str
) -> None:
    assert compare.flag(new, old, unit) == expected


def test_ratios_are_new_over_old() -> None:
    assert compare.ratio(spread(3), spread(2)) == 1.5
    assert compare.ratio(None, spread(2)) is compare.ratio(spread(2), None) is None
    assert compare.ratio(spread(3), spread(0)) is None


def test_rows_are_compared_figure_by_figure() -> None:
    old = Row(
        what="a",
        unit="ms",
        ours=spread(10, 1),
        theirs=spread(40),
        times_as_fast=spread(4),
        peak_mb=spread(100),
    )
    new = old.model_copy(
        update={
            "ours": spread(5, 1),
            "theirs": spread(50),
            "times_as_fast": spread(10),
            "peak_mb": spread(300),
        }
    )
    assert compare.compared_cells(new, old) == [
        "0.500",
        "1.25",
        "2.50",
        "3.00",
        "better, memory worse",
    ]


def test_what_only_one_has_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Row(what=what, unit="ms", ours=spread(1)) for what in ("both [x]", "gone", "come")]
    table = compare.compared(bench([rows[0], rows[2]]), bench(rows[:2]))
    Console(width=150).print(table)
    said = capsys.readouterr().out.splitlines()
    for name, expected in {
        "both [x]": "1.00",
        "gone": "only in the old one",
        "come": "only in the new one",
    }.items():
        (line,) = [line for line in said if name in line]
        assert expected in line


def test_other_hardware_and_versions_are_said() -> None:
    here = bench([]).about
    assert compare.differences(here, here) == []
    elsewhere = here.model_copy(
        update={"cores": here.cores + 1, "versions": here.versions | {"torch": "1.0"}}
    )
    machine, torch = compare.differences(here, elsewhere)
    assert machine.startswith("other hardware or threads: these ratios compare machines")
    assert torch == f"other torch: 1.0 -> {here.versions['torch']}"


def test_the_command_compares_other_hardware_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new, old = tmp_path / "bench.json", tmp_path / "baseline.json"
    new.write_text(bench([Row(what="a", unit="ms", ours=spread(3))]).model_dump_json())
    row = Row(what="a", unit="ms", ours=spread(2))
    old.write_text(bench([row], cores=999).model_dump_json())
    monkeypatch.setattr(sys, "argv", ["compare", str(new), str(old)])
    compare.main()
    said = capsys.readouterr().out
    assert "other hardware" in said
    assert "1.50" in said and "worse" in said


def test_without_a_baseline_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "bench.json"
    new.write_text(bench([]).model_dump_json())
    monkeypatch.setattr(sys, "argv", ["compare", str(new), str(tmp_path / "baseline.json")])
    with pytest.raises(SystemExit, match=r"error: there is no .*baseline.json; make bench writes"):
        compare.main()


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "bench.json"
    other.write_text('{"ratio": 1}')
    with pytest.raises(InputError, match=r"bench\.json is no bench\.json of this suite"):
        compare.read_bench(other)
