"""The paper's figures, against its tables as it prints them."""

import re

import pytest

from newfound.errors import InputError
from newfound.reproduce.rows import TABLES, Figure, Table

PRINTED = {
    "table1": (
        ("cifar10", "cifar100", "imagenet"),
        r"""
(1)	k -means [32]	65.5 \pm 0.0%	56.6 \pm 1.6%	71.9%
(2)	KCL [21]	66.5 \pm 3.9%	14.3 \pm 1.3%	73.8%
(3)	MCL [23]	64.2 \pm 0.1%	21.3 \pm 3.4%	74.4%
(4)	DTC [18] w/ RotNet	88.7 \pm 0.3%	67.3 \pm 1.2%	-
(5)	RS [16]	90.4 \pm 0.5%	73.2 \pm 2.1%	82.5%
(6)	RS [16] w/ LL.	91.7 \pm 0.9%	75.2 \pm 4.2%	-
(7)	k -means [32] w/ CL	73.2 \pm 0.1%	58.8 \pm 1.5%	73.1%
(8)	KCL [21] w/ CL	73.9 \pm 0.1%	57.4 \pm 3.6%	74.3%
(9)	MCL [23] w/ CL	72.3 \pm 0.2%	50.8 \pm 3.1%	75.2%
(10)	RS [16] w/ CL	89.0 \pm 0.1%	54.6 \pm 1.8%	82.7%
(11)	Ours	93.4 \pm 0.6%	76.4 \pm 2.8%	86.7%
""",
    ),
    "table2": (
        ("kinetics400", "vggsound"),
        """
(1)	k -means [32]	✗	✓	40.9%	32.4%
(2)	k -means [32]	✓	✗	18.7%	41.7%
(3)	k -means [32]	✓	✓	41.1%	43.4%
(4)	CL [6] + k -means	✓	✓	34.7%	28.1%
(5)	RS [16] w/ RotNet	✓	✓	31.2%	38.6%
(6)	RS [16] w/ CL	✓	✓	33.5%	42.2%
(7)	Ours	✓	✓	56.5%	50.0%
""",
    ),
    "table3": (
        ("cifar10", "cifar100", "kinetics400"),
        r"""
(1)	✗	✓	✓	✓	✓	91.3 \pm 1.4%	74.7 \pm 2.9%	50.9%
(2)	✗	✗	✓	✓	✓	77.4 \pm 5.4%	68.5 \pm 4.7%	24.5%
(3)	✓	✓	✗	✓	✓	32.2 \pm 1.8%	15.5 \pm 1.2%	5.8%
(4)	✓	✓	✓	✗	✗	89.8 \pm 0.9%	70.1 \pm 4.5%	47.6%
(5)	✓	✓	✓	✗	✗	91.3 \pm 0.8%	76.0 \pm 2.4%	52.8%
(6)	✓	✓	✓	✓	✗	91.6 \pm 1.2%	75.2 \pm 3.1%	51.7%
(7)	✓	✓	✓	✓	✓	93.4 \pm 0.6%	76.4 \pm 2.8%	56.5%
""",
    ),
    "table4": (
        ("kinetics400",),
        """
(1)	(a, a) + (v, v)	-	46.2%
(2)	(a, a) + (v, v)	(a, a) + (v, v)	51.4%
(3)	(a, a) + (v, v)	(a, v)	49.1%
(4)	(a, v)	-	51.7%
(5)	(a, v)	(a, a) + (v, v)	56.1%
(6)	(a, v)	(a, v)	56.5%
""",
    ),
}
"""The lines of the paper's tables that have a row each."""

ACROSS = {
    "table5": {
        "kinetics400": "19.4	39.7	55.2	54.5	54.8	54.5",
        "vggsound": "21.5	41.6	49.6	51.3	50.9	47.9",
    },
    "table6": {
        "kinetics400": "52.6	56.7	55.9	49.4",
        "vggsound": "46.2	51.8	51.0	48.3",
    },
}
"""Of Tables 5 and 6, which print a row for each data set."""

PAIRS = {
    "cosine": "90.1%/92.1%	73.3%/75.4%	28.3%/35.4%",
    "nearest": "90.2%/91.8%	69.7%/73.6%	22.7%/19.6%",
    "rank": "90.4%/92.3%	73.2%/74.7%	31.2%/37.4%",
    "wta": "90.5%/93.4%	73.4%/76.4%	38.5%/56.5%",
}
"""Of Table 7, which prints RS/ours."""


def figure(cell: str) -> Figure | None:
    if cell == "-":
        return None
    mean, *deviation = cell.removesuffix("%").split(r" \pm ")
    return float(mean), float(deviation[0]) if deviation else None


@pytest.mark.parametrize("name", PRINTED)
def test_a_row_has_the_figures_of_the_papers_row(name: str) -> None:
    columns, text = PRINTED[name]
    lines = [line.split("\t") for line in text.strip().splitlines()]
    assert [f"({row.number})" for row in TABLES[name].rows] == [line[0] for line in lines]
    for row, line in zip(TABLES[name].rows, lines):
        assert [row.paper.get(column) for column in columns] == [
            figure(cell) for cell in line[-len(columns) :]
        ], row.name
        assert row.paper.keys() <= set(columns)


@pytest.mark.parametrize("name", ACROSS)
def test_a_row_has_the_figures_of_the_papers_column(name: str) -> None:
    for data_set, cells in ACROSS[name].items():
        figures = [row.paper[data_set] for row in TABLES[name].rows]
        assert figures == [figure(cell) for cell in cells.split("\t")]


def test_table_7_is_of_both_methods() -> None:
    columns = ("cifar10", "cifar100", "kinetics400")
    for pairs, line in PAIRS.items():
        for place, method in enumerate(("rs", "ours")):
            [row] = [
                row
                for row in TABLES["table7"].rows
                if row.settings["pairs"] == pairs and row.settings.get("method", "ours") == method
            ]
            printed = [cell.split("/")[place] for cell in line.split("\t")]
            assert [row.paper[column] for column in columns] == [figure(c) for c in printed]


def test_names_say_what_the_papers_rows_are() -> None:
    for name in ("table1", "table2"):
        lines = PRINTED[name][1].strip().splitlines()
        for row, line in zip(TABLES[name].rows, lines):
            printed = re.sub(r" \[\d+\]", "", line.split("\t")[1]).replace("k -means", "k-means")
            assert row.name.split(",")[0] == printed.removesuffix(".")


def test_table_2_uses_the_modalities_that_are_ticked() -> None:
    ticked = {("✗", "✓"): "visual", ("✓", "✗"): "audio", ("✓", "✓"): "both"}
    for row, line in zip(TABLES["table2"].rows, PRINTED["table2"][1].strip().splitlines()):
        audio, video = line.split("\t")[2:4]
        assert row.settings.get("modalities", "both") == ticked[audio, video]


def test_table_4_compares_the_modalities_that_are_printed() -> None:
    meaning = {"(a, a) + (v, v)": "within", "(a, v)": "cross", "-": "off"}
    for row, line in zip(TABLES["table4"].rows, PRINTED["table4"][1].strip().splitlines()):
        instance, category = line.split("\t")[1:3]
        assert row.settings == {
            "instance_pairs": meaning[instance],
            "category_pairs": meaning[category],
        }


def test_a_row_that_is_not_there_is_refused() -> None:
    table: Table = TABLES["table4"]
    assert table.row(6).name == "(a, v); (a, v)"
    with pytest.raises(InputError, match="table4 has no row 7; its rows are 1, 2, 3, 4, 5, 6"):
        table.row(7)
