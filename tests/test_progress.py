import io
import re

import pytest

from newfound.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def steps(progress: Progress, clock: Clock, count: int, seconds: float) -> None:
    for _ in range(count):
        clock.now += seconds
        progress.advance()


def record(epoch: int, **figures: float) -> dict[str, object]:
    return {"event": "epoch", "epoch": epoch, "total": 2.5, "pairs_share": 0.125} | figures


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stream():
    return io.StringIO()


class TestPlainLines:
    def test_what_is_read_is_counted_once_it_begins(self, clock, stream):
        with Progress(stream=stream, clock=clock) as progress:
            assert stream.getvalue() == ""
            progress.new_shards(0, 1200)
            for done in range(1, 1201):
                clock.now += 0.125
                progress.new_shards(done, 1200)
        assert stream.getvalue().splitlines() == [
            "Reading 1,200 new shards ...",
            "Reading 1,200 new shards 480/1,200  1 min 30 s left",
            "Reading 1,200 new shards 960/1,200  30 s left",
        ]

    def test_an_epoch_a_line_with_what_matters(self, clock, stream):
        with Progress(stream=stream, clock=clock) as progress:
            progress.stage("training", 20, epochs=2)
            steps(progress, clock, 10, 1.0)
            progress.epoch(record(1, items_per_second=812.3, novel_acc=None))
            steps(progress, clock, 10, 1.0)
            progress.epoch(record(2, items_per_second=812.3, novel_acc=0.91))
        assert stream.getvalue().splitlines() == [
            "training ...",
            "epoch 1/2  loss 2.500  pairs 12.5%  812 items/s  10 s left",
            "epoch 2/2  loss 2.500  pairs 12.5%  acc 91.0%  812 items/s",
        ]

    def test_short_epochs_are_thinned_but_first_and_last_are_shown(self, clock, stream):
        with Progress(stream=stream, clock=clock) as progress:
            progress.stage("training", 24, epochs=24)
            for epoch in range(1, 25):
                steps(progress, clock, 1, 1.0)
                progress.epoch(record(epoch))
        epochs = [line.split("/")[0] for line in stream.getvalue().splitlines()[1:]]
        assert epochs == [f"epoch {e}" for e in (1, 6, 11, 16, 21, 24)]

    def test_the_last_line_is_shown_when_a_run_is_cut_short(self, clock, stream):
        with pytest.raises(KeyboardInterrupt), Progress(stream=stream, clock=clock) as progress:
            progress.stage("training", 9, epochs=9)
            for epoch in (1, 2):
                steps(progress, clock, 1, 1.0)
                progress.epoch(record(epoch))
            raise KeyboardInterrupt
        assert stream.getvalue().splitlines()[-1].startswith("epoch 2/9")

    def test_a_long_stage_without_epochs_gives_a_sign_of_life_a_minute(self, clock, stream):
        with Progress(stream=stream, clock=clock) as progress:
            progress.stage("decoding", 1000)
            steps(progress, clock, 150, 1.0)
        assert stream.getvalue().splitlines() == [
            "decoding ...",
            "decoding 60/1,000  15 min 40 s left",
            "decoding 120/1,000  14 min 40 s left",
        ]

    def test_messages_are_text_and_no_markup(self, clock, stream):
        with Progress(stream=stream, clock=clock) as progress:
            progress.message("[bold]a[/bold] 'x' :smile: " + "long " * 40)
        assert stream.getvalue() == "[bold]a[/bold] 'x' :smile: " + "long " * 40 + "\n"

    def test_quiet_says_nothing(self, clock, stream):
        for target in (stream, Terminal()):
            with Progress(quiet=True, stream=target, clock=clock) as progress:
                progress.stage("training", 4, epochs=2)
                steps(progress, clock, 4, 100.0)
                progress.epoch(record(1))
                progress.message("hello")
            assert target.getvalue() == ""

    def test_no_terminal_stays_none_where_colour_is_forced(self, clock, stream, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        with Progress(stream=stream, clock=clock) as progress:
            progress.message("plain")
        assert stream.getvalue() == "plain\n"

    @pytest.mark.parametrize("quiet", [True, False])
    def test_where_nothing_can_be_written_it_is_quiet(self, clock, monkeypatch, quiet):
        closed = io.StringIO()
        closed.close()
        for stream in (None, object(), closed):
            monkeypatch.setattr("sys.stderr", stream)
            with Progress(quiet=quiet, clock=clock) as progress:
                progress.stage("training", 4, epochs=2)
                progress.message("hello")

    def test_what_is_written_to_need_not_know_of_terminals(self, clock):
        class Lines:
            def __init__(self):
                self.text = ""

            def write(self, text):
                self.text += text

            def flush(self):
                pass

        lines = Lines()
        with Progress(stream=lines, clock=clock) as progress:
            progress.message("here")
        assert lines.text == "here\n"

    def test_stderr_by_default(self, clock, capsys):
        with Progress(clock=clock) as progress:
            progress.message("here")
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err == "here\n"


class TestTerminal:
    @pytest.fixture(autouse=True)
    def _a_capable_terminal(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "100")

    def shown(self, terminal: Terminal, progress: Progress) -> str:
        """What was drawn; the end of an epoch draws at once."""
        progress.epoch({"total": 1.25, "pairs_share": 0.1})
        return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).split())

    def test_shows_stage_epoch_figures_speed_and_time_left(self, clock):
        terminal = Terminal()
        with Progress(stream=terminal, clock=clock) as progress:
            progress.stage("training", 40, epochs=4, items_each=256)
            steps(progress, clock, 15, 2.0)
            shown = self.shown(terminal, progress)
        assert "training" in shown and "15/40" in shown and "epoch 2/4" in shown
        assert "loss 1.250 pairs 10.0%" in shown
        assert "128 items/s" in shown and "50 s left" in shown

    def test_says_that_it_measures_before_it_says_a_time(self, clock):
        terminal = Terminal()
        with Progress(stream=terminal, clock=clock) as progress:
            progress.stage("training", 100)
            steps(progress, clock, 3, 30.0)
            shown = self.shown(terminal, progress)
        assert "measuring" in shown and "left" not in shown

    def test_leaves_a_line_for_each_stage(self, clock):
        terminal = Terminal()
        with Progress(stream=terminal, clock=clock) as progress:
            progress.stage("decoding", 3)
            steps(progress, clock, 3, 25.0)
            progress.stage("training", 2)
            steps(progress, clock, 1, 1.0)
        assert "decoding: 1 min 15 s\n" in terminal.getvalue()
        assert "training: 1 s\n" in terminal.getvalue()


