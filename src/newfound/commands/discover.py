"""`newfound discover`: call, print."""

from dataclasses import asdict
from typing import Any

from newfound.commands.finished import print_summary
from newfound.commands.opening import Opened, weights_named
from newfound.commands.tasks import DiscoverTask
from newfound.discovery import load
from newfound.disk.run_folder import RunFolder
from newfound.dry_run import try_out
from newfound.job import Job
from newfound.machine import distributed
from newfound.progress import Progress
from newfound.run import run
from newfound.settings import complete_config, make_runtime


def discover_and_print(task: DiscoverTask, data_set: Opened, settings: Any, runtime: Any) -> None:
    """Run it, or try it out, and print what came of it.

    settings, runtime: the fields of a Config and a Runtime, not judged yet.
    """
    job = Job(
        RunFolder(task.out),
        *data_set,
        task.num_novel,
        complete_config(asdict(settings)),
        make_runtime(**asdict(runtime)),
        task.compare_labelled_only,
        weights_named(task),
    )
    with Progress(quiet=task.quiet or not distributed.is_writer()) as progress:
        if task.dry_run:
            if distributed.is_writer():
                print("\n".join(try_out(job, progress)))
            return
        run(job, progress)
    if not task.quiet and distributed.is_writer():
        print_summary(load(job.folder.path))
