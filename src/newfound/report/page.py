"""RUN/report.html: one page that shows what a run found and opens without a network."""

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from scipy.optimize import linear_sum_assignment

from newfound.baselines.kmeans import FITTED_ON
from newfound.disk.files import write_text
from newfound.disk.outputs import read_categories, read_item_table, read_skipped, read_thumbnails
from newfound.disk.run_folder import RunFolder
from newfound.progress import duration
from newfound.report import charts
from newfound.report.inline_pictures import SHEET_COLUMNS, InlinePictures
from newfound.report.wording import item_noun, method_in_words
from newfound.results.tables import CATEGORIES_SHOWN, MEMBERS_NAMED, pictures_each
from newfound.results.warning_signs import SURE

MAP_PICTURES = 1000  # about 2 MB of the page
SHOWN_SKIPPED = 200
CONFUSION_SIDE = 100  # classes and categories; of a thousand the table would take 60 MB

KMEANS = {
    "kmeans_features": "k-means on the same features",
    "kmeans_labelled_only": "k-means on features learnt from the labelled {noun}s only",
    "kmeans_pixels": "k-means on the plain pixels",
}
FITTED_ON_A_SAMPLE = "{method}, its centres found on {sample:,} of the {noun}s"


def write_report(run: Path, to: Path | None = None) -> Path:
    """Render a finished run's page to `to` (RUN/report.html if not given) and return its path.

    Reads the run folder's files alone and runs nothing in them. The page is complete or, on any
    failure, what it was before. Raises RunFolderError for a folder that is no finished run, whose
    files are damaged or whose page cannot be written.
    """
    folder = RunFolder(run)
    page = _environment().get_template("report.html.jinja").render(_page(folder))
    destination = to or folder.report
    write_text(destination, page)
    return destination


def _page(folder: RunFolder) -> dict[str, Any]:
    """What the template shows; names are still raw, the template escapes them."""
    header, result = folder.read_config(), folder.result()
    noun = item_noun(folder.config().preset)
    items, categories, skipped, pictures = _tables(folder)
    shown = categories.head(CATEGORIES_SHOWN)
    names = shown["category"].tolist()
    map_rows = _rows_with_picture_and_position(items, pictures)
    shown_charts = _charts(items, names, folder.epochs(), map_rows, noun)
    scripts = [Markup(get_plotlyjs()), Markup(_asset("report.js"))]
    return {
        "noun": noun,
        "header": header,
        # Of those in config.json some may have been left out; runs of older versions do not tell.
        "known": result.get("known_names", header["known"]),
        "result": result,
        "items": len(items),
        "sure": int((items["confidence"] >= SURE).sum()),
        "sure_from": SURE,
        "comparison": _comparison(
            result, method_in_words(folder.config().method), noun, len(items)
        ),
        "kmeans": result.get("baselines", {}).get("kmeans_features", {}),
        "asked_for": len(categories),
        "held": categories["size"][categories["size"] > 0].tolist(),
        "categories": _categories(items, shown, result, pictures, pictures_each(len(categories))),
        "pictures_each": pictures_each(len(categories)),
        "members_named": MEMBERS_NAMED,
        "on_map": sum(len(trace["x"]) for trace in shown_charts.get("map", {"data": []})["data"]),
        # The result has those of the way too, but of a run by older versions.
        "warnings": list(dict.fromkeys([*result.get("warnings", []), *folder.warnings()])),
        "figures": shown_charts,
        "playable": bool(pictures.urls()),
        "height_by_width": pictures.height_by_width,
        "payload": {"figures": shown_charts, "sheet": _sheet(pictures, map_rows)},
        "confusion": _confusion(result),
        "skipped": skipped.head(SHOWN_SKIPPED).to_dict("records"),
        "skipped_reasons": Counter(skipped["reason"]).most_common(),
        "skipped_total": len(skipped),
        "missing": result["counts"].get("missing", 0),
        "style": Markup(_asset("report.css")),
        "scripts": scripts,
        "policy": _content_policy(scripts),
    }


def _tables(
    folder: RunFolder,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, InlinePictures]:
    """Items, categories, skipped files and thumbnails."""
    arrays = read_thumbnails(folder)
    pictures = InlinePictures(
        arrays["row"], arrays["pixels"], arrays.get("heard"), arrays.get("link")
    )
    return read_item_table(folder), read_categories(folder), read_skipped(folder), pictures


def _rows_with_picture_and_position(items: pd.DataFrame, pictures: InlinePictures) -> list[int]:
    """Rows whose picture the map shows, at most `MAP_PICTURES`, spread evenly."""
    rows = np.intersect1d(pictures.rows, charts.placed(items).index)
    if len(rows) > MAP_PICTURES:
        rows = rows[np.linspace(0, len(rows) - 1, MAP_PICTURES).round().astype(int)]
    return [int(row) for row in rows]


def _sheet(pictures: InlinePictures, rows: Sequence[int]) -> dict[str, Any]:
    """The map's pictures, cell by cell, each with the URL of its file and whether it is silent."""
    urls, without_sound = pictures.urls(), pictures.without_sound()
    return {
        "source": pictures.sheet(rows) if rows else None,
        "columns": SHEET_COLUMNS,
        "height_by_width": pictures.height_by_width,
        "urls": [urls.get(row) for row in rows],
        "without_sound": [row in without_sound for row in rows],
    }


