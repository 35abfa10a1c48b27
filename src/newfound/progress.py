"""What a run shows while it works: a live display on a terminal, plain lines elsewhere."""

import io
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TextIO

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

EPOCH_LINE_SECONDS = 5.0
"""Least time between two plain lines of epochs."""

SIGN_OF_LIFE_SECONDS = 60.0
"""A stage that prints nothing else says how far it is this often."""

FIGURES = {  # what is shown of a record, with its name and format
    "total": ("loss", ".3f"),
    "ce": ("ce", ".3f"),
    "bce": ("bce", ".3f"),
    "nce_instance": ("nce-i", ".3f"),
    "nce_category": ("nce-c", ".3f"),
    "mse": ("mse", ".4f"),
    "kl": ("kl", ".4f"),
    "pseudo_label": ("ll", ".3f"),
    "pairs_share": ("pairs", ".1%"),
    "novel_acc": ("acc", ".1%"),
}


class Pace:
    """Time per unit of work, from what was measured lately.

    The first `WARM_UP` advances of a stage are slow (compilers, caches, allocators) and are left
    out. The rest is averaged over whole epochs, the last `EPOCHS` and the running one, so that
    what happens between epochs is counted as often as it happens.
    """

    WARM_UP = 5
    EPOCHS = 3

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._advances = 0
        self._marks: deque[tuple[float, int]] = deque(maxlen=self.EPOCHS + 1)
        self._now = (clock(), 0)

    def advance(self, n: int) -> None:
        """Count n more units, done just now."""
        self._now = (self._clock(), self._now[1] + n)
        self._advances += 1
        if self._advances == self.WARM_UP:
            self._marks.append(self._now)

    def end_epoch(self) -> None:
        """Begin a new epoch."""
        if self._marks:
            self._marks.append(self._now)

    def seconds_each(self) -> float | None:
        """Seconds per unit, None while nothing was measured."""
        if not self._marks or self._now[1] <= self._marks[0][1]:
            return None
        (start, start_done), (end, end_done) = self._marks[0], self._now
        return (end - start) / (end_done - start_done)


