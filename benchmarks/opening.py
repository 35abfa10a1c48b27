"""Opens the catalogue of a folder as a run does before it reads, and tells what that took.

    python -m benchmarks.opening FOLDER LABELLED_CLASSES ANOTHER ITS_LABELLED_CLASSES

The other folder, a small one, is opened before, so that what is loaded for any folder is not
counted. A program of its own, so that its memory is that of the catalogue. Prints a JSON object:
seconds, resident_bytes and peak_bytes that opening added, and what was found, to be checked.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch

from newfound.data.catalogue import Catalogue
from newfound.data.opening import open_catalogue
from newfound.machine.memory import begin_peak_memory, peak_memory


def main() -> None:
    """Open, and print."""
    folder, labelled_classes, another, its_labelled_classes = sys.argv[1:]
    open_whole(another, int(its_labelled_classes))
    cpu = torch.device("cpu")
    begin_peak_memory(cpu)
    resident, peak = resident_bytes(), peak_memory(cpu)
    began = time.perf_counter()
    catalogue, fingerprint = open_whole(folder, int(labelled_classes))
    seconds = time.perf_counter() - began
    found = {
        "seconds": seconds,
        "resident_bytes": resident_bytes() - resident,
        "peak_bytes": peak_memory(cpu) - peak,
        "items": len(catalogue),
        "labelled": len(catalogue.labelled),
        "fingerprint": fingerprint,
    }
    print(json.dumps(found))


def open_whole(folder: str, labelled_classes: int) -> tuple[Catalogue, str]:
    """The catalogue and its fingerprint."""
    catalogue, _ = open_catalogue(folder, labelled_classes=labelled_classes)
    return catalogue, catalogue.fingerprint()


def resident_bytes() -> int:
    """Of this process; where the system does not tell, the most there has been."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return peak_memory(torch.device("cpu"))
    return int(statm.read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
