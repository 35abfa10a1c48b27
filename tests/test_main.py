import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import newfound.cli


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp, which tells its settings, is Linux's")
def test_waiting_threads_do_not_spin_unless_asked_to() -> None:
    """OpenMP reads its policy once, when torch is loaded: it must be set before."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith(("OMP_", "GOMP_"))}
    for policy, spins in ((None, "'0'"), ("ACTIVE", "'30000000000'")):
        chosen = {} if policy is None else {"OMP_WAIT_POLICY": policy}
        shown = subprocess.run(
            [sys.executable, "-m", "newfound", "report", "nowhere"],
            env=environment | chosen | {"OMP_DISPLAY_ENV": "VERBOSE"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert shown.returncode == 2
        assert f"GOMP_SPINCOUNT = {spins}" in shown.stderr


def test_a_reader_who_leaves_is_no_mistake() -> None:
    """As `newfound discover images --help | head` does."""
    command = [sys.executable, "-m", "newfound", "discover", "images", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""


INTERRUPTED_WHILE_IT_LOADS = """
import atexit, sys
from newfound.__main__ import main

class Interrupting:
    def find_spec(self, name, *_):
        if name == loaded:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
atexit.register(print, "ended as Python does")
loaded, sys.argv[1:] = sys.argv[1], ["report", "nowhere"]
main()
"""


@pytest.mark.parametrize("loaded", ["newfound.cli.main", "newfound.commands.finished", "torch"])
def test_ctrl_c_while_it_loads_is_no_mistake(loaded: str) -> None:
    stopped = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_IT_LOADS, loaded],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (stopped.returncode, stopped.stderr) == (130, "newfound: stopped\n")
    assert stopped.stdout == ""


INTERRUPTED_NOTEBOOK = """
import signal, sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == "torch":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
import newfound

try:
    newfound.discover
except KeyboardInterrupt:
    print("stopped", newfound.discover.__name__)
"""


def test_ctrl_c_while_a_notebook_loads_waits_until_all_is_loaded() -> None:
    """What is half loaded can be loaded again in a new process alone."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_NOTEBOOK], capture_output=True, text=True, check=False
    )
    assert done.stdout == "stopped discover\n", done.stderr


FAILED_AMONG_OTHERS = """
import atexit
import newfound.cli.main, newfound.machine.distributed
from newfound.__main__ import main

atexit.register(print, "ended as Python does")
newfound.machine.distributed.count = lambda: 2
newfound.cli.main.run_command_line = lambda _: print("why") or {outcome}
main()
"""


@pytest.mark.parametrize(("outcome", "code"), [("2", 2), ("1 / 0", 1)])
def test_who_failed_among_others_is_gone_at_once(outcome: str, code: int) -> None:
    """What Python does at its end could wait for the others, who wait for this process."""
    failed = subprocess.run(
        [sys.executable, "-c", FAILED_AMONG_OTHERS.format(outcome=outcome)],
        env=os.environ | {"WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (failed.returncode, failed.stdout) == (code, "why\n")
    assert ("ZeroDivisionError" in failed.stderr) == (code == 1)


LOADED = """
import sys
from newfound.__main__ import main

try:
    main()
finally:
    print({"torch", "pandas", "sklearn", "scipy"} & set(sys.modules))
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["discover", "images", "--help"],
        ["reproduce", "table1", "--help"],
        ["tune", "videos", "--help"],
        ["predict", "--help"],
        ["discover", "images", "photos", "--num-novel", "5", "--out", "runs/a", "--epocs", "3"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("processes", ["1", "2"])
def test_help_and_misspelt_flags_load_nothing_that_takes_seconds(
    arguments: list[str], processes: str
) -> None:
    answered = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        env=os.environ | {"WORLD_SIZE": processes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answered.stdout.splitlines()[-1] == "set()"
    assert "Traceback" not in answered.stderr


def test_what_a_command_loads_it_loads_where_ctrl_c_is_heard() -> None:
    """Every import within a function of the command line."""
    place = Path(newfound.cli.__file__).parent
    for module in place.glob("*.py"):
        for function in ast.walk(ast.parse(module.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for statement in function.body:
                assert not isinstance(statement, ast.Import | ast.ImportFrom), module.name
                if any(
                    isinstance(node, ast.ImportFrom) for node in ast.iter_child_nodes(statement)
                ):
                    assert isinstance(statement, ast.With)
                    assert ast.unparse(statement.items[0]) == "loading()"
