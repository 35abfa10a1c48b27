"""What a user is told about the data that there may be."""

from newfound.data.source import Kind
from newfound.data.video_protocols import PROTOCOLS

_LAYOUTS_OF_FILES = """\
newfound reads
  DATA/labelled/<class>/** and DATA/unlabelled/**
  --labelled DIR (of class folders) and --unlabelled DIR
  DATA/<class>/** with --labelled-classes N (the first N in name order are labelled)
  a .csv or .parquet table with the columns path and label (empty = unlabelled)"""

_LAYOUTS_OF_SHARDS = """\
  WebDataset shards: a folder of .tar files, part-{000..012}.tar, or such an address, as in
  s3://bucket/part-{000..012}.tar"""

LAYOUTS: dict[Kind, str] = {
    "images": f"{_LAYOUTS_OF_FILES}\n"
    f"{_LAYOUTS_OF_SHARDS}\n"
    "  the built-in sets digits, cifar10, cifar100",
    "videos": f"{_LAYOUTS_OF_FILES}, and start_seconds and\n  end_seconds for parts of files\n"
    f"{_LAYOUTS_OF_SHARDS}\n"
    "  kinetics400 and vggsound with --csv TABLES and --videos DIR",
}
"""How data may be laid out."""

BUILT_IN: dict[Kind, tuple[str, ...]] = {
    "images": ("digits", "cifar10", "cifar100"),
    "videos": tuple(PROTOCOLS),
}
