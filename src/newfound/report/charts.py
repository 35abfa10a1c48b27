"""The report's charts as plotly figures: plain dicts of `data` and `layout`, ready for JSON.

Colours that depend on the page's light or dark scheme are set by the page.
"""

import html
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from newfound.results.warning_signs import SURE

Figure = dict[str, Any]
Epochs = Sequence[Mapping[str, Any]]

PALETTE = (  # each at least 3:1 against the light page and the dark one
    "#3b7dd8",
    "#d2700f",
    "#2b9a58",
    "#d64550",
    "#8f66cf",
    "#0f96a5",
    "#cf569b",
    "#8b8a20",
    "#a3703f",
    "#77818c",
)
SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star")
LEANING = 0.5

LOSSES = {
    "total": "total",
    "ce": "cross-entropy",
    "bce": "pairs (BCE)",
    "nce_instance": "NCE-I",
    "nce_category": "NCE-C",
    "mse": "consistency",
    "kl": "KL to the targets",
    "pseudo_label": "pseudo-labels (LL)",
}
PAIRS = {
    "pairs_share": "unlabelled",
    "pairs_labelled_share": "labelled",
    "pairs_precision": "precision",
    "pairs_recall": "recall",
}
STEADINESS = {
    "entropy": "evenness",
    "churn": "churn (share that changed category)",
    "omega": "ramp ω",
}


def colour(position: int) -> str:
    """The colour of the category at this position in the order of size."""
    return PALETTE[position % len(PALETTE)]


def inert(text: str) -> str:
    """Text that plotly shows as it is: it reads tags and entities in labels and names."""
    return html.escape(text, quote=False)


def placed(items: pd.DataFrame) -> pd.DataFrame:
    """The items that have a position."""
    with_position: pd.DataFrame = items[np.isfinite(items["x"]) & np.isfinite(items["y"])]
    return with_position


def category_map(
    items: pd.DataFrame, categories: Sequence[str], cells: Mapping[int, int]
) -> Figure:
    """One trace per category of its items with a position; fainter where less sure.

    cells: row of an item -> its picture's place in the sheet.  Each point carries
    [path, confidence, place or -1]; the page shows them as text, plotly never sees them.
    """
    points = placed(items)
    size = 9 if len(points) < 600 else 7 if len(points) < 2500 else 5
    traces = []
    for position, name in enumerate(categories):
        members = points[points["category"] == name]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": inert(name),
                "x": members["x"].round(3).tolist(),
                "y": members["y"].round(3).tolist(),
                "customdata": [
                    [path, round(float(confidence), 4), cells.get(row, -1)]
                    for row, path, confidence in zip(
                        members.index, members["path"], members["confidence"]
                    )
                ],
                "marker": {
                    "color": colour(position),
                    "symbol": SYMBOLS[position // len(PALETTE) % len(SYMBOLS)],
                    "size": size,
                    "opacity": (0.3 + 0.6 * members["confidence"]).round(2).tolist(),
                },
                "hoverinfo": "none",
            }
        )
    hidden = {"visible": False}
    layout = {
        "xaxis": hidden,
        "yaxis": hidden | {"scaleanchor": "x"},
        "hovermode": "closest",
        "hoverdistance": 12,
        "margin": {"l": 4, "r": 4, "t": 4, "b": 4},
    }
    return {"data": traces, "layout": layout}


def sizes(items: pd.DataFrame, categories: Sequence[str], noun: str) -> Figure:
    """Members of each category, split by how sure the network is of them."""
    levels = {
        f"sure, {SURE:.0%} and more": (SURE, np.inf, PALETTE[0]),
        f"leaning, from {LEANING:.0%}": (LEANING, SURE, f"{PALETTE[0]}90"),
        "torn": (-np.inf, LEANING, f"{PALETTE[0]}30"),
    }
    traces = []
    for name, (low, high, fill) in levels.items():
        within = items[(items["confidence"] >= low) & (items["confidence"] < high)]
        counts = within["category"].value_counts().reindex(list(categories), fill_value=0)
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": [inert(category) for category in categories],
                "x": counts.tolist(),
                "marker": {"color": fill, "line": {"color": PALETTE[0], "width": 1}},
                "hovertemplate": f"%{{x:,}} {noun}s",
            }
        )
    layout = {
        "barmode": "stack",
        "bargap": 0.35,
        "hovermode": "y unified",
        "xaxis": {"title": {"text": f"{noun}s"}},
        "yaxis": {"autorange": "reversed", "type": "category", "dtick": 1, "showgrid": False},
    }
    return {"data": traces, "layout": layout}


def confidences(items: pd.DataFrame, noun: str) -> Figure:
    """How many items have which confidence, in steps of 5%."""
    counts, edges = np.histogram(items["confidence"], bins=20, range=(0, 1))
    trace = {
        "type": "bar",
        "x": ((edges[:-1] + edges[1:]) / 2).round(3).tolist(),
        "y": counts.tolist(),
        "width": 0.044,
        "marker": {"color": PALETTE[0]},
        "customdata": [f"{low:.0%} to {high:.0%}" for low, high in pairwise(edges)],
        "hovertemplate": f"%{{y:,}} {noun}s at %{{customdata}}<extra></extra>",
    }
    layout = {
        "hovermode": "closest",
        "xaxis": {
            "title": {"text": "confidence"},
            "tickformat": ".0%",
            "dtick": 0.25,
            "range": [-0.01, 1.01],
            "showgrid": False,
        },
        "yaxis": {"title": {"text": f"{noun}s"}},
    }
    return {"data": [trace], "layout": layout}


def losses(epochs: Epochs) -> Figure:
    """Each term of Eq. 10, unweighted, and the total."""
    return _curves(epochs, LOSSES, {"rangemode": "tozero"})


def pairs(epochs: Epochs) -> Figure:
    """Positive pairs, and how right they are where the labels tell."""
    return _curves(epochs, PAIRS, {"tickformat": ".0%", "range": [-0.02, 1.02]})


def steadiness(epochs: Epochs) -> Figure:
    """Entropy of the mean prediction, churn and the ramp."""
    return _curves(epochs, STEADINESS, {"tickformat": ".0%", "range": [-0.02, 1.02]})


def accuracy(epochs: Epochs) -> Figure:
    """ACC on the unlabelled items, where a protocol knows the truth."""
    return _curves(epochs, {"novel_acc": "accuracy"}, {"tickformat": ".0%"})


def _curves(epochs: Epochs, names: Mapping[str, str], yaxis: Mapping[str, Any]) -> Figure:
    """A line per logged value; values that no epoch has are left out."""
    present = {
        key: label for key, label in names.items() if any(_finite(r.get(key)) for r in epochs)
    }
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(epochs) <= 20 else "lines",
            "name": label,
            "x": [record["epoch"] for record in epochs],
            "y": [record[key] if _finite(record.get(key)) else None for record in epochs],
            "line": {"color": PALETTE[position], "width": 2},
            "marker": {"size": 5},
            "hovertemplate": "%{y:.3~g}" if "tickformat" not in yaxis else "%{y:.1%}",
        }
        for position, (key, label) in enumerate(present.items())
    ]
    layout = {
        "hovermode": "x unified",
        "xaxis": {"title": {"text": "epoch"}, "showgrid": False},
        "yaxis": dict(yaxis),
    }
    return {"data": traces, "layout": layout}


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))
