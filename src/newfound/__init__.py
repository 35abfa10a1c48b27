"""newfound: novel category discovery in images (Jia, Han, Zhu, Green, ICCV 2021)."""

from newfound.config import PRESETS, Config, Runtime
from newfound.data.catalogue import Catalogue, Truth, from_arrays, open_catalogue
from newfound.discovery import Discovery, discover, load
from newfound.errors import InputError, NonFiniteLossError, RunFolderError, Stopped
from newfound.evaluate import clustering_accuracy
from newfound.version import __version__

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
    "__version__",
    "clustering_accuracy",
    "discover",
    "from_arrays",
    "load",
    "open_catalogue",
]
