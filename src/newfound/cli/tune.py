"""`newfound tune`: parse, call, print."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from tyro.conf import OmitArgPrefixes, Positional, arg
from tyro.extras import SubcommandApp

from newfound.cli.flags import (
    Call,
    Opened,
    ProblemFlags,
    check_kind,
    defaults_of,
    flags_of,
    open_named,
)
from newfound.config import Config, Runtime
from newfound.data.catalogue import Catalogue
from newfound.data.rehearsal import pretend
from newfound.discovery import choose_preset
from newfound.presets import PRESETS
from newfound.progress import Progress
from newfound.settings import make_runtime
from newfound.tune import TUNED, Candidates, Tuning, tune
from newfound.tuning_files import curve_table, write_curves

_OF_BASELINES = [name for name in Config.model_fields if name.startswith(("own_", "weak_"))]
_OF_OTHER_PAIRS = ("pairs", "cosine_threshold", "rank_top", "heldout_epochs")
_NOT_ASKED = (*TUNED, "method", "pretraining", "dtc_variant", *_OF_BASELINES, *_OF_OTHER_PAIRS)
"""Settings that are compared here, and those without a meaning for our method's WTA pairs."""


@dataclass(frozen=True)
class TuneTask(ProblemFlags):
    """What settings are to be chosen for."""

    out: Path
    """a folder for the trials, the curves and the choice"""
    seeds: int = 1
    """trials of each candidate, with the seeds from --seed on; their mean decides"""
    quiet: bool = False
    """print nothing but the flags to use and errors"""


def tune_commands(
    arguments: Sequence[str],
    preset: str | None,
    opened: Opened | None,
    parse: Callable[[Sequence[str], Opened], Call],
) -> SubcommandApp:
    """`tune images` and `tune videos`.

    arguments: all of the command line.  preset: the one given.  opened: the data, if it has been
    opened to choose the preset.  parse: what parses arguments anew, with the data opened.
    """
    app = SubcommandApp()
    image_flags = flags_of(defaults_of(preset, "images"), _NOT_ASKED)
    video_flags = flags_of(defaults_of(preset, "videos"), _NOT_ASKED)
    runtime_flags = flags_of(Runtime(), without=("shelf",))

    @app.command(name="images")
    def tune_images(
        data: Positional[str | None] = None,
        /,
        *,
        task: OmitArgPrefixes[TuneTask],
        candidates: OmitArgPrefixes[Candidates],
        download: bool = False,
        settings: OmitArgPrefixes[Annotated[Any, arg(constructor=image_flags)]],
        runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=runtime_flags)]],
    ) -> Call:
        """Choose settings for `discover images` on the labelled images alone.

        Some of the known classes, as many as are novel or half, are taken as unlabelled; each
        candidate is a run on these. One setting after the other is compared, and the flags of
        the best are printed. Unlabelled images take no part.
        The same command again continues; with more candidates only those are new.

        Args:
            data: as in `discover images`: a folder, a table, shards or a built-in set
            download: let torchvision fetch cifar10 or cifar100
        """

        def call() -> None:
            check_kind(preset, "images")
            data_set = opened or open_named(data, task, task.quiet, download=download)
            if preset is None:
                chosen = choose_preset(pretend(data_set[0], task.num_novel)[0])
                if chosen != settings.preset:
                    parse([*arguments, "--preset", chosen], data_set)()
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
        settings: OmitArgPrefixes[Annotated[Any, arg(constructor=video_flags)]],
        runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=runtime_flags)]],
    ) -> Call:
        """Choose settings for `discover videos` on the labelled videos alone.

        Some of the known classes, as many as are novel or half, are taken as unlabelled; each
        candidate is a run on these. One setting after the other is compared, and the flags of
        the best are printed. Unlabelled videos take no part.
        The same command again continues; with more candidates only those are new.

        Args:
            data: as in `discover videos`: a folder, a table, shards or a published set
            csv: as in `discover videos`
            videos: as in `discover videos`
        """

        def call() -> None:
            check_kind(preset, "videos")
            catalogue, _ = open_named(data, task, task.quiet, kind="videos", csv=csv, videos=videos)
            _tune(task, catalogue, candidates, settings, runtime)

        return call

    return app


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
