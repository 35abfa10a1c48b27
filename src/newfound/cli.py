"""The command line: parse, call, print. What is done is done elsewhere."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tyro.conf import OmitArgPrefixes, Positional, arg
from tyro.extras import SubcommandApp

from newfound import distributed
from newfound.av_digits.make import make_av_digits
from newfound.cli_flags import Call, Opened, Problem, check_kind, defaults_of, flags_of, open_named
from newfound.cli_reproduce import REPRODUCE, reproduce_commands
from newfound.cli_tune import tune_commands
from newfound.config import Machine, Runtime
from newfound.data.manifest import read_truth
from newfound.discovery import Discovery, choose_preset, load
from newfound.dry_run import try_out
from newfound.errors import InputError, LocalError, Stopped
from newfound.files import write_atomically, write_csv
from newfound.job import Job
from newfound.out_place import check_place_of_table, real_place
from newfound.predict import check_can_sort, predict, sort_files
from newfound.progress import Progress
from newfound.report import write_report
from newfound.run import run
from newfound.run_folder import RunFolder
from newfound.settings import complete_config, make_machine, make_runtime
from newfound.version import __version__

USER_ERROR, OWN_ERROR, INTERRUPTED = 2, 1, 130


@dataclass(frozen=True)
class Task(Problem):
    """What is to be discovered, and in which way."""

    compare_labelled_only: bool = False
    """train on labels alone too, to compare with k-means on that"""
    dry_run: bool = False
    """count the data, measure three steps, estimate time and memory, write nothing"""
    quiet: bool = False
    """print nothing but errors"""


def run_command_line(arguments: Sequence[str]) -> int:
    """Run `newfound` with these arguments. Returns the exit code; errors go to stderr."""
    debug = "--debug" in arguments
    _open_closed_streams()
    try:
        arguments = [a for a in arguments if a != "--debug"]
        _check_processes(arguments)
        _parse(arguments)()
        sys.stdout.flush()
    except BrokenPipeError:  # as of `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OWN_ERROR
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        return _explain(error)
    return 0


def _open_closed_streams() -> None:
    """Where a shell has closed stdout or stderr, as by `>&-`, what is printed goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process


def _check_processes(arguments: Sequence[str]) -> None:
    """Raise InputError for a command that several processes would each do alone."""
    if distributed.started() > 1 and list(arguments[:1]) != ["discover"]:
        raise InputError(
            f"torchrun started {distributed.started()} processes, and newfound discover alone "
            "shares its work among several; start this command without torchrun"
        )


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
    is_own = isinstance(error, LocalError) and not error.is_shared
    if distributed.is_writer() or code == OWN_ERROR or is_own:
        print(text, file=sys.stderr)
    return code


