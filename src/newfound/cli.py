"""The command line: parse, call, print. What is done is done elsewhere."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tyro.conf import OmitArgPrefixes, Positional, arg
from tyro.extras import SubcommandApp

from newfound.av_digits.make import make_av_digits
from newfound.config import (
    PRESETS,
    Config,
    Machine,
    Runtime,
    complete_config,
    kind_of,
    make_config,
    make_runtime,
)
from newfound.data.catalogue import Catalogue, Truth, open_catalogue
from newfound.data.manifest import read_truth
from newfound.data.rehearsal import pretend
from newfound.data.source import Kind
from newfound.discovery import Discovery, choose_preset, load
from newfound.dry_run import try_out
from newfound.errors import InputError, Stopped
from newfound.files import write_atomically, write_csv
from newfound.predict import check_unused, predict, sort_files
from newfound.progress import Progress
from newfound.report import write_report
from newfound.reproduce.datasets import ScaleName, find_data_set
from newfound.reproduce.listing import listing
from newfound.reproduce.page import write_page
from newfound.reproduce.plan import make_plan
from newfound.reproduce.results import displayed
from newfound.reproduce.rows import TABLES
from newfound.reproduce.rows import Table as PaperTable
from newfound.reproduce.runner import reproduce
from newfound.run import Job, run
from newfound.run_folder import RunFolder
from newfound.tune import TUNED, Candidates, Tuning, tune
from newfound.tuning_curve import curve_table, write_curves

USER_ERROR, OWN_ERROR, INTERRUPTED = 2, 1, 130

Call = Callable[[], None]
"""What a parsed command line asks for, not done yet."""

Opened = tuple[Catalogue, Truth | None]


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
    """DATA has class folders: so many in name order are labelled, the others are treated as
    unlabelled and scored at the end"""


@dataclass(frozen=True)
class Task(Problem):
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


def run_command_line(arguments: Sequence[str]) -> int:
    """Run `newfound` with these arguments. Returns the exit code; errors go to stderr."""
    debug = "--debug" in arguments
    try:
        _parse([a for a in arguments if a != "--debug"])()
        sys.stdout.flush()
    except BrokenPipeError:  # as of `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OWN_ERROR
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        return _explain(error)
    return 0


def _explain(error: BaseException) -> int:
    match error:
        case InputError():
            text, code = f"newfound: {error}", USER_ERROR
        case Stopped():
            text, code = f"newfound: {error}", INTERRUPTED
        case KeyboardInterrupt():
            text, code = "newfound: stopped", INTERRUPTED
        case _:
            text = (
                f"newfound: a mistake of its own: {type(error).__name__}: {error}\n"
                "The same command with --debug shows where. Please report it."
            )
            code = OWN_ERROR
    print(text, file=sys.stderr)
    return code


def _parse(arguments: Sequence[str], opened: Opened | None = None) -> Call:
    """Arguments -> the call they ask for. Exits with 2 after a message if they make no sense.

    opened: the data the arguments name, if it has been opened to choose the preset.
    """
    named = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    named.add_argument("--preset")
    named.add_argument("--method")
    known, others = named.parse_known_args(arguments)
    preset: str | None = known.preset
    if preset == "auto":  # as in Python: the same as none
        preset, arguments = None, others
    call: Call = _commands(arguments, preset, known.method, opened).cli(
        prog="newfound",
        description="Novel category discovery: sort images or videos into new categories.",
        args=list(arguments),
    )
    return call


def _commands(
    arguments: Sequence[str], preset: str | None, method: str | None, opened: Opened | None
) -> SubcommandApp:
    """The sub-commands; a preset's settings, as a method needs them, are the flags' defaults."""
    app, discover_app = SubcommandApp(), SubcommandApp()
    image_defaults = _defaults(preset, "images", method)
    video_defaults = _defaults(preset, "videos", method)
    runtime_defaults = Runtime()

    @discover_app.command(name="images")
    def discover_images(
        data: Positional[str | None] = None,
        /,
        *,
        task: OmitArgPrefixes[Task],
        download: bool = False,
        settings: OmitArgPrefixes[Annotated[Any, arg(constructor=_flags(image_defaults))]],
        runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=_flags(runtime_defaults))]],
    ) -> Call:
        """Sort unlabelled images into new categories, learning from labelled ones of others.

        Without --preset it is chosen by the data: `images` above 64 px, else `digits` for grey
        and `small-images` for coloured ones. The defaults shown are those of `images`, or of the
        --preset given. `quick` is for a CPU or a deadline.
        The same command again continues a run that was stopped.

        Args:
            data: a folder (labelled/<class>/ and unlabelled/, or class folders with
                --labelled-classes), a .csv or .parquet table (path, label), or a built-in set:
                digits, cifar10, cifar100
            download: let torchvision fetch cifar10 or cifar100
        """

        def call() -> None:
            _check_kind(preset, "images")
            data_set = opened or open_catalogue(
                data,
                labelled=task.labelled,
                unlabelled=task.unlabelled,
                labelled_classes=task.labelled_classes,
                download=download,
            )
            if preset is None and (chosen := choose_preset(data_set[0])) != settings.preset:
                _parse([*arguments, "--preset", chosen], data_set)()
                return
            _discover(task, data_set, settings, runtime)

        return call

    @discover_app.command(name="videos")
    def discover_videos(
        data: Positional[str | None] = None,
        /,
        *,
        task: OmitArgPrefixes[Task],
        csv: Path | None = None,
        videos: Path | None = None,
        settings: OmitArgPrefixes[Annotated[Any, arg(constructor=_flags(video_defaults))]],
        runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=_flags(runtime_defaults))]],
    ) -> Call:
        """Sort unlabelled videos, by sight and sound, into new categories.

        The defaults shown are those of the preset `videos`, or of the --preset given.
        `quick-videos` is for a CPU or a deadline.
        The same command again continues a run that was stopped.

        Args:
            data: a folder (labelled/<class>/ and unlabelled/, or class folders with
                --labelled-classes), a .csv or .parquet table (path, label, and if need be
                start_seconds, end_seconds), or a published set: kinetics400 (350 classes known,
                50 novel) or vggsound (270, 39), with --csv and --videos
            csv: of kinetics400 the folder of train.csv and validate.csv, or one table of all; of
                vggsound its vggsound.csv
            videos: the folder that the videos of kinetics400 or vggsound lie in or below, named
                <youtube_id>_000010_000020.mp4, <youtube_id>_000010.mp4 or <youtube_id>.mp4
        """

        def call() -> None:
            _check_kind(preset, "videos")
            data_set = open_catalogue(
                data,
                labelled=task.labelled,
                unlabelled=task.unlabelled,
                labelled_classes=task.labelled_classes,
                kind="videos",
                csv=csv,
                videos=videos,
            )
            _discover(task, data_set, settings, runtime)

        return call

    app.command(discover_app, name="discover", help="Discover the categories in a data set.")

    tune_app = _tune_commands(arguments, preset, opened)
    app.command(tune_app, name="tune", help="Choose settings on the known classes of a data set.")

    app.command(_reproduce_commands(), name="reproduce", help="Run the rows of the paper's tables.")

    @app.command(name="predict")
    def predict_command(
        run: Positional[Path],
        path: Positional[Path],
        /,
        *,
        out: Path,
        copy_to: Path | None = None,
        link: bool = False,
        quiet: bool = False,
        machine: OmitArgPrefixes[Annotated[Any, arg(constructor=_flags(Machine()))]],
    ) -> Call:
        """Name the category, known or discovered, of new images or videos.

        Args:
            run: the folder of a finished run
            path: a file or a folder, of what the run was trained on: images or videos
            out: the table to write, .csv or .parquet
            copy_to: also sort the files into one folder per category here
            link: with --copy-to, links instead of copies
            quiet: print nothing but errors
        """

        def call() -> None:
            write, speed = _table_writer(out), make_runtime(**asdict(machine))
            if copy_to is not None:
                check_unused(copy_to)
            elif link:
                raise InputError("--link goes with --copy-to; say where the links are to lie")
            with Progress(quiet=quiet) as progress:
                prediction = predict(RunFolder(run), path, speed, progress)
                write(prediction.table)
                if copy_to is not None:
                    sort_files(prediction, copy_to, "link" if link else "copy")
                for name, reason in prediction.skipped.itertuples(index=False):
                    progress.message(f"left out: {name}: {reason}")
                progress.message(f"{len(prediction.table)} {prediction.files.kind} -> {out}")

        return call

    @app.command
    def evaluate(
        run: Positional[Path],
        /,
        *,
        truth: Path | None = None,
        json: Annotated[bool, arg(name="json")] = False,
    ) -> Call:
        """Score a finished run: ACC, NMI, ARI and each category, by one Hungarian matching.

        Args:
            run: the folder of a finished run
            truth: a .csv or .parquet table with the columns path (as in items.csv) and label;
                unset: the scores of the data set's own protocol
            json: print JSON
        """

        def call() -> None:
            _print_evaluation(load(run), truth, as_json=json)

        return call

    @app.command
    def report(run: Positional[Path], /) -> Call:
        """Write the page of a finished run anew.

        Args:
            run: the folder of a finished run
        """
        return lambda: print(write_report(run))

    @app.command(name="make-av-digits")
    def make_av_digits_command(
        *,
        out: Path,
        digits: Path | None = None,
        speech: Path | None = None,
        bundled: bool = False,
        per_class: int | None = None,
        seed: int = 0,
        clutter: float = 0.5,
        snr_db: float = 0.0,
        repeat: bool = False,
        quiet: bool = False,
    ) -> Call:
        """Make a data set of videos with sound: digits that move, and voices that say them.

        OUT gets a folder of mp4 files for each of the ten digits. No picture of a digit and no
        recording is in two files. The same command again goes on where it was stopped.

        Args:
            out: the folder to write
            digits: the folder of MNIST's test part (t10k-images-idx3-ubyte.gz and its labels)
            speech: the folder of the Free Spoken Digit Dataset (<digit>_<speaker>_<n>.wav)
            bundled: instead of both: scikit-learn's digits and a telephone's tones
            per_class: videos of each digit; unset: as many as there is material for
            seed: of every random choice
            clutter: what else is in the picture, 0 (nothing) to 1 (hard to read)
            snr_db: how far the voice is above the noise, in dB
            repeat: the digit is said again and again, instead of once at a random moment
            quiet: print nothing but errors
        """

        def call() -> None:
            with Progress(quiet=quiet) as progress:
                videos = make_av_digits(
                    out,
                    digits,
                    speech,
                    bundled=bundled,
                    per_class=per_class,
                    seed=seed,
                    clutter=clutter,
                    snr_db=snr_db,
                    repeat=repeat,
                    progress=progress,
                )
                progress.message(f"{len(videos):,} videos -> {out}")

        return call

    return app


def _tune_commands(
    arguments: Sequence[str], preset: str | None, opened: Opened | None
) -> SubcommandApp:
    """`tune images` and `tune videos`, as `_commands`."""
    app = SubcommandApp()
    image_defaults, video_defaults = _defaults(preset, "images"), _defaults(preset, "videos")
    runtime_defaults = Runtime()

    @app.command(name="images")
    def tune_images(
        data: Positional[str | None] = None,
        /,
        *,
        task: OmitArgPrefixes[TuneTask],
        candidates: OmitArgPrefixes[Candidates],
        download: bool = False,
        settings: OmitArgPrefixes[Annotated[Any, arg(constructor=_flags(image_defaults, TUNED))]],
        runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=_flags(runtime_defaults))]],
    ) -> Call:
        """Choose settings for `discover images` on the labelled images alone.

        Some of the known classes, as many as are novel or half, are taken as unlabelled; each
        candidate is a run on these. One setting after the other is compared, and the flags of
        the best are printed. Unlabelled images take no part.
        The same command again continues; with more candidates only those are new.

        Args:
            data: as in `discover images`
            download: let torchvision fetch cifar10 or cifar100
        """

        def call() -> None:
            _check_kind(preset, "images")
            data_set = opened or open_catalogue(
                data,
                labelled=task.labelled,
                unlabelled=task.unlabelled,
                labelled_classes=task.labelled_classes,
                download=download,
            )
            if preset is None:
                chosen = choose_preset(pretend(data_set[0], task.num_novel)[0])
                if chosen != settings.preset:
                    _parse([*arguments, "--preset", chosen], data_set)()
                    return
            _tune(task, data_set[0], candidates, settings, runtime)

        return call

    @app.command(name="videos")
    def tune_videos(
        data: Positional[str | None] = None,
        /,
        *,
        task: OmitArgPrefixes[TuneTask],
        candidates: OmitArgPrefixes[Candidates],
        csv: Path | None = None,
        videos: Path | None = None,
        settings: OmitArgPrefixes[Annotated[Any, arg(constructor=_flags(video_defaults, TUNED))]],
        runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=_flags(runtime_defaults))]],
    ) -> Call:
        """Choose settings for `discover videos` on the labelled videos alone.

        Some of the known classes, as many as are novel or half, are taken as unlabelled; each
        candidate is a run on these. One setting after the other is compared, and the flags of
        the best are printed. Unlabelled videos take no part.
        The same command again continues; with more candidates only those are new.

        Args:
            data: as in `discover videos`
            csv: as in `discover videos`
            videos: as in `discover videos`
        """

        def call() -> None:
            _check_kind(preset, "videos")
            catalogue, _ = open_catalogue(
                data,
                labelled=task.labelled,
                unlabelled=task.unlabelled,
                labelled_classes=task.labelled_classes,
                kind="videos",
                csv=csv,
                videos=videos,
            )
            _tune(task, catalogue, candidates, settings, runtime)

        return call

    return app


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


def _reproduce_commands() -> SubcommandApp:
    """One sub-command for each table and figure of the paper."""
    app = SubcommandApp()

    def command(table: PaperTable) -> Callable[..., Call]:
        def of_table(
            *,
            task: OmitArgPrefixes[ReproduceTask],
            runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=_flags(Runtime()))]],
        ) -> Call:
            return lambda: _reproduce(table, task, runtime)

        of_table.__doc__ = (
            f"{table.title}.\n\nRuns what is missing and writes "
            f"OUT/{table.name}-DATASET-SCALE.md, .csv and .json anew after each run. The same "
            "command continues what was cut; two of them side by side share the work."
        )
        return of_table

    for table in TABLES.values():
        app.command(name=table.name)(command(table))

    @app.command(name="list")
    def list_command() -> Call:
        """Show the tables with their rows, and the data sets."""
        return lambda: Console().print(listing())

    @app.command(name="page")
    def page_command(*, out: Path, to: Path) -> Call:
        """Put all tables and figures of a folder onto one page.

        Args:
            out: the folder that `newfound reproduce` wrote
            to: the page to write, Markdown; pictures are put beside it
        """
        return lambda: write_page(out, to)

    return app


def _defaults(preset: str | None, kind: Kind, method: str | None = None) -> Config:
    """The settings of a preset; of a kind's own where none is given, or one of the other kind."""
    fits = preset is not None and kind_of(preset) == kind
    return make_config(preset if fits and preset else kind, method=method)


