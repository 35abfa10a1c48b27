"""What files are by the endings of their names."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from PIL import Image

from newfound.data.source import Kind

VIDEO_ENDINGS = {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
VIDEO_ENDINGS |= {".mts", ".ogv", ".ts", ".webm", ".wmv"}
"""What the names of videos end in, in any case."""

DOCUMENT_ENDINGS = {".txt", ".md", ".rst", ".rtf", ".log", ".nfo", ".html", ".htm", ".tex", ".pdf"}
DOCUMENT_ENDINGS |= {".doc", ".docx", ".odt", ".xls", ".xlsx", ".ods", ".ppt", ".pptx", ".odp"}
DOCUMENT_ENDINGS |= {".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini"}
DOCUMENT_ENDINGS |= {".xmp", ".aae", ".srt", ".vtt", ".npy", ".npz", ".parquet", ".py", ".ipynb"}
DOCUMENT_ENDINGS |= {".zip", ".gz", ".bz2", ".xz", ".7z", ".rar", ".tar", ".tgz", ".sh", ".db"}
"""Of what lies among images and videos, and nobody takes for one of them."""


def is_document(name: str) -> bool:
    """Whether a file is by its ending one of `DOCUMENT_ENDINGS`."""
    return Path(name).suffix.lower() in DOCUMENT_ENDINGS


def has_media_ending(name: str) -> bool:
    """Whether a file is called like an image or a video."""
    return has_image_ending(name) or _has_video_ending(name)


def has_image_ending(name: str) -> bool:
    """Whether a file is called like an image that Pillow reads."""
    return Path(name).suffix.lower() in _image_endings()


@cache
def _image_endings() -> frozenset[str]:
    return frozenset(Image.registered_extensions().keys() - VIDEO_ENDINGS)


def _has_video_ending(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_ENDINGS


def other_kind_in_words(names: Iterable[str], kind: Kind) -> str:
    """A hint to add to an error if most files, by their endings, are images where videos are read,
    or the other way round; else "".
    """
    names = list(names)
    other: Kind = "videos" if kind == "images" else "images"
    has_its_ending = _has_video_ending if other == "videos" else has_image_ending
    if 2 * sum(map(has_its_ending, names)) <= len(names):
        return ""
    preset = "videos" if other == "videos" else "auto"
    return f"; these look like {other}: newfound discover {other} (in Python preset={preset!r})"
