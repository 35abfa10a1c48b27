"""What files are read as: images or videos."""

from newfound.data.clips import ClipFiles
from newfound.data.images import FileImages
from newfound.data.manifest import Listed
from newfound.data.source import Kind

FILES: dict[Kind, type[FileImages] | type[ClipFiles]] = {
    "images": FileImages,
    "videos": ClipFiles,
}


def items_of(listed: Listed, kind: Kind) -> FileImages | ClipFiles:
    """The contents of a table's rows."""
    if kind == "videos":
        return ClipFiles(listed.files, listed.start_seconds, listed.end_seconds)
    return FileImages(listed.files)
