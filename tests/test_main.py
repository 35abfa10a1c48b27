import os
import subprocess
import sys

import pytest


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
