"""What is written into bench.json is what was measured, and comes back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.results import CaseResult, Row, Spread, speeds, times

numbers = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20)


@given(numbers)
def test_the_spread_is_of_median_and_quartiles(values: list[float]) -> None:
    spread = Spread.of(values)
    quartiles = np.percentile(values, [25, 50, 75])
    assert [spread.low, spread.median, spread.high] == pytest.approx(quartiles.tolist())
    assert spread.count == len(values)


def test_a_figure_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValidationError):
        Spread.of([float("nan"), 1.0])


@pytest.mark.parametrize(
    ("low", "high", "overlaps"), [(0.0, 1.0, False), (0.0, 2.0, True), (3.5, 9.0, False)]
)
def test_spreads_overlap_where_a_value_may_be_of_either(
    low: float, high: float, overlaps: bool
) -> None:
    other = Spread(median=(low + high) / 2, low=low, high=high, count=3)
    mine = Spread(median=2.5, low=2.0, high=3.0, count=3)
    assert mine.overlaps(other) is other.overlaps(mine) is overlaps


def test_speeds_are_items_by_time_and_ratios_are_of_turns() -> None:
    row = speeds("a", "images/s", 10, [2.0, 5.0], "bare", [1.0, 4.0])
    assert row.ours == Spread.of([5.0, 2.0])
    assert row.theirs == Spread.of([10.0, 2.5])
    assert row.times_as_fast == Spread.of([0.5, 0.8])


def test_times_are_those_of_an_item() -> None:
    row = times("a", [2.0], "kornia", [6.0], unit="µs/view", items=4)
    assert row.ours.median == 500_000
    assert row.theirs is not None and row.theirs.median == 1_500_000
    assert row.times_as_fast is not None and row.times_as_fast.median == 3
    assert times("a", [0.25], "kornia", [1.0]).ours.median == 250  # ms


def test_results_come_back_from_json() -> None:
    row = Row(what="a", unit="%", ours=Spread.of([1.0, 2.0]))
    result = CaseResult(rows=[row], notes=["b"], seconds=3.0)
    assert CaseResult.model_validate_json(result.model_dump_json()) == result
