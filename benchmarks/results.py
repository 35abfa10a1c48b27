"""What the suite measures, as it stands in bench.json."""

import statistics
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

Size = Literal["tiny", "default", "full"]
"""How much is measured: `tiny` tries the suite itself, and its figures say nothing."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Spread(_Frozen):
    """Repeated measurements: median, lower and upper quartile, and how many there were."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of at least one finite number; of a single one the quartiles are itself."""
        low, median, high = (
            statistics.quantiles(values, n=4, method="inclusive")
            if len(values) > 1
            else 3 * [values[0]]
        )
        return cls(median=median, low=low, high=high, count=len(values))

    def overlaps(self, other: Self) -> bool:
        """Whether the ranges between the quartiles have a point in common."""
        return self.low <= other.high and other.low <= self.high


class Row(_Frozen):
    """A figure of ours and, if there is one, of what it stands beside.

    what: unique within its case.  unit: of `ours` and `theirs`; those ending in "/s" are better
    when more, shares in "%" are neither, all others better when less.  times_as_fast: as theirs,
    of measurements in turns.  peak_mb: 10^6 bytes that it takes at most beside its inputs.
    """

    what: str
    unit: str
    ours: Spread
    against: str = ""
    theirs: Spread | None = None
    times_as_fast: Spread | None = None
    peak_mb: Spread | None = None
    their_peak_mb: Spread | None = None


class CaseResult(_Frozen):
    """The rows of a case, or in `error` why there are none. seconds: what measuring took."""

    rows: list[Row] = []
    notes: list[str] = []
    seconds: float = 0.0
    error: str | None = None


class About(_Frozen):
    """What the figures depend on.

    hardware: by device, in words.  threads: that torch computes with, but for small networks.
    load: the mean number of busy processes in the minute before.
    """

    began: str
    newfound: str
    commit: str | None
    hardware: dict[str, str]
    cores: int
    threads: int
    memory_gb: float
    system: str
    load: float
    versions: dict[str, str]


class Bench(_Frozen):
    """A whole bench.json."""

    about: About
    size: Size
    cases: dict[str, CaseResult]


def speeds(
    what: str,
    unit: str,
    items: int,
    our_seconds: Sequence[float],
    against: str,
    their_seconds: Sequence[float],
) -> Row:
    """A row of items per second, of two ways through equally many items, timed in turns."""
    return Row(
        what=what,
        unit=unit,
        ours=Spread.of([items / seconds for seconds in our_seconds]),
        against=against,
        theirs=Spread.of([items / seconds for seconds in their_seconds]),
        times_as_fast=_ratios(our_seconds, their_seconds),
    )


def times(
    what: str,
    our_seconds: Sequence[float],
    against: str,
    their_seconds: Sequence[float],
    *,
    unit: Literal["ms", "µs/view"] = "ms",
    items: int = 1,
) -> Row:
    """A row of time per item, of two ways through equally many items, timed in turns."""
    scale = {"ms": 1e3, "µs/view": 1e6}[unit] / items
    return Row(
        what=what,
        unit=unit,
        ours=Spread.of([scale * seconds for seconds in our_seconds]),
        against=against,
        theirs=Spread.of([scale * seconds for seconds in their_seconds]),
        times_as_fast=_ratios(our_seconds, their_seconds),
    )


def _ratios(our_seconds: Sequence[float], their_seconds: Sequence[float]) -> Spread:
    return Spread.of([theirs / ours for ours, theirs in zip(our_seconds, their_seconds)])