def _check_kind(preset: str | None, kind: Kind) -> None:
    if preset is not None and kind_of(preset) != kind:
        ours = [name for name in PRESETS if kind_of(name) == kind]
        raise InputError(f"the preset {preset!r} is not one of {kind}; give {', '.join(ours)}")


def _flags(defaults: BaseModel, without: Sequence[str] = ()) -> type:
    """A dataclass of the model's fields, all but some, that takes any values of the right types.

    The model is made of them once the data has chosen the preset; only then are they judged,
    together and in our words.
    """
    model = type(defaults)
    flags = [
        (name, Annotated[info.annotation, arg(help=info.description)], getattr(defaults, name))
        for name, info in model.model_fields.items()
        if name not in without
    ]
    return make_dataclass(model.__name__, flags, namespace={"__doc__": model.__doc__})


def _table_writer(out: Path) -> Callable[[pd.DataFrame], None]:
    """How to write a table to `out`. Raises InputError before the work if it cannot be."""
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is no folder; --out goes into one that is there")
    match out.suffix.lower():
        case ".csv":
            return lambda table: write_csv(out, table)
        case ".parquet":
            return lambda table: write_atomically(
                out, lambda beside: table.to_parquet(beside, index=False)
            )
        case other:
            raise InputError(f"--out ends in {other!r}; give a name ending in .csv or .parquet")