def _charts(
    items: pd.DataFrame,
    names: Sequence[str],
    epochs: charts.Epochs,
    map_rows: Sequence[int],
    noun: str,
) -> dict[str, charts.Figure]:
    """The charts that have something to show."""
    cells = {row: cell for cell, row in enumerate(map_rows)}
    figures = {
        "map": charts.category_map(items, names, cells),
        "sizes": charts.sizes(items, names, noun),
        "confidences": charts.confidences(items, noun),
        "losses": charts.losses(epochs),
        "pairs": charts.pairs(epochs),
        "steadiness": charts.steadiness(epochs),
        "accuracy": charts.accuracy(epochs),
    }
    return {name: f for name, f in figures.items() if any(trace["x"] for trace in f["data"])}


def _comparison(
    result: Mapping[str, Any], method: str, noun: str, n_items: int
) -> list[dict[str, Any]]:
    """The method's row, then one per k-means computed; figures that are unknown are None."""
    fitted = FITTED_ON_A_SAMPLE if n_items > FITTED_ON else "{method}"
    baselines = result.get("baselines", {})
    rows = [(method, result.get("novel") or {})]
    rows += [
        (
            fitted.format(method=kmeans.format(noun=noun), sample=FITTED_ON, noun=noun),
            baselines[key],
        )
        for key, kmeans in KMEANS.items()
        if baselines.get(key)
    ]
    return [
        {"method": method} | {name: row.get(name) for name in ("acc", "nmi", "ari", "agreement")}
        for method, row in rows
    ]


def _categories(
    items: pd.DataFrame,
    categories: pd.DataFrame,
    result: Mapping[str, Any],
    pictures: InlinePictures,
    each: int,
) -> list[dict[str, Any]]:
    """What the page tells of these categories, with `each` members of either kind."""
    entries = [
        entry | {kind: entry[kind][:each] for kind in ("typical", "doubtful")}
        for entry in categories.to_dict("records")
    ]
    named = {path for entry in entries for path in (*entry["typical"], *entry["doubtful"])}
    members = items[items["path"].isin(named)]
    row_of = dict(zip(members["path"], members.index.tolist()))
    confidence = dict(zip(members["path"], members["confidence"].tolist()))
    uris, urls = pictures.uris(row_of.values()), pictures.urls()
    without_sound = pictures.without_sound()
    novel = result.get("novel") or {}
    matched = {entry["category"]: entry for entry in novel.get("per_category", [])}
    shared = _kmeans_shares(items)

    def shown(paths: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {
                "path": path,
                "confidence": confidence[path],
                "uri": uris.get(row_of[path]),
                "url": urls.get(row_of[path]),
                "without_sound": row_of[path] in without_sound,
            }
            for path in paths
        ]

    return [
        {
            "name": entry["category"],
            "colour": charts.colour(position),
            "size": int(entry["size"]),
            "share": entry["size"] / max(len(items), 1),
            "confidence": _finite_or_none(entry["mean_confidence"]),
            "kmeans_share": shared.get(entry["category"]),
            "truth": matched.get(entry["category"]),
            "typical": shown(entry["typical"]),
            "doubtful": shown(entry["doubtful"]),
        }
        for position, entry in enumerate(entries)
    ]


def _kmeans_shares(items: pd.DataFrame) -> dict[str, float]:
    """Per category, the share of its members in the one k-means cluster matched to it."""
    table = pd.crosstab(items["category"], items["features_kmeans"])
    counts = table.to_numpy()
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return {
        str(table.index[row]): float(counts[row, column] / counts[row].sum())
        for row, column in zip(rows, columns)
    }


def _confusion(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Truth by category, each cell with its share of the row, as far as a page can hold them."""
    confusion = (result.get("novel") or {}).get("confusion")
    if not confusion:
        return None
    lines = [
        {
            "truth": truth,
            "cells": [
                {"count": c, "share": c / max(sum(counts), 1)} for c in counts[:CONFUSION_SIDE]
            ],
        }
        for truth, counts in zip(confusion["truth"][:CONFUSION_SIDE], confusion["counts"])
    ]
    return {
        "categories": confusion["category"][:CONFUSION_SIDE],
        "lines": lines,
        "is_whole": max(len(confusion["truth"]), len(confusion["category"])) <= CONFUSION_SIDE,
    }


def _content_policy(scripts: Sequence[str]) -> str:
    """A policy under which only these scripts run and nothing is fetched.

    Should a name ever slip through the escaping, the browser still refuses to run it.
    """
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("newfound.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "count": lambda number: f"{number:,}",
        "percent": _percent,
        "figure": lambda number: "–" if number is None else f"{number:.3f}",
        "duration": duration,
        "printable": _printable,
    }
    environment.filters.update(filters)
    return environment


def _asset(name: str) -> str:
    return (files("newfound.report") / "templates" / name).read_text(encoding="utf-8")


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{share:.{digits}%}"


def _printable(text: object) -> str:
    """Text in which line breaks, direction marks and other unseen characters are spelt out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def _finite_or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None
