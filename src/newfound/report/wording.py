"""What pages and warnings call items and methods."""

from newfound.config import Method
from newfound.presets import kind_of

_NOUNS = {"images": "picture", "videos": "video"}


def item_noun(preset: str) -> str:
    """ "picture" or "video", to which an s may be added. Raises InputError for no preset."""
    return _NOUNS[kind_of(preset)]


_METHODS: dict[Method, str] = {
    "ours": "newfound",
    "kmeans": "k-means after pretraining",
    "kcl": "KCL",
    "mcl": "MCL",
    "dtc": "DTC",
    "rs": "RS (ranking statistics)",
    "rs-ll": "RS with the labelled head widened (LL)",
}


def method_in_words(method: Method) -> str:
    """What a table calls a method."""
    return _METHODS[method]
