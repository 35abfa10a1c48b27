"""The end of a run: from a trained network to everything in the run folder that people read."""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from newfound.baselines.kmeans import kmeans
from newfound.comparisons import compare
from newfound.disk.embedding import PART_ROWS, write_embedding
from newfound.disk.files import write_atomically, write_csv, write_text
from newfound.errors import StoreError
from newfound.finding import Finding
from newfound.machine.memory import peak_memory
from newfound.progress import Progress
from newfound.report.page import write_report
from newfound.report.thumbnails import make_thumbnails
from newfound.report.wording import item_noun
from newfound.results.answer import calibrate, rows_to_calibrate_on
from newfound.results.evaluate import assessment
from newfound.results.inference import Answers
from newfound.results.known_among_new import known_among_new
from newfound.results.model_file import save_model
from newfound.results.tables import (
    CATEGORIES_SHOWN,
    Categories,
    Members,
    categories_table,
    choose_members,
    items_table,
    map_positions,
    pictures_each,
    sort_into_categories,
)
from newfound.results.warning_signs import find_warnings


def conclude(finding: Finding, progress: Progress) -> None:
    """Sort, calibrate, compare; write model, tables, result and report, in this order.

    `result.json` marks the run complete. Raises RunFolderError if the disk is full.
    """
    began = time.monotonic()
    folder, catalogue, config = finding.folder, finding.catalogue, finding.config
    unlabelled, labelled = finding.unlabelled, finding.labelled
    measured = rows_to_calibrate_on(catalogue.labels, catalogue.held_out)

    categories = sort_into_categories(unlabelled.novel)
    finding.network.order_novel(categories.order)
    calibration = calibrate(
        labelled.features,
        labelled.known,
        catalogue.labels[measured],
        catalogue.held_out[measured],
        unlabelled.features,
    )
    save_model(folder.model, finding.network, calibration, catalogue.class_names)

    progress.stage("Comparing with k-means", 1)
    clusters = kmeans(unlabelled.features, len(categories.names), config.seed)
    baselines = compare(finding, categories, clusters)
    progress.stage("Drawing the map", 1)
    positions = map_positions(unlabelled.features, config.seed)
    items = items_table(catalogue.names[catalogue.unlabelled], categories, positions, clusters)
    warnings = _write_tables(finding, items, unlabelled, categories)

    noun = item_noun(config.preset)
    result = {
        "counts": _counts(finding, categories),
        "known_names": list(catalogue.class_names),
        "seconds": finding.seconds
        | {"sorting": finding.seconds["sorting"] + time.monotonic() - began},
        "memory_bytes": peak_memory(finding.device),
        "baselines": baselines,
        "warnings": warnings
        + find_warnings(
            items,
            categories.names,
            folder.epochs(),
            noun,
            config.method,
            config.pairs,
            head_changed_since=finding.head_changed_since,
            known=_known_among_new(finding, categories, measured),
        )
        + folder.warnings(),
        **_quality(finding, categories, labelled, measured),
    }
    result["seconds"]["total"] = sum(result["seconds"].values())
    write_text(folder.result_file, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    folder.log("end", seconds=result["seconds"]["total"])
    write_report(folder.path)


def _known_among_new(
    finding: Finding, categories: Categories, measured: np.ndarray
) -> list[tuple[str, str, float]]:
    """Categories that may be known classes, as `find_warnings` takes them."""
    classes, labels = finding.catalogue.class_names, finding.catalogue.labels[measured]
    found = known_among_new(finding.unlabelled, categories.assigned, finding.labelled, labels)
    return [(categories.names[one.category], classes[one.known], one.share) for one in found]


def _quality(
    finding: Finding, categories: Categories, labelled: Answers, measured: np.ndarray
) -> dict[str, Any]:
    """What can be measured: `known` on held-out items, `novel` where the truth is known."""
    quality: dict[str, Any] = {}
    held_out = finding.catalogue.held_out[measured]
    if held_out.any():
        right = labelled.known.argmax(axis=1) == finding.catalogue.labels[measured]
        quality["known"] = {
            "acc": float(right[held_out].mean()),
            "items": int(held_out.sum()),
            "classes": len(np.unique(finding.catalogue.labels[measured][held_out])),
        }
    if finding.truth is not None:
        quality["novel"] = assessment(
            finding.truth.labels,
            categories.assigned,
            finding.truth.class_names,
            categories.names,
        )
    return quality


def _counts(finding: Finding, categories: Categories) -> dict[str, int]:
    catalogue = finding.catalogue
    return {
        "known_classes": len(catalogue.class_names),
        "novel_categories": len(categories.names),
        "labelled": len(catalogue.labelled),
        "unlabelled": len(catalogue.unlabelled),
        "held_out": int(catalogue.held_out.sum()),
        "skipped": finding.skipped,
        "missing": catalogue.missing,
    }


def _write_tables(
    finding: Finding,
    items: pd.DataFrame,
    unlabelled: Answers,
    categories: Categories,
) -> list[str]:
    """Returns warnings."""
    folder = finding.folder
    members = choose_members(unlabelled.features, categories)
    by_category = categories_table(items, categories.names, members)
    write_csv(folder.items_csv, items)
    write_atomically(
        folder.items,
        lambda beside: items.to_parquet(beside, index=False, row_group_size=PART_ROWS),
    )
    write_csv(folder.categories, by_category)

    shown = _shown(items, members)
    thumbnails, warnings = _thumbnails(finding, shown)
    _write_arrays(folder.thumbnails, **thumbnails)
    write_embedding(folder.embedding, unlabelled.features, categories.probabilities)
    return warnings


def _thumbnails(finding: Finding, shown: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]]:
    """Of rows of the items table, and a warning if their store no longer answers: then there are
    none, as all else is done."""
    rows = finding.catalogue.unlabelled[shown]
    make = partial(make_thumbnails, config=finding.config, workers=finding.workers)
    try:
        return make(finding.catalogue.items.subset(rows), shown), []
    except StoreError:
        told = (
            "The report is without pictures, as their store does not answer. Once it does, delete "
            f"{finding.folder.thumbnails} and give the same command again."
        )
        return make(finding.catalogue.items.subset(rows[:0]), shown[:0]), [told]


def _shown(items: pd.DataFrame, members: list[Members]) -> np.ndarray:
    """Rows of the items whose pictures the report shows: on the map, and members."""
    each = pictures_each(len(members))
    on_map = np.flatnonzero(items["x"].notna())
    of_members = [
        rows[:each] for m in members[:CATEGORIES_SHOWN] for rows in (m.typical, m.doubtful)
    ]
    return np.unique(np.concatenate([on_map, *of_members]))


def _write_arrays(path: Path, **arrays: np.ndarray) -> None:
    def write(beside: Path) -> None:
        with beside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    write_atomically(path, write)
