"""Which runs a row of a table is made of, and where each of them lies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from newfound.config import Config, Runtime
from newfound.data.catalogue import Catalogue, Truth, check_num_novel
from newfound.data.rehearsal import pretend
from newfound.disk.out_place import check_apart_from_data
from newfound.disk.outputs import has_whole_report, lost_output
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError, RunFolderError
from newfound.job import Job
from newfound.reproduce.datasets import DataSet
from newfound.reproduce.rows import Row, ScaleName, Table
from newfound.stages import stages


@dataclass(frozen=True)
class PlannedProblem:
    """What is to be discovered: a data set, or one of its parts. name: "" for a whole one."""

    name: str
    catalogue: Catalogue
    truth: Truth
    num_novel: int

    @cached_property
    def fingerprint(self) -> str:
        """The catalogue's, read from disk once."""
        return self.catalogue.fingerprint()


@dataclass(frozen=True)
class PlannedRun:
    """One run of a row, with one seed, on one problem."""

    folder: RunFolder
    problem: PlannedProblem
    config: Config

    def job(self, runtime: Runtime) -> Job:
        """What `newfound.run.run` does."""
        problem = self.problem
        return Job(
            self.folder,
            problem.catalogue,
            problem.truth,
            problem.num_novel,
            self.config,
            runtime,
            compare_labelled_only=False,
        )

    def is_done(self) -> bool:
        """Whether the folder holds the result of just this run, and not of another one."""
        try:
            self.folder.result()
        except RunFolderError:
            return False
        header = self.folder.read_config()
        asked: dict[str, Any] = self.config.model_dump(mode="json")
        # Settings that a run is older than have their defaults; `auto` became what it means.
        there = self.folder.config().model_dump(mode="json") | {"precision": asked["precision"]}
        return (
            there == asked
            and header["num_novel"] == self.problem.num_novel
            and header.get("data_fingerprint") == self.problem.fingerprint
        )

    def is_whole(self) -> bool:
        """Whether it is done, and nothing is lost that can be made anew."""
        if not self.is_done():
            return False
        trained = self.folder.checkpoint_of(stages(self.config)[-1].key)
        is_lost = not has_whole_report(self.folder) or lost_output(self.folder) is not None
        return not (is_lost and trained.exists())


@dataclass(frozen=True)
class Plan:
    """A table on a data set at a scale.

    out: the folder that holds all its runs and tables.  num_novel: as many categories instead of as
    there are novel classes, or None.
    """

    table: Table
    data_set: DataSet
    scale: ScaleName
    problems: tuple[PlannedProblem, ...]
    out: Path
    num_novel: int | None = None

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.table.name}-{self.data_set.name}{self._categories}-{self.scale}"

    @property
    def _categories(self) -> str:
        return "" if self.num_novel is None else f"-{self.num_novel}novel"

    def trials(self, row: Row, seed: int) -> tuple[PlannedRun, ...]:
        """The runs of a row with one seed, one for each problem.

        Raises InputError if the row's settings are not possible here.
        """
        config = self.data_set.config(self.scale, row.settings, seed)
        return tuple(
            PlannedRun(RunFolder(folder), problem, config)
            for problem, folder in zip(self.problems, self._folders(row, seed))
        )

    def seeds_begun(self, row: Row) -> Iterator[int]:
        """The seeds for which the row's first problem has a run folder, in any state."""
        folder = self._folders(row, 0)[0]
        stem = folder.name.removesuffix("0")
        for sibling in sorted(folder.parent.glob("*")):
            seed = sibling.name.removeprefix(stem)
            if sibling.name.startswith(stem) and seed.isdecimal():
                yield int(seed)

    def _folders(self, row: Row, seed: int) -> list[Path]:
        """Named after what the run is, not after the table: rows of several tables share it."""
        settings = settings_in_words(self.data_set, self.scale, row)
        pretended = "-pretended" if self.table.pretended else ""
        return [
            self.out / "runs" / f"{self.data_set.name}{self._categories}{pretended}"
            f"{problem.name and '-' + problem.name}-{self.scale}"
            f"-{settings}-seed{seed}"
            for problem in self.problems
        ]


def settings_in_words(data_set: DataSet, scale: ScaleName, row: Row) -> str:
    """The method, and the settings in which it differs from how it is run otherwise."""
    config = data_set.config(scale, row.settings)
    usual = data_set.config(scale, {"method": config.method})
    changed = [
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in config
        if value != getattr(usual, name)
    ]
    return "-".join([config.method, *changed])


def make_plan(
    table: Table,
    data_set: DataSet,
    scale: ScaleName,
    data: Path,
    out: Path,
    num_novel: int | None,
    opening: Callable[[str], None],
) -> Plan:
    """Open the data. num_novel: not as many categories as there are novel classes, but so many.

    opening: told what is opened.  Raises InputError for fewer than two, if `out` lies among the
    data or is a run's own folder, and if the data are not there, of another kind than the table, or
    have too few labelled classes to take some as unlabelled.
    """
    if data_set.all_folders:
        check_apart_from_data(out, data_set.place(data))
    if RunFolder(out).holds_a_run():
        raise InputError(f"{out} is the folder of a run; give another --out")
    if num_novel is not None:
        check_num_novel(num_novel)
    if table.kind not in (None, data_set.kind):
        raise InputError(
            f"{table.name} is of {table.kind}, and {data_set.name} holds {data_set.kind}; give a "
            f"--dataset of {table.kind}"
        )
    problems = []
    for part in data_set.problems(data, scale):
        opening(f"opening {data_set.name} {part}".rstrip())
        catalogue, truth = data_set.opened(data, scale, part)
        wanted = len(truth.class_names) if num_novel is None else num_novel
        if table.pretended:
            catalogue, truth = pretend(catalogue, wanted)
            wanted = len(truth.class_names)
        problems.append(PlannedProblem(part, catalogue, truth, wanted))
    return Plan(table, data_set, scale, tuple(problems), out, num_novel)