@dataclass
class _Stage:
    """One stage: what is done, how fast, and the figures last heard of."""

    name: str
    total: int
    done: int
    epochs: int | None
    items_each: int
    start: float
    pace: Pace
    figures: dict[str, Any] = field(default_factory=dict)

    def epoch(self) -> str:
        if self.epochs is None:
            return ""
        current = min(self.done * self.epochs // max(self.total, 1) + 1, self.epochs)
        return f"epoch {current}/{self.epochs}"

    def speed(self) -> str:
        seconds = self.pace.seconds_each()
        return f"{self.items_each / seconds:,.0f} items/s" if seconds else ""

    def time_left(self) -> str:
        seconds = self.pace.seconds_each()
        if seconds is None or self.done >= self.total:
            return ""
        return f"{duration(seconds * (self.total - self.done))} left"

    def shown_figures(self) -> list[str]:
        return [
            f"{label} {self.figures[key]:{form}}"
            for key, (label, form) in FIGURES.items()
            if _is_number(self.figures.get(key))
        ]


class Progress:
    """Shows stages of work on stderr: live on a terminal, else in lines; nothing if `quiet`.

    A context manager. Plain lines are one per epoch, at most one every `EPOCH_LINE_SECONDS`, the
    first and the last always. A stream that cannot be written to is left alone, as if `quiet`.

    stream: sys.stderr if not given.  clock: monotonic seconds.
    """

    def __init__(
        self,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        stream = sys.stderr if stream is None else stream
        self._quiet = quiet or not _can_be_written(stream)
        # Not left to rich, which takes FORCE_COLOR, as many build servers set it, for a terminal
        self._console = (
            Console(file=io.StringIO(), force_terminal=False)
            if self._quiet
            else Console(file=stream, force_terminal=_is_terminal(stream))
        )
        self._clock = clock
        self._stage: _Stage | None = None
        self._line_time = -float("inf")
        self._held_line: str | None = None
        live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._live = (
            Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=4,
                transient=True,
                redirect_stdout=False,
            )
            if live
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_stage()
        if self._live:
            self._live.stop()

    def stage(
        self,
        name: str,
        total: int,
        *,
        done: int = 0,
        epochs: int | None = None,
        items_each: int = 1,
    ) -> None:
        """Begin a stage of `total` units of `items_each` items, `done` of them earlier.

        epochs: how many equal epochs the units make up, if they do.
        """
        self._end_stage()
        self._stage = _Stage(
            name, total, done, epochs, items_each, self._clock(), Pace(self._clock)
        )
        self._line_time = -float("inf") if epochs else self._clock()
        if not self._live:
            self._print(f"{name} ...")

    def advance(self, n: int = 1, **figures: float | None) -> None:
        """Count n units done. Figures (see `FIGURES`) replace those last shown."""
        stage = self._current()
        stage.done += n
        stage.pace.advance(n)
        stage.figures |= figures
        now = self._clock()
        if not self._live and now - max(self._line_time, stage.start) >= SIGN_OF_LIFE_SECONDS:
            self._line_time = now
            self._print(_line(f"{stage.name} {stage.done:,}/{stage.total:,}", stage.time_left()))

    def follow(self, done: int, _total: int) -> None:
        """Show that `done` units of the stage are done."""
        self.advance(done - self._current().done)

    def new_shards(self, done: int, total: int) -> None:
        """Show how many new shards are read: the stage of doing so begins with 0 of them."""
        if done == 0:
            self.stage(f"Reading {total:,} new shard{'s' if total > 1 else ''}", total)
        self.follow(done, total)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Show an epoch's record of the log."""
        stage = self._current()
        stage.pace.end_epoch()
        stage.figures |= {key: record[key] for key in FIGURES if key in record}
        if self._live:
            self._live.refresh()
            return
        rate = record.get("items_per_second")
        line = _line(
            f"epoch {record['epoch']}" + (f"/{stage.epochs}" if stage.epochs else ""),
            *stage.shown_figures(),
            f"{rate:,.0f} items/s" if rate else "",
            stage.time_left() if record["epoch"] != stage.epochs else "",
        )
        self._held_line = line
        if self._clock() - self._line_time >= EPOCH_LINE_SECONDS:
            self._release_line()

    def message(self, text: str) -> None:
        """Print a line that stays."""
        self._print(text)

    def _current(self) -> _Stage:
        assert self._stage is not None, "no stage has begun"
        return self._stage

    def _end_stage(self) -> None:
        self._release_line()
        if self._live and self._stage:
            took = duration(self._clock() - self._stage.start)
            self._print(f"{self._stage.name}: {took}")
        self._stage = None

    def _release_line(self) -> None:
        if self._held_line is not None:
            self._print(self._held_line)
            self._held_line = None
            self._line_time = self._clock()

    def _print(self, text: str) -> None:
        """Print text as it is: a file name is no markup."""
        if not self._quiet:
            self._console.print(Text(text), soft_wrap=True)

    def _render(self) -> Group:
        stage = self._stage  # the display has a thread of its own
        if stage is None:
            return Group()
        bar = Table.grid(padding=(0, 2))
        name = Text(stage.name, style="bold")
        if stage.total == 1:  # nothing to count: the bar only moves
            bar.add_row(name, ProgressBar(total=None, width=24))
            return Group(bar)
        unmeasured = "measuring" if stage.done < stage.total else ""
        bar.add_row(
            name,
            ProgressBar(total=max(stage.total, 1), completed=stage.done, width=24),
            Text(f"{stage.done:,}/{stage.total:,}"),
            Text(stage.epoch()),
            Text(stage.time_left() or unmeasured, style="cyan"),
        )
        figures = [Text(part, style="dim") for part in (*stage.shown_figures(), stage.speed())]
        return Group(bar, Columns(figures, padding=(0, 2)))


def duration(seconds: float) -> str:
    """Seconds in the two largest units that say something: 45 s, 3 min 20 s, 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _can_be_written(stream: Any) -> bool:
    """A service, or a program without a window, has None or a stand-in for stderr."""
    has_methods = hasattr(stream, "write") and hasattr(stream, "flush")
    return has_methods and not getattr(stream, "closed", False)


def _is_terminal(stream: Any) -> bool:
    return hasattr(stream, "isatty") and bool(stream.isatty())


def _is_number(figure: float | None) -> bool:
    return figure is not None and math.isfinite(figure)


def _line(*parts: str) -> str:
    return "  ".join(part for part in parts if part)
