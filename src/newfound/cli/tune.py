"""The flags of `newfound tune`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg
from tyro.extras import SubcommandApp

from newfound.candidates import TUNED, Candidates
from newfound.cli.flags import Call, check_kind, defaults_of, flags_of
from newfound.cli.loading import loading
from newfound.commands.tasks import TuneTask
from newfound.config import Config, Runtime

if TYPE_CHECKING:
    from newfound.commands.opening import Opened

_OF_BASELINES = [name for name in Config.model_fields if name.startswith(("own_", "weak_"))]
_OF_OTHER_PAIRS = ("pairs", "cosine_threshold", "rank_top", "heldout_epochs")
_NOT_ASKED = (*TUNED, "method", "pretraining", "dtc_variant", *_OF_BASELINES, *_OF_OTHER_PAIRS)
"""Settings that are compared here, and those without a meaning for our method's WTA pairs."""


def tune_commands(
    arguments: Sequence[str],
    preset: str | None,
    opened: "Opened | None",
    parse: "Callable[[Sequence[str], Opened], Call]",
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
            with loading():
                from newfound.commands.opening import open_named
                from newfound.commands.tune import tune_and_print
                from newfound.data.rehearsal import pretend
                from newfound.discovery import choose_preset
            data_set = opened or open_named(data, task, task.quiet, download=download)
            if preset is None:
                chosen = choose_preset(pretend(data_set[0], task.num_novel)[0])
                if chosen != settings.preset:
                    parse([*arguments, "--preset", chosen], data_set)()
                    return
            tune_and_print(task, data_set[0], candidates, settings, runtime)

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
            with loading():
                from newfound.commands.opening import open_named
                from newfound.commands.tune import tune_and_print
            catalogue, _ = open_named(data, task, task.quiet, kind="videos", csv=csv, videos=videos)
            tune_and_print(task, catalogue, candidates, settings, runtime)

        return call

    return app