def _discover(task: Task, data_set: Opened, settings: Any, runtime: Any) -> None:
    job = Job(
        RunFolder(task.out),
        *data_set,
        task.num_novel,
        complete_config(asdict(settings)),
        make_runtime(**asdict(runtime)),
        task.compare_labelled_only,
    )
    with Progress(quiet=task.quiet) as progress:
        if task.dry_run:
            print("\n".join(try_out(job, progress)))
            return
        run(job, progress)
    if not task.quiet:
        _print_summary(load(job.folder.path))


def _tune(
    task: TuneTask, catalogue: Catalogue, candidates: Candidates, settings: Any, runtime: Any
) -> None:
    with Progress(quiet=task.quiet) as progress:
        tuning = tune(
            catalogue,
            task.num_novel,
            task.out,
            PRESETS[settings.preset].model_dump() | asdict(settings),
            candidates,
            task.seeds,
            make_runtime(**asdict(runtime)),
            progress,
        )
        write_curves(tuning, task.out)
    if not task.quiet:
        _print_curves(tuning)
        print(f"curves: {task.out / 'tune.html'}\nflags to use:")
    print(tuning.flags)


def _print_curves(tuning: Tuning) -> None:
    table = Table("setting", "value", "ACC", "deviation", "seeds", "")
    for row in curve_table(tuning).to_dict("records"):
        deviation = "" if pd.isna(row["deviation"]) else f"{row['deviation']:.3f}"
        best = "best" if row["best"] else ""
        acc, seeds = f"{row['acc']:.3f}", str(row["seeds"])
        table.add_row(row["setting"], str(row["value"]), acc, deviation, seeds, best)
    Console().print(table)


