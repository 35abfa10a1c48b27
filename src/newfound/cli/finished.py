"""The flags of `newfound predict`, `evaluate` and `report`, of a finished run."""

from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from newfound.cli.flags import Call, flags_of
from newfound.cli.loading import loading
from newfound.config import Machine


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
        data: a file, a folder, a .csv or .parquet table (path, and if need be of videos
            start_seconds, end_seconds) or WebDataset shards (a folder of .tar files,
            part-{000..012}.tar, or an address as s3://bucket/part-{000..012}.tar), of
            what the run was trained on: images or videos
        out: the table to write, .csv or .parquet
        copy_to: also sort the files into one folder per category here; not shards, not parts
        link: with --copy-to, links instead of copies
        quiet: print nothing but errors
    """

    def call() -> None:
        with loading():
            from newfound.commands.finished import predict_and_print
        predict_and_print(run, data, out, copy_to, machine, link=link, quiet=quiet)

    return call


def evaluate_command(
    run: Positional[Path],
    /,
    *,
    truth: Path | None = None,
    partial: bool = False,
    json: Annotated[bool, arg(name="json")] = False,
) -> Call:
    """Score a finished run: ACC, NMI, ARI and each category, by one Hungarian matching.

    Args:
        run: the folder of a finished run
        truth: a .csv or .parquet table with the columns path (as in items.csv) and label;
            unset: the scores of the data set's own protocol
        partial: score the items that TRUTH has, if these are not all
        json: print JSON
    """

    def call() -> None:
        with loading():
            from newfound.commands.finished import evaluate_and_print
        evaluate_and_print(run, truth, partial=partial, as_json=json)

    return call


def report_command(run: Positional[Path], /) -> Call:
    """Write the page of a finished run anew.

    Args:
        run: the folder of a finished run
    """

    def call() -> None:
        with loading():
            from newfound.commands.finished import report_and_print
        report_and_print(run)

    return call
