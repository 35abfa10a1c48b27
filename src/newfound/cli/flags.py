"""What the sub-commands of the command line have in common: their types and flags."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel
from tyro.conf import arg

from newfound.config import Config
from newfound.data.catalogue import Catalogue, Truth
from newfound.data.opening import open_catalogue
from newfound.data.source import Kind
from newfound.disk.out_place import check_apart_from_data
from newfound.errors import InputError
from newfound.machine.distributed import is_writer
from newfound.presets import PRESETS, kind_of
from newfound.progress import Progress
from newfound.settings import make_config

Call = Callable[[], None]
"""What a parsed command line asks for, not done yet."""

Opened = tuple[Catalogue, Truth | None]


@dataclass(frozen=True)
class ProblemFlags:
    """What is to be discovered, in which data."""

    num_novel: int
    """number of categories to discover"""
    out: Path
    """the run folder"""
    labelled: Path | None = None
    """a folder of class folders, instead of DATA"""
    unlabelled: Path | None = None
    """a folder of unlabelled items, instead of DATA"""
    labelled_classes: int | None = None
    """DATA has class folders, or shards with a label for every item: so many
    classes in name order are labelled, the others are treated as
    unlabelled and scored at the end"""


def open_named(data: str | None, problem: ProblemFlags, quiet: bool, **more: Any) -> Opened:
    """The data that a command line names; the reading of new shards is shown.

    more: for `open_catalogue`.  Raises InputError as that does, and for an --out among the data.
    """
    check_apart_from_data(problem.out, data, problem.labelled, problem.unlabelled)
    with Progress(quiet=quiet or not is_writer()) as progress:
        return open_catalogue(
            data,
            labelled=problem.labelled,
            unlabelled=problem.unlabelled,
            labelled_classes=problem.labelled_classes,
            on_progress=progress.new_shards,
            **more,
        )


def defaults_of(preset: str | None, kind: Kind, method: str | None = None) -> Config:
    """The settings of a preset; of a kind's own where none is given, or one of the other kind."""
    fits = preset is not None and kind_of(preset) == kind
    changed = {} if method is None else {"method": method}
    return make_config(preset if fits and preset else kind, **changed)


def check_kind(preset: str | None, kind: Kind) -> None:
    """Raise InputError for a preset of the other kind."""
    if preset is not None and kind_of(preset) != kind:
        ours = [name for name in PRESETS if kind_of(name) == kind]
        raise InputError(f"the preset {preset!r} is not one of {kind}; give {', '.join(ours)}")


def flags_of(defaults: BaseModel, without: Sequence[str] = ()) -> type:
    """A dataclass of the model's fields, all but some, that takes any values of the right types.

    The model is made of them once the data has chosen the preset; only then are they judged,
    together and in our words.
    """
    model = type(defaults)
    flags = [
        (name, Annotated[info.annotation, arg(help=info.description)], getattr(defaults, name))
        for name, info in model.model_fields.items()
        if name not in without
    ]
    return make_dataclass(model.__name__, flags, namespace={"__doc__": model.__doc__})