def _reproduce(table: PaperTable, task: ReproduceTask, runtime: Any) -> None:
    rows = [table.row(number) for number in dict.fromkeys(task.rows)] or table.rows
    if task.seeds < 1:
        raise InputError(f"seeds is {task.seeds}; give at least 1")
    data_set = find_data_set(task.dataset, task.data, task.labelled_classes)
    with Progress(quiet=task.quiet) as progress:
        plan = make_plan(
            table, data_set, task.scale, task.data, task.out, task.num_novel, progress.message
        )
        outcome = reproduce(plan, rows, task.seeds, make_runtime(**asdict(runtime)), progress)
    if not task.quiet:
        Console().print(displayed(plan, outcome.measured))
        print(f"table: {task.out / plan.name}.md")
        if outcome.elsewhere:
            print(f"runs left to another process: {outcome.elsewhere}")
    if outcome.failures:
        raise InputError(
            f"{len(outcome.failures)} of {len(rows) * task.seeds} runs failed; the table says why"
        )


def _print_summary(found: Discovery) -> None:
    console = Console()
    table = Table("category", "items", "mean confidence")
    for row in found.categories().itertuples():
        confidence = f"{row.mean_confidence:.2f}" if row.size else ""
        table.add_row(str(row.category), f"{row.size:,}", confidence)
    console.print(table)
    for line in _scores_in_words(found.result_):
        console.print(line)
    for warning in found.result_["warnings"]:
        console.print(f"warning: {warning}", markup=False)
    console.print(f"report: {found.folder.report}", markup=False, soft_wrap=True)


