"""The flags of `newfound discover`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg
from tyro.extras import SubcommandApp

from newfound.cli.flags import Call, check_kind, defaults_of, flags_of
from newfound.cli.loading import loading
from newfound.commands.tasks import DiscoverTask
from newfound.config import Runtime

if TYPE_CHECKING:
    from newfound.commands.opening import Opened


def discover_commands(
    arguments: Sequence[str],
    preset: str | None,
    method: str | None,
    opened: "Opened | None",
    parse: "Callable[[Sequence[str], Opened], Call]",
) -> SubcommandApp:
    """`discover images` and `discover videos`.

    arguments: all of the command line.  preset, method: those given; a preset's settings, as the
    method needs them, are the flags' defaults.  opened: the data, if it has been opened to choose
    the preset.  parse: what parses arguments anew, with the data opened.
    """
    app = SubcommandApp()
    image_flags = flags_of(defaults_of(preset, "images", method))
    video_flags = flags_of(defaults_of(preset, "videos", method))
    runtime_flags = flags_of(Runtime())

    @app.command(name="images")
    def discover_images(
        data: Positional[str | None] = None,
        /,
        *,
        task: OmitArgPrefixes[DiscoverTask],
        download: bool = False,
        settings: OmitArgPrefixes[Annotated[Any, arg(constructor=image_flags)]],
        runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=runtime_flags)]],
    ) -> Call:
        """Sort unlabelled images into new categories, learning from labelled ones of others.

        Without --preset it is chosen by the data: `images` above 64 px, else `digits` for grey
        and `small-images` for coloured ones. The defaults shown are those of `images`, or of the
        --preset given. `quick` is for a CPU or a deadline.
        The same command again continues a run that was stopped.

        Args:
            data: a folder (labelled/<class>/ and unlabelled/, or class folders with
                --labelled-classes), a .csv or .parquet table (path, label), WebDataset
                shards (a folder of .tar files, part-{000..012}.tar, or an address as
                s3://bucket/part-{000..012}.tar), or a built-in set: digits, cifar10,
                cifar100
            download: let torchvision fetch cifar10 or cifar100
        """

        def call() -> None:
            check_kind(preset, "images")
            with loading():
                from newfound.commands.discover import discover_and_print
                from newfound.commands.opening import open_named
                from newfound.discovery import choose_preset
            data_set = opened or open_named(data, task, task.quiet, download=download)
            if preset is None and (chosen := choose_preset(data_set[0])) != settings.preset:
                parse([*arguments, "--preset", chosen], data_set)()
                return
            discover_and_print(task, data_set, settings, runtime)

        return call

    @app.command(name="videos")
    def discover_videos(
        data: Positional[str | None] = None,
        /,
        *,
        task: OmitArgPrefixes[DiscoverTask],
        csv: Path | None = None,
        videos: Path | None = None,
        settings: OmitArgPrefixes[Annotated[Any, arg(constructor=video_flags)]],
        runtime: OmitArgPrefixes[Annotated[Any, arg(constructor=runtime_flags)]],
    ) -> Call:
        """Sort unlabelled videos, by sight and sound, into new categories.

        The defaults shown are those of the preset `videos`, or of the --preset given.
        `quick-videos` is for a CPU or a deadline.
        The same command again continues a run that was stopped.

        Args:
            data: a folder (labelled/<class>/ and unlabelled/, or class folders with
                --labelled-classes), a .csv or .parquet table (path, label, and if need be
                start_seconds, end_seconds), WebDataset shards (a folder of .tar files,
                part-{000..012}.tar, or an address as s3://bucket/part-{000..012}.tar), or
                a published set: kinetics400 (350 classes known, 50 novel) or vggsound
                (270, 39), with --csv and --videos
            csv: of kinetics400 the folder of train.csv and validate.csv, or one table of all; of
                vggsound its vggsound.csv
            videos: the folder that the videos of kinetics400 or vggsound lie in or below, named
                <youtube_id>_000010_000020.mp4, <youtube_id>_000010.mp4 or <youtube_id>.mp4
        """

        def call() -> None:
            check_kind(preset, "videos")
            with loading():
                from newfound.commands.discover import discover_and_print
                from newfound.commands.opening import open_named
            data_set = open_named(data, task, task.quiet, kind="videos", csv=csv, videos=videos)
            discover_and_print(task, data_set, settings, runtime)

        return call

    return app
