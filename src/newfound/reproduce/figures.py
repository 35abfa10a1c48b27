"""Figures 2 and 3: novel items by the features of labelled data alone, and by those of ours."""

import importlib.util
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from newfound.disk.embedding import read_embedding
from newfound.disk.files import write_atomically
from newfound.errors import InputError
from newfound.progress import Progress
from newfound.reproduce.plan import Plan, PlannedRun
from newfound.reproduce.rows import Row
from newfound.results.tables import map_positions

SEED = 0
"""Of the runs that are drawn, of the classes that are drawn at random, and of t-SNE."""

CLASSES_SHOWN = 10
"""Of more classes than these so many are drawn at random, as for Figure 3."""


def check_drawable() -> None:
    """Raises InputError if there is nothing to draw with."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError(
            "figures are drawn with matplotlib, which is not installed; "
            "pip install 'newfound[figures]' brings it"
        )


def draw(plan: Plan, progress: Progress) -> None:
    """OUT/<figure>-<data set>-<scale>.svg and .png, once all its rows have been run with seed 0.

    Of a data set in several parts, the first is drawn.
    """
    trials = [plan.trials(row, SEED)[0] for row in plan.table.rows]
    if not all(trial.is_done() for trial in trials):
        progress.message(f"{plan.name} is not drawn: it takes all of its rows, with seed {SEED}")
        return
    progress.stage("Drawing", len(trials))
    panels = []
    for row, trial in zip(plan.table.rows, trials):
        panels.append((row, *places(trial)))
        progress.advance()
    for path in _save(plan, panels):
        progress.message(f"drawn: {path}")


def places(trial: PlannedRun) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Where t-SNE puts the items, (n, 2), NaN for none; and their true classes, (n,)."""
    problem, folder = trial.problem, trial.folder
    names = np.array(problem.truth.class_names)
    true_class = dict(
        zip(problem.catalogue.names[problem.catalogue.unlabelled], names[problem.truth.labels])
    )
    classes = np.array([true_class[path] for path in pd.read_parquet(folder.items)["path"]])
    if len(names) > CLASSES_SHOWN:
        names = np.random.default_rng(SEED).choice(names, CLASSES_SHOWN, replace=False)
    shown = np.isin(classes, names)
    features = read_embedding(folder.embedding, "features", len(classes))
    return map_positions(features[shown], SEED), classes[shown]


def _save(
    plan: Plan, panels: list[tuple[Row, NDArray[np.float64], NDArray[np.str_]]]
) -> list[Path]:
    """Both files, of which the same runs make the same ones."""
    import matplotlib as mpl  # noqa: PLC0415 - an extra, and slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(10, 5.5), layout="constrained")
    for axes, (row, places, classes) in zip(figure.subplots(1, len(panels)), panels):
        for number, name in enumerate(np.unique(classes)):
            x, y = places[classes == name].T
            axes.scatter(x, y, s=4, color=mpl.colormaps["tab10"](number), label=name)
        axes.set(title=row.name, xticks=[], yticks=[])
    figure.suptitle(f"{plan.data_set.name}, {plan.scale} scale: {plan.table.title}")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, markerscale=3, fontsize=8)
    metadata = {"svg": {"Date": None}, "png": {"Software": None}}  # nothing that varies
    paths = [plan.out / f"{plan.name}.{ending}" for ending in metadata]
    with mpl.rc_context({"svg.hashsalt": plan.name}):
        for path, told in zip(paths, metadata.values()):
            save = partial(figure.savefig, format=path.suffix[1:], dpi=150, metadata=told)
            write_atomically(path, save)
    return paths