class TestTimeLeft:
    """Read off the plain line of an epoch, which ends with it."""

    def last_line(self, stream) -> str:
        return stream.getvalue().splitlines()[-1]

    def test_leaves_out_the_slow_first_steps(self, clock, stream):
        with Progress(stream=stream, clock=clock) as progress:
            progress.stage("training", 110, epochs=11)
            steps(progress, clock, 5, 60.0)
            steps(progress, clock, 5, 1.0)
            progress.epoch(record(1))
        assert self.last_line(stream).endswith("  1 min 40 s left")

    def test_counts_what_happens_between_epochs(self, clock, stream):
        with Progress(stream=stream, clock=clock) as progress:
            progress.stage("training", 100, epochs=10)
            for epoch in range(1, 7):
                steps(progress, clock, 10, 1.0)
                clock.now += 5
                progress.epoch(record(epoch))
        assert self.last_line(stream).endswith("  1 min 0 s left")  # 4 epochs of 15 s

    def test_follows_a_change_of_pace(self, clock, stream):
        with Progress(stream=stream, clock=clock) as progress:
            progress.stage("training", 100, epochs=10)
            for epoch in range(1, 10):
                steps(progress, clock, 10, 1.0 if epoch < 7 else 3.0)
                progress.epoch(record(epoch))
        assert self.last_line(stream).endswith("  30 s left")

    def test_a_resumed_run_is_not_taken_for_a_fast_one(self, clock, stream):
        with Progress(stream=stream, clock=clock) as progress:
            progress.stage("training", 100, done=80, epochs=10)
            steps(progress, clock, 10, 2.0)
            progress.epoch(record(9))
        assert self.last_line(stream).endswith("  20 s left")

    def test_each_stage_has_its_own_pace(self, clock, stream):
        with Progress(stream=stream, clock=clock) as progress:
            progress.stage("decoding", 1000)
            steps(progress, clock, 100, 0.01)
            progress.stage("training", 200, epochs=2)
            steps(progress, clock, 100, 2.0)
            progress.epoch(record(1))
        assert self.last_line(stream).endswith("  3 min 20 s left")
