"""The suite as a stranger runs it: a table, a file, and nothing lost with a case that fails."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import suite
from benchmarks.__main__ import main
from benchmarks.about import about
from benchmarks.results import Bench, CaseResult, Row, Spread
from benchmarks.table import (
    about_in_words,
    number_in_words,
    print_bench,
    spread_in_words,
    without_repetition,
)

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_the_figures(tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "bench.json"
    said = run("-m", "benchmarks", "--tiny", "--only", "predict", "--out", out)
    assert said.returncode == 0, said.stderr
    bench = Bench.model_validate_json(out.read_bytes())
    assert list(bench.cases) == ["predict"] and bench.size == "tiny"
    assert bench.about.versions["torch"] and bench.about.cores > 0
    for row in bench.cases["predict"].rows:
        assert row.what in said.stdout
        assert spread_in_words(row.ours) in said.stdout
    assert "figures say nothing" in said.stdout


def test_a_case_that_there_is_not_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # which it would set for good
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "pairs,colours"])
    with pytest.raises(SystemExit):
        main()
    assert "there is no case 'colours'; there are step, stages, pairs" in capsys.readouterr().err


def replaced(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each case is now this Python code, with the file to be written as its last argument."""
    real = subprocess.Popen

    def instead(command: list[str], **named: object) -> object:
        return real([sys.executable, "-c", code, command[-1]], **named)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", instead)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("def f():\n  assert False, 'pairs\\nare wrong'\nf()", "AssertionError: pairs are wrong"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed, as by a system w"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "ended with status -15"),
        ("import sys; sys.exit('no kornia')", "no kornia"),
    ],
)
def test_of_a_case_that_fails_the_reason_is_kept(
    monkeypatch: pytest.MonkeyPatch, code: str, error: str
) -> None:
    replaced(code, monkeypatch)
    assert str(suite.run_case("pairs", "tiny").error).startswith(error)


def test_of_a_killed_case_nothing_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where memory runs out: its own processes would hold its streams, and work on."""
    code = f"""
import os, signal, subprocess, sys, tempfile
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Path({str(tmp_path)!r}, "pid").write_text(str(child.pid))
Path({str(tmp_path)!r}, "temporary").write_text(tempfile.mkdtemp())
os.kill(os.getpid(), signal.SIGKILL)
"""
    replaced(code, monkeypatch)
    assert "was killed" in str(suite.run_case("pairs", "tiny").error)
    assert not _is_alive(int((tmp_path / "pid").read_text()))
    assert not Path((tmp_path / "temporary").read_text()).exists()


def test_a_case_out_of_time_is_asked_to_end_before_it_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As torchrun has to be, which then ends its workers."""
    code = f"""
import signal, time
from pathlib import Path
def asked(*_):
    Path({str(tmp_path / "asked")!r}).touch()
signal.signal(signal.SIGTERM, asked)
Path({str(tmp_path / "ready")!r}).touch()
time.sleep(60)
"""
    replaced(code, monkeypatch)
    monkeypatch.setitem(suite._SECONDS_AT_MOST, "tiny", 5)
    monkeypatch.setattr(suite, "_SECONDS_TO_END", 0.5)
    began = time.monotonic()
    assert "did not end" in str(suite.run_case("pairs", "tiny").error)
    assert time.monotonic() - began < 30
    assert (tmp_path / "ready").exists() and (tmp_path / "asked").exists()


def _is_alive(pid: int) -> bool:
    """A process that has ended may be there, to be asked how, until its new parent has."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


def test_a_case_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    replaced("import time; time.sleep(60)", monkeypatch)
    monkeypatch.setitem(suite._SECONDS_AT_MOST, "tiny", 0.2)
    assert suite.run_case("pairs", "tiny").error == "did not end in 0.2 s"


def test_a_case_that_succeeds_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CaseResult(rows=[Row(what="a", unit="ms", ours=Spread.of([1.0]))], seconds=2.0)
    text = result.model_dump_json()
    replaced(f"import sys, pathlib; pathlib.Path(sys.argv[1]).write_text({text!r})", monkeypatch)
    assert suite.run_case("pairs", "tiny") == result


def test_a_failure_stands_in_the_table_beside_the_others_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = Row(
        what="a [b]: c",
        unit="ms",
        ours=Spread.of([1.0, 2.0, 3.0]),
        against="kornia",
        theirs=Spread.of([12.0]),
        peak_mb=Spread.of([345.6]),
    )
    cases = {"pairs": CaseResult(error="too [slow]"), "augment": CaseResult(rows=[row])}
    print_bench(Bench(about=about(), size="default", cases=cases), Console(width=150))
    said = capsys.readouterr().out
    assert "pairs (0 s, failed)" in said and "pairs failed: too [slow]" in said
    (line,) = [line for line in said.splitlines() if "a [b]: c" in line]
    words = ["a [b]: c", "2.00 (1.50-2.50)", "ms", "kornia", "12.0", "346"]
    assert re.split(r"  +", line.strip()) == words


def test_a_busy_machine_is_warned_of() -> None:
    quiet = about().model_copy(update={"load": 0.0, "cores": 2})
    assert not any("warning" in line for line in about_in_words(quiet))
    busy = quiet.model_copy(update={"load": 1.5})
    assert about_in_words(busy)[-1].startswith("warning: 1.5 processes were busy on 2 cores")


def test_numbers_have_three_digits_where_that_makes_sense() -> None:
    numbers = [12345.6, 123.4, 12.34, 1.234, 0.1234, 0.0, -2.5]
    assert [number_in_words(number) for number in numbers] == [
        "12,346",
        "123",
        "12.3",
        "1.23",
        "0.123",
        "0.000",
        "-2.50",
    ]


def test_what_rows_have_in_common_is_said_once() -> None:
    names = ["quick: step", "quick: decode", "videos: step", "plain", "quick: step"]
    assert without_repetition(names) == [
        "quick: step",
        "  decode",
        "videos: step",
        "plain",
        "quick: step",
    ]


def test_about_is_of_this_machine() -> None:
    here = about()
    assert here.hardware["cpu"].startswith("CPU, ")
    assert here.memory_gb > 0
    assert json.loads(here.model_dump_json())["versions"]["python"].startswith("3.")
