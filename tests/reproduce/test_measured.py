"""A table's figures, and how they are told."""

import json
from pathlib import Path

import pandas as pd
import pytest

from newfound.reproduce.datasets import DATA_SETS
from newfound.reproduce.measured import (
    Measured,
    Reading,
    displayed,
    in_json,
    in_markdown,
    in_numbers,
    in_words,
)
from newfound.reproduce.plan import Plan
from newfound.reproduce.rows import TABLES, Row, ScaleName


def reading(acc: float, seconds: float = 60, memory_bytes: int | None = None) -> Reading:
    return Reading(acc, seconds, memory_bytes, "a computer", "0123abc")


def measured(row: int, *accs: float, table: str = "table1", column: str = "cifar10") -> Measured:
    of_table = TABLES[table].row(row)
    readings = {seed: reading(acc) for seed, acc in enumerate(accs)}
    return Measured(of_table, of_table.paper.get(column), readings, {})


def plan(data_set: str = "cifar10", scale: ScaleName = "full", table: str = "table1") -> Plan:
    return Plan(TABLES[table], DATA_SETS[data_set], scale, (), Path("out"))


def test_mean_and_sample_deviation() -> None:
    row = Measured(
        Row(1, "any", {}),
        None,
        {0: reading(90, 10), 4: reading(93, 20, 5), 2: reading(96, 60, 3)},
        {},
    )
    assert (row.mean, row.deviation) == (93, 3)
    assert (row.seconds, row.memory_bytes) == (30, 5)
    assert Measured(row.row, None, {0: reading(90)}, {}).deviation is None
    nothing = Measured(row.row, None, {}, {1: "no"})
    assert (nothing.mean, nothing.deviation, nothing.seconds, nothing.memory_bytes) == (None,) * 4


def test_a_row_in_words() -> None:
    row = TABLES["table1"].row(11)
    readings = {0: reading(93.04, 100, 1_500_000_000), 3: reading(94.0, 145)}
    assert in_words(Measured(row, (93.4, 0.6), readings, {1: "why"})) == [
        "(11)",
        "Ours",
        "93.5 ± 0.7",
        "2",
        "0: 93.0, 3: 94.0, 1 failed: why",
        "93.4 ± 0.6",
        "2 min 2 s",
        "1.5 GB",
    ]
    assert in_words(Measured(row, (86.7, None), {}, {})) == [
        "(11)",
        "Ours",
        "-",
        "0",
        "",
        "86.7",
        "-",
        "-",
    ]


def test_markdown_gives_the_order_of_methods_here_and_in_the_paper() -> None:
    rows = [measured(1, 70.0, 72.0), measured(5, 95.0), measured(11, 93.0), measured(4)]
    text = in_markdown(plan(), rows)
    assert (
        "## table1: Novel category discovery on image benchmarks. cifar10, 5 / 5, full scale"
        in text
    )
    assert "Order by mean at full scale: (5) (11) (1)." in text
    assert "The paper's on cifar10, full scale: (11) (5) (1)." in text
    assert "Hardware: a computer.\nCommit: 0123abc." in text


def test_a_stand_in_has_the_papers_order_and_none_of_its_figures() -> None:
    rows = [measured(1, 30.0, column="tiny100"), measured(2, 20.0, column="tiny100")]
    text = in_markdown(plan("tiny100", "small"), rows)
    assert "The paper's on cifar100, full scale: (1) (2)." in text
    assert "56.6" not in text and "14.3" not in text


@pytest.mark.parametrize("scale", ["full", "small"])
def test_figures_never_stand_without_their_scale(scale: ScaleName) -> None:
    of = plan(scale=scale)
    text = in_markdown(of, [measured(11, 50.0)])
    assert f"| ACC, %, {scale} scale |" in text and "| the paper's, %, full scale |" in text
    assert ("50 images" in text or "300 images of each class" in text) == (scale == "small")
    assert json.loads(in_json(of, []))["scale"] == scale
    assert f"{scale} scale" in str(displayed(of, []).title)


def test_markdown_cells_stay_cells() -> None:
    row = Measured(Row(1, "a | b", {}), None, {}, {0: "two\nlines | of it"})
    lines = [line for line in in_markdown(plan(), [row]).splitlines() if line.startswith("| (1)")]
    assert lines == [r"| (1) | a \| b | - | 0 | 0 failed: two lines \| of it | - | - | - |"]


def test_a_failure_is_no_markup() -> None:
    row = Measured(Row(1, "[red]", {}), None, {}, {0: "[/bold]"})
    table = displayed(plan(), [row])
    assert list(table.columns[1].cells) == [r"\[red]"]


def test_numbers_have_a_line_for_each_seed() -> None:
    numbers = in_numbers([measured(11, 93.0, 94.0), measured(4)])
    assert numbers["number"].tolist() == [11, 11, 4]
    assert numbers["seed"].tolist()[:2] == [0, 1] and pd.isna(numbers["seed"][2])
    assert numbers["acc"].tolist()[:2] == [93.0, 94.0] and pd.isna(numbers["acc"][2])
    assert numbers["paper"].tolist() == [93.4, 93.4, 88.7]
    assert numbers["commit"].tolist()[:2] == ["0123abc"] * 2
    assert in_numbers([]).empty


def test_json_holds_what_a_reader_would_compute_again() -> None:
    [row] = json.loads(in_json(plan(), [measured(3, 64.0, 65.0)]))["rows"]
    assert row["settings"] == {"method": "mcl"}
    assert row["mean"] == 64.5 and row["n"] == 2
    assert row["seeds"]["1"]["acc"] == 65.0
    assert row["paper"] == [64.2, 0.1]
