"""newfound: novel category discovery in images and videos (Jia, Han, Zhu, Green, ICCV 2021).

The public names are imported when first used: `newfound.__main__` has to set up the environment
before torch is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from newfound.machine.interrupt import signals_held
from newfound.version import __version__

if TYPE_CHECKING:
    from newfound.config import Config, Runtime, VideoConfig
    from newfound.data.arrays import from_arrays
    from newfound.data.catalogue import Catalogue, Truth
    from newfound.data.opening import open_catalogue
    from newfound.discovery import Discovery, discover, load
    from newfound.errors import InputError, NonFiniteLossError, RunFolderError, Stopped
    from newfound.presets import PRESETS
    from newfound.results.evaluate import clustering_accuracy

_HOME = {
    "PRESETS": "presets",
    "Catalogue": "data.catalogue",
    "Config": "config",
    "Discovery": "discovery",
    "InputError": "errors",
    "NonFiniteLossError": "errors",
    "RunFolderError": "errors",
    "Runtime": "config",
    "Stopped": "errors",
    "Truth": "data.catalogue",
    "VideoConfig": "config",
    "clustering_accuracy": "results.evaluate",
    "discover": "discovery",
    "from_arrays": "data.arrays",
    "load": "discovery",
    "open_catalogue": "data.opening",
}

__all__ = [
    "PRESETS",
    "Catalogue",
    "Config",
    "Discovery",
    "InputError",
    "NonFiniteLossError",
    "RunFolderError",
    "Runtime",
    "Stopped",
    "Truth",
    "VideoConfig",
    "__version__",
    "clustering_accuracy",
    "discover",
    "from_arrays",
    "load",
    "open_catalogue",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'newfound' has no attribute {name!r}")
    with signals_held():  # a torch that Ctrl-C leaves half loaded is of no use until Python ends
        home = import_module(f"newfound.{_HOME[name]}")
    return getattr(home, name)
