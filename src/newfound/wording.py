"""What pages and warnings call an item."""

from newfound.config import kind_of

_NOUNS = {"images": "picture", "videos": "video"}


def item_noun(preset: str) -> str:
    """ "picture" or "video", to which an s may be added. Raises InputError for no preset."""
    return _NOUNS[kind_of(preset)]
