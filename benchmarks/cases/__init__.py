"""The cases of the suite, by name: each gives its rows for a size, and checks before it times."""

from collections.abc import Callable

from benchmarks.cases import (
    augment,
    catalogue,
    decoding,
    pairs,
    predict,
    processes,
    stages,
    step,
)
from benchmarks.results import CaseResult, Size

CASES: dict[str, Callable[[Size], CaseResult]] = {
    "step": step.run,
    "stages": stages.run,
    "pairs": pairs.run,
    "augment": augment.run,
    "predict": predict.run,
    "decoding": decoding.run,
    "catalogue": catalogue.run,
    "processes": processes.run,
}