def _scores_in_words(result: dict[str, Any]) -> list[str]:
    lines = []
    if "novel" in result:
        lines.append("novel: ACC {acc:.3f}  NMI {nmi:.3f}  ARI {ari:.3f}".format(**result["novel"]))
    for name, scores in result["baselines"].items():
        if "acc" in scores:
            lines.append(f"{name}: ACC {scores['acc']:.3f}")
    if "known" in result:
        known = result["known"]
        lines.append(f"known: ACC {known['acc']:.3f} on {known['items']:,} held-out items")
    return lines


def _print_evaluation(found: Discovery, truth: Path | None, *, as_json: bool) -> None:
    result = found.result_
    if truth is not None:
        result = result | {"novel": found.evaluate(read_truth(truth))}
    if "novel" not in result:
        raise InputError(
            f"the truth of {found.folder.path} is not known; give --truth with a table of path "
            "and label"
        )
    if as_json:
        shown = {name: result[name] for name in ("novel", "known") if name in result}
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    console = Console()
    for line in _scores_in_words(result | {"baselines": {} if truth else result["baselines"]}):
        console.print(line)
    table = Table("category", "matched to", "items", "correct", "share of class found")
    for row in result["novel"]["per_category"]:
        found_share = "" if row["acc"] is None else f"{row['acc']:.3f}"
        table.add_row(
            row["category"],
            escape(row["truth"]),
            f"{row['size']:,}",
            f"{row['correct']:,}",
            found_share,
        )
    console.print(table)
