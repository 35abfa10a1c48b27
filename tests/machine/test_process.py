import subprocess
import sys

import pytest

SECOND_USE_OF_A_BLOCK = """
import resource, sys
import numpy as np
from newfound.machine.process import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
np.ones(2**26, np.uint8)  # used, and free again
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**26, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the settings are those of Linux's glibc")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    def page_faults(process: str) -> int:
        shown = subprocess.run(
            [sys.executable, "-c", SECOND_USE_OF_A_BLOCK, process],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(shown.stdout)

    assert page_faults("kept") < 10
    assert page_faults("given back") > 30  # 32 with huge pages, 16,384 without
