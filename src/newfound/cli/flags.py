"""What the sub-commands of the command line have in common: their types and flags."""

from collections.abc import Callable, Sequence
from dataclasses import make_dataclass
from typing import Annotated

from pydantic import BaseModel
from tyro.conf import arg

from newfound.config import Config
from newfound.data.source import Kind
from newfound.errors import InputError
from newfound.presets import PRESETS, kind_of
from newfound.settings import make_config

Call = Callable[[], None]
"""What a parsed command line asks for, not done yet."""


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
