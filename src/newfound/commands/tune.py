"""`newfound tune`: call, print."""

from dataclasses import asdict
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from newfound.candidates import Candidates
from newfound.commands.opening import weights_named
from newfound.commands.tasks import TuneTask
from newfound.data.catalogue import Catalogue
from newfound.presets import PRESETS
from newfound.progress import Progress
from newfound.settings import make_runtime
from newfound.tune import Tuning, tune
from newfound.tuning_files import curve_table, write_curves


def tune_and_print(
    task: TuneTask, catalogue: Catalogue, candidates: Candidates, settings: Any, runtime: Any
) -> None:
    """Compare the candidates, and print the curves and the flags of the best.

    settings, runtime: the fields of a Config and a Runtime, not judged yet.
    """
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
            weights_named(task),
        )
        write_curves(tuning, task.out)
    if not task.quiet:
        _print_curves(tuning)
        if task.seeds == 1:
            print("each value was tried once, so chance may decide; --seeds 3 tells how much it is")
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
