"""The data that a command line names."""

from typing import Any

from newfound.commands.tasks import Problem
from newfound.data.catalogue import Catalogue, Truth
from newfound.data.opening import open_catalogue
from newfound.disk.out_place import check_apart_from_data
from newfound.machine.torchrun import is_first
from newfound.models.weights import Weights, read_weights
from newfound.progress import Progress

Opened = tuple[Catalogue, Truth | None]


def weights_named(problem: Problem) -> Weights | None:
    """What the network is to start from. Raises InputError for what holds no weights."""
    return None if problem.weights is None else read_weights(problem.weights)


def open_named(data: str | None, problem: Problem, quiet: bool, **more: Any) -> Opened:
    """The data of a problem; the reading of new shards is shown.

    more: for `open_catalogue`.  Raises InputError as that does, and for an --out among the data.
    """
    check_apart_from_data(problem.out, data, problem.labelled, problem.unlabelled)
    with Progress(quiet=quiet or not is_first()) as progress:
        return open_catalogue(
            data,
            labelled=problem.labelled,
            unlabelled=problem.unlabelled,
            labelled_classes=problem.labelled_classes,
            on_progress=progress.new_shards,
            **more,
        )
