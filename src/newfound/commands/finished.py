"""`newfound predict`, `evaluate` and `report`, of a finished run: call, print."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from newfound.data.catalogue import no_classes
from newfound.data.manifest import read_truth
from newfound.data.tables import GivenTable, is_table
from newfound.data.words import some
from newfound.discovery import Discovery, load
from newfound.disk.files import write_atomically, write_csv
from newfound.disk.out_place import check_apart_from, check_place_of_table, real_place
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError
from newfound.predict import predict
from newfound.presets import kind_of
from newfound.progress import Progress
from newfound.report.page import write_report
from newfound.settings import make_machine
from newfound.sort_files import check_can_sort, sort_files


def report_and_print(run: Path) -> None:
    """Write the page anew, and say where."""
    print(write_report(run))


def print_summary(found: Discovery) -> None:
    """Its categories, scores, warnings and page, as a run ends with them."""
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


def predict_and_print(
    run: Path,
    data: str,
    out: Path,
    copy_to: Path | None,
    machine: Any,
    *,
    link: bool,
    quiet: bool,
) -> None:
    """Write the table, sort the files where that is asked for, and tell what was left out.

    machine: the fields of a Machine, not judged yet.  The others are the flags.
    """
    write = _table_writer(out, data)
    if copy_to is not None:
        check_can_sort(data, copy_to, kind_of(RunFolder(run).config().preset))
        if real_place(copy_to) == real_place(out):
            raise InputError(f"--copy-to {copy_to} is --out, too; give a new folder")
    elif link:
        raise InputError("--link goes with --copy-to; say where the links are to lie")
    with Progress(quiet=quiet) as progress:
        prediction = predict(RunFolder(run), data, make_machine(**asdict(machine)), progress)
        write(prediction.table)
        if copy_to is not None:
            sort_files(prediction, copy_to, "link" if link else "copy")
        skipped = prediction.skipped
        for name, reason in zip(skipped["path"], skipped["reason"]):
            progress.message(f"left out: {name!r}: {reason}")
        kind, n_left_out = prediction.items.kind, len(skipped)
        left_out = f", {n_left_out:,} left out" if n_left_out else ""
        progress.message(f"{len(prediction.table)} {kind} -> {out}{left_out}")
    if quiet and n_left_out:  # which no table names
        told = f"{n_left_out} {kind} are left out; without --quiet it is told why"
        print(f"newfound: {told}", file=sys.stderr)


def _table_writer(out: Path, data: str) -> Callable[[pd.DataFrame], None]:
    """How to write a table to `out`. Raises InputError before the work if it cannot be."""
    target = real_place(out)  # a link stays, and what it leads to is written
    check_place_of_table(target)
    if is_table(data) and real_place(Path(data)) == target:
        raise InputError(f"--out {out} is the table that is read; give another name")
    if Path(data).is_dir():
        check_apart_from(out, [Path(data)], "--out")
    match out.suffix.lower():
        case ".csv":
            return lambda table: write_csv(target, table)
        case ".parquet":
            return lambda table: write_atomically(
                target, lambda beside: table.to_parquet(beside, index=False)
            )
        case other:
            raise InputError(f"--out ends in {other!r}; give a name ending in .csv or .parquet")


def _scores_in_words(result: dict[str, Any]) -> list[str]:
    lines = []
    if "novel" in result:
        lines.append("novel: ACC {acc:.3f}  NMI {nmi:.3f}  ARI {ari:.3f}".format(**result["novel"]))
    for name, scores in result["baselines"].items():
        if "acc" in scores:
            lines.append(f"{name}: ACC {scores['acc']:.3f}")
    if "known" in result:
        known = result["known"]
        of, all_classes = known.get("classes"), result["counts"]["known_classes"]
        lines.append(
            f"known: ACC {known['acc']:.3f} on {known['items']:,} held-out items"
            + (f", of {of} of the {all_classes} known classes" if of and of < all_classes else "")
        )
    return lines


def _check_is_table(truth: Path) -> None:
    """Raise InputError for what cannot be a table, before it is read as one."""
    if is_table(truth) and truth.exists():
        return
    found = "is a folder" if truth.is_dir() else "does not exist"
    if truth.is_file():
        found = f"ends in {truth.suffix!r}"
    raise InputError(
        f"--truth {truth} {found}; give a .csv or .parquet table with the columns path (as in "
        "items.csv) and label"
    )


def evaluate_and_print(run: Path, truth: Path | None, *, partial: bool, as_json: bool) -> None:
    """The scores of a finished run, as words or as JSON. See `newfound evaluate`."""
    found = load(run)
    result = found.result_
    if partial and truth is None:
        raise InputError("--partial goes with --truth; say which table has the truth of some")
    if truth is not None:
        _check_is_table(truth)
        spans = kind_of(found.folder.config().preset) == "videos"
        true_classes = read_truth(GivenTable(truth), spans)
        if doubtful := no_classes(dict.fromkeys(true_classes.values())):
            told = f"{some(doubtful)} of --truth are taken for classes; leave labels that are none "
            print(f"newfound: warning: {told}empty", file=sys.stderr)
        result = result | {"novel": found.evaluate(true_classes, partial=partial)}
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
    if partial:
        result = {name: value for name, value in result.items() if name != "known"}
        scored = sum(map(sum, result["novel"]["confusion"]["counts"]))
        console.print(f"of {scored:,} of {len(found.labels_):,} items:")
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
