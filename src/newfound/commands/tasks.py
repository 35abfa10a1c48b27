"""What the command line asks of a command, beside settings: flags, with their help texts.

Flags are judged where they are used, so a task may hold what makes no sense.
"""

from dataclasses import dataclass
from pathlib import Path

from newfound.reproduce.rows import ScaleName


@dataclass(frozen=True)
class Problem:
    """What is to be discovered, in which data."""

    num_novel: int
    """number of categories to discover"""
    out: Path
    """the run folder"""
    labelled: Path | None = None
    """a folder of class folders, instead of DATA"""
    unlabelled: Path | None = None
    """a folder of unlabelled items, instead of DATA"""
    labelled_classes: int | None = None
    """DATA has class folders, or shards with a label for every item: so many
    classes in name order are labelled, the others are treated as
    unlabelled and scored at the end"""
    weights: Path | None = None
    """what the network starts from, in place of random values: the folder of an
    earlier run, or published weights of ResNet-18 (of videos R3D-18) in a file"""


@dataclass(frozen=True)
class DiscoverTask(Problem):
    """What is to be discovered, and in which way."""

    compare_labelled_only: bool = False
    """train on labels alone too, to compare with k-means on that"""
    dry_run: bool = False
    """count the data, measure three steps, estimate time and memory, write nothing"""
    quiet: bool = False
    """print nothing but errors"""


@dataclass(frozen=True)
class TuneTask(Problem):
    """What settings are to be chosen for."""

    out: Path
    """a folder for the trials, the curves and the choice"""
    seeds: int = 1
    """trials of each candidate, with the seeds from --seed on; their mean decides"""
    quiet: bool = False
    """print nothing but the flags to use and errors"""


@dataclass(frozen=True)
class ReproduceTask:
    """Which rows are run, on what."""

    dataset: str
    """a data set as `newfound reproduce list` names them"""
    data: Path
    """the folder it lies in, or one that holds that folder under the data set's name"""
    out: Path
    """the folder for all runs and tables; several tables may share it, and their runs"""
    rows: tuple[int, ...] = ()
    """the numbers of the rows, as 1 11; unset: all"""
    seeds: int = 1
    """runs of each row, with the seeds 0, 1, ..."""
    scale: ScaleName = "full"
    """full: the settings of the paper and its baselines' authors; small: shrunk for two cores"""
    labelled_classes: int | None = None
    """with --dataset folder: so many class folders in name order are labelled"""
    num_novel: int | None = None
    """categories to discover; unset: as many as there are novel classes"""
    quiet: bool = False
    """print nothing but errors"""
