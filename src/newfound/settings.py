"""Settings from what a user gives, and in words what is wrong with it."""

from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import ValidationError

from newfound.config import Config, Machine, Runtime, VideoConfig
from newfound.errors import InputError
from newfound.presets import METHOD_SETTINGS, PRESETS, settings_type


def make_config(preset: str, **overrides: Any) -> Config:
    """A preset as the method needs it, with some settings replaced; None is a value, too.

    Raises InputError that names the setting, its value and what it may be.
    """
    settings_type(preset)  # raises if there is no such preset
    of_method = METHOD_SETTINGS.get(overrides.get("method", "ours"), {})
    return complete_config(PRESETS[preset].model_dump() | of_method | overrides)


def complete_config(settings: dict[str, Any]) -> Config:
    """Settings of which none is left to a preset.

    The preset's own warm-up is for its own epochs: of as few as it takes itself it is a tenth.
    Raises InputError like `make_config`.
    """
    try:
        return settings_type(settings["preset"]).model_validate(_with_fitting_warm_up(settings))
    except ValidationError as error:
        raise InputError(explain(error)) from None


def _with_fitting_warm_up(settings: dict[str, Any]) -> dict[str, Any]:
    own, epochs = PRESETS[settings["preset"]].warmup_epochs, settings["epochs"]
    is_number = isinstance(epochs, int | float)
    if is_number and settings["warmup_epochs"] == own and own >= epochs > 0:
        return settings | {"warmup_epochs": epochs / 10}
    return settings


def make_runtime(**settings: Any) -> Runtime:
    """Runtime settings; None leaves the default. Raises InputError like `make_config`."""
    return _made(Runtime, settings)


def make_machine(**settings: Any) -> Machine:
    """The settings that a run and a prediction share, as `make_runtime` has all of a run."""
    return _made(Machine, settings)


_OfMachine = TypeVar("_OfMachine", bound=Machine)


def _made(kind: type[_OfMachine], settings: dict[str, Any]) -> _OfMachine:
    given = {name: value for name, value in settings.items() if value is not None}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise InputError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """Pydantic's findings, one line each, without its links and type names."""
    lines = []
    for finding in error.errors():
        name = ".".join(str(part) for part in finding["loc"][:1])
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            message = _of_no_setting(name)
        given = f" (given: {finding['input']!r})" if name else ""
        lines.append(f"{name}: {message}{given}" if name else message)
    return "; ".join(dict.fromkeys(lines))


def _of_no_setting(name: str) -> str:
    """What to say of a name that no setting has, where it was given as one."""
    if name in Runtime.model_fields:
        return f"none of these settings; a run takes it as runtime=newfound.Runtime({name}=...)"
    if name in VideoConfig.model_fields and name not in Config.model_fields:
        return "a setting of videos alone"
    near = get_close_matches(name, [*VideoConfig.model_fields, *Runtime.model_fields, "num_novel"])
    return "no setting has this name" + (f"; did you mean {' or '.join(near)}?" if near else "")
