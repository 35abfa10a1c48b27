"""What came of `newfound tune` as files: tune.json with every trial, tune.csv and tune.html."""

import json
from pathlib import Path
from statistics import stdev
from typing import Any

import pandas as pd
from plotly.graph_objects import Figure, Scatter
from plotly.subplots import make_subplots

from newfound.candidates import Value
from newfound.disk.files import write_csv, write_text
from newfound.report.charts import PALETTE
from newfound.tune import Sweep, Tuning
from newfound.version import __version__


def write_curves(tuning: Tuning, out: Path) -> None:
    """tune.csv, tune.html and, last, tune.json. Raises RunFolderError if the disk is full."""
    write_csv(out / "tune.csv", curve_table(tuning))
    page = _figure(tuning).to_html(include_plotlyjs=True, div_id="curves")
    write_text(out / "tune.html", page)
    write_text(out / "tune.json", json.dumps(_record(tuning), indent=2, ensure_ascii=False) + "\n")


def curve_table(tuning: Tuning) -> pd.DataFrame:
    """A row per candidate: setting, value, acc (the mean), deviation, seeds, best.

    deviation: the sample's, over the seeds; missing with one seed.
    """
    rows = [(sweep, value) for sweep in tuning.sweeps for value in sweep.trials]
    return pd.DataFrame(
        {
            "setting": [sweep.setting for sweep, _ in rows],
            "value": pd.Series([value for _, value in rows], dtype=object),  # 4 is no 4.0
            "acc": [sweep.acc(value) for sweep, value in rows],
            "deviation": [_deviation(sweep, value) for sweep, value in rows],
            "seeds": [len(sweep.trials[value]) for sweep, value in rows],
            "best": [value == sweep.best for sweep, value in rows],
        }
    )


def _deviation(sweep: Sweep, value: Value) -> float | None:
    accs = [trial.acc for trial in sweep.trials[value]]
    return stdev(accs) if len(accs) > 1 else None


def _record(tuning: Tuning) -> dict[str, Any]:
    return {
        "newfound": __version__,
        "flags": tuning.flags,
        "chosen": dict(tuning.chosen),
        "known": list(tuning.known),
        "hidden": list(tuning.hidden),
        "sweeps": [_sweep_record(sweep) for sweep in tuning.sweeps],
    }


def _sweep_record(sweep: Sweep) -> dict[str, Any]:
    return {
        "setting": sweep.setting,
        "best": sweep.best,
        "fixed": dict(sweep.fixed),
        "candidates": [
            {
                "value": value,
                "acc": sweep.acc(value),
                "deviation": _deviation(sweep, value),
                "trials": [vars(trial) for trial in trials],
            }
            for value, trials in sweep.trials.items()
        ],
        "left_out": [{"value": v, "reason": reason} for v, reason in sweep.left_out.items()],
    }


def _figure(tuning: Tuning) -> Figure:
    """One chart per setting, evenly spaced as in Tables 5 and 6: the means, and every trial."""
    figure = make_subplots(
        cols=len(tuning.sweeps),
        shared_yaxes=True,
        subplot_titles=[f"best {sweep.setting}: {sweep.best}" for sweep in tuning.sweeps],
    )
    for column, sweep in enumerate(tuning.sweeps, start=1):
        means = {str(value): sweep.acc(value) for value in sweep.trials}
        dots = [(str(value), t) for value, trials in sweep.trials.items() for t in trials]
        line, marker = {"color": PALETTE[0]}, {"color": PALETTE[1], "size": 5}
        curve = Scatter(x=list(means), y=list(means.values()), name="mean", line=line)
        trials = Scatter(
            x=[value for value, _ in dots],
            y=[trial.acc for _, trial in dots],
            text=[trial.folder for _, trial in dots],
            mode="markers",
            name="trial",
            marker=marker,
        )
        figure.add_traces([curve, trials], rows=1, cols=column)
        figure.update_xaxes(type="category", title=sweep.setting, col=column)
    figure.update_yaxes(title="ACC on known classes taken as unlabelled", tickformat=".0%", col=1)
    return figure.update_layout(title=tuning.flags, showlegend=False)