def _parse(arguments: Sequence[str], opened: Opened | None = None) -> Call:
    """Arguments -> the call they ask for. Exits with 2 after a message if they make no sense.

    opened: the data the arguments name, if it has been opened to choose the preset.
    """
    named = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    named.add_argument("--preset")
    named.add_argument("--method")
    named.add_argument("--version", action="version", version=f"newfound {__version__}")
    known, others = named.parse_known_args(arguments)
    preset: str | None = known.preset
    if preset == "auto":  # as in Python: the same as none
        method = ["--method", known.method] if known.method else []
        preset, arguments = None, [*others, *method]
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
    image_defaults = defaults_of(preset, "images", method)
    video_defaults = defaults_of(preset, "videos", method)
    runtime_defaults = Runtime()

    @discover_app.command(name="images")
    def discover_images(
        data: Positional[str | None] = None,
        /,
        *,
        task: OmitArgPrefixes[Task],
        download: bool = False,
        settings: OmitArgPrefixes[Annotated[Any, arg(constructor=flags_of(image_defaults))]],
        runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=flags_of(runtime_defaults))]],
    ) -> Call:
        """Sort unlabelled images into new categories, learning from labelled ones of others.

        Without --preset it is chosen by the data: `images` above 64 px, else `digits` for grey
        and `small-images` for coloured ones. The defaults shown are those of `images`, or of the
        --preset given. `quick` is for a CPU or a deadline.
        The same command again continues a run that was stopped.

        Args:
            data: a folder (labelled/<class>/ and unlabelled/, or class folders with
                --labelled-classes), a .csv or .parquet table (path, label), WebDataset
                shards (a folder of .tar files, part-{000..012}.tar, or an address as
                s3://bucket/part-{000..012}.tar), or a built-in set: digits, cifar10,
                cifar100
            download: let torchvision fetch cifar10 or cifar100
        """

        def call() -> None:
            check_kind(preset, "images")
            data_set = opened or open_named(data, task, task.quiet, download=download)
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
        settings: OmitArgPrefixes[Annotated[Any, arg(constructor=flags_of(video_defaults))]],
        runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=flags_of(runtime_defaults))]],
    ) -> Call:
        """Sort unlabelled videos, by sight and sound, into new categories.

        The defaults shown are those of the preset `videos`, or of the --preset given.
        `quick-videos` is for a CPU or a deadline.
        The same command again continues a run that was stopped.

        Args:
            data: a folder (labelled/<class>/ and unlabelled/, or class folders with
                --labelled-classes), a .csv or .parquet table (path, label, and if need be
                start_seconds, end_seconds), WebDataset shards (a folder of .tar files,
                part-{000..012}.tar, or an address as s3://bucket/part-{000..012}.tar), or
                a published set: kinetics400 (350 classes known, 50 novel) or vggsound
                (270, 39), with --csv and --videos
            csv: of kinetics400 the folder of train.csv and validate.csv, or one table of all; of
                vggsound its vggsound.csv
            videos: the folder that the videos of kinetics400 or vggsound lie in or below, named
                <youtube_id>_000010_000020.mp4, <youtube_id>_000010.mp4 or <youtube_id>.mp4
        """

        def call() -> None:
            check_kind(preset, "videos")
            data_set = open_named(data, task, task.quiet, kind="videos", csv=csv, videos=videos)
            _discover(task, data_set, settings, runtime)

        return call

    app.command(discover_app, name="discover", help="Discover the categories in a data set.")

    tune_app = tune_commands(arguments, preset, opened, _parse)
    app.command(tune_app, name="tune", help="Choose settings on the known classes of a data set.")

    app.command(reproduce_commands(), name="reproduce", help=REPRODUCE)

    @app.command(name="predict")
    def predict_command(
        run: Positional[Path],
        data: Positional[str],
        /,
        *,
        out: Path,
        copy_to: Path | None = None,
        link: bool = False,
        quiet: bool = False,
        machine: OmitArgPrefixes[Annotated[Any, arg(constructor=flags_of(Machine()))]],
    ) -> Call:
        """Name the category, known or discovered, of new images or videos.

        Args:
            run: the folder of a finished run
            data: a file, a folder or WebDataset shards (a folder of .tar files,
                part-{000..012}.tar, or an address as s3://bucket/part-{000..012}.tar), of
                what the run was trained on: images or videos
            out: the table to write, .csv or .parquet
            copy_to: also sort the files into one folder per category here; not those of shards
            link: with --copy-to, links instead of copies
            quiet: print nothing but errors
        """

        return lambda: _predict(
            run, data, out, copy_to, make_machine(**asdict(machine)), link=link, quiet=quiet
        )

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


def _predict(
    run: Path,
    data: str,
    out: Path,
    copy_to: Path | None,
    machine: Machine,
    *,
    link: bool,
    quiet: bool,
) -> None:
    write = _table_writer(out)
    if copy_to is not None:
        check_can_sort(data, copy_to)
    elif link:
        raise InputError("--link goes with --copy-to; say where the links are to lie")
    with Progress(quiet=quiet) as progress:
        prediction = predict(RunFolder(run), data, machine, progress)
        write(prediction.table)
        if copy_to is not None:
            sort_files(prediction, copy_to, "link" if link else "copy")
        for name, reason in prediction.skipped.itertuples(index=False):
            progress.message(f"left out: {name!r}: {reason}")
        kind, n_left_out = prediction.items.kind, len(prediction.skipped)
        left_out = f", {n_left_out:,} left out" if n_left_out else ""
        progress.message(f"{len(prediction.table)} {kind} -> {out}{left_out}")
    if quiet and n_left_out:  # which no table names
        told = f"{n_left_out} {kind} are left out; without --quiet it is told why"
        print(f"newfound: {told}", file=sys.stderr)


def _table_writer(out: Path) -> Callable[[pd.DataFrame], None]:
    """How to write a table to `out`. Raises InputError before the work if it cannot be."""
    target = real_place(out)  # a link stays, and what it leads to is written
    check_place_of_table(target)
    match out.suffix.lower():
        case ".csv":
            return lambda table: write_csv(target, table)
        case ".parquet":
            return lambda table: write_atomically(
                target, lambda beside: table.to_parquet(beside, index=False)
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
    with Progress(quiet=task.quiet or not distributed.is_writer()) as progress:
        if task.dry_run:
            if distributed.is_writer():
                print("\n".join(try_out(job, progress)))
            return
        run(job, progress)
    if not task.quiet and distributed.is_writer():
        _print_summary(load(job.folder.path))


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


def _check_is_table(truth: Path) -> None:
    """Raise InputError for what cannot be a table, before it is read as one."""
    if truth.suffix.lower() in (".csv", ".parquet") and truth.exists() and not truth.is_dir():
        return
    found = "is a folder" if truth.is_dir() else "does not exist"
    if truth.is_file():
        found = f"ends in {truth.suffix!r}"
    raise InputError(
        f"--truth {truth} {found}; give a .csv or .parquet table with the columns path (as in "
        "items.csv) and label"
    )


def _print_evaluation(found: Discovery, truth: Path | None, *, as_json: bool) -> None:
    result = found.result_
    if truth is not None:
        _check_is_table(truth)
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
