"""What a finished run left in its folder: read back whole, or refused with the cure."""

import json
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from pyarrow.parquet import read_metadata, read_schema
from safetensors import SafetensorError, safe_open

from newfound.disk.embedding import check_embedding
from newfound.disk.files import damaged
from newfound.disk.run_folder import RunFolder

ITEMS = ("path", "category", "confidence", "second", "margin", "x", "y", "features_kmeans")
CATEGORIES = ("category", "size", "mean_confidence", "typical", "doubtful")
SKIPPED = ("path", "reason")
THUMBNAILS = ("row", "pixels")
"""The columns, or arrays, that there are at least."""

_END_OF_PAGE = 16
"""So many bytes at its end hold what closes it."""

_UNREADABLE = (OSError, EOFError, ValueError, TypeError, BadZipFile, zlib.error, SafetensorError)
"""What reading raises for a file that is absent or damaged."""


def read_item_table(folder: RunFolder) -> pd.DataFrame:
    """One row per unlabelled item. Raises RunFolderError if the table is absent or damaged."""
    return _read(folder.items, pd.read_parquet, ITEMS)


def read_categories(folder: RunFolder) -> pd.DataFrame:
    """One row per category, members as lists of paths. Raises as `read_item_table` does."""
    of_json = {"typical": json.loads, "doubtful": json.loads}
    categories = _read(
        folder.categories,
        lambda path: pd.read_csv(path, dtype={"category": str}, converters=of_json),
        CATEGORIES,
    )
    wanted = folder.read_config()["num_novel"]
    if len(categories) != wanted:
        raise damaged(folder.categories, f"it has {len(categories)} of {wanted} categories")
    return categories


def read_skipped(folder: RunFolder) -> pd.DataFrame:
    """Path and reason of what was left out. Raises as `read_item_table` does."""
    return _read(
        folder.skipped, lambda path: pd.read_csv(path, dtype=str, keep_default_na=False), SKIPPED
    )


def read_thumbnails(folder: RunFolder) -> dict[str, np.ndarray]:
    """The arrays that `make_thumbnails` made, by name. Raises as `read_item_table` does."""
    try:
        with np.load(folder.thumbnails, allow_pickle=False) as arrays:
            _check_names(arrays.files, THUMBNAILS)
            return dict(arrays)
    except _UNREADABLE as error:
        raise damaged(folder.thumbnails, error) from error


def lost_output(folder: RunFolder) -> Path | None:
    """The first output that is absent or can be seen to be damaged.

    Large files are not read through: where they begin and how they end has to tell.
    """
    checks: dict[Path, Callable[[], object]] = {
        folder.result_file: folder.result,
        folder.items: lambda: _check_parquet(folder.items),
        folder.items_csv: lambda: _check_csv(folder.items_csv),
        folder.categories: lambda: read_categories(folder),
        folder.skipped: lambda: read_skipped(folder),
        folder.thumbnails: lambda: _check_thumbnails(folder.thumbnails),
        folder.embedding: lambda: check_embedding(
            folder.embedding, read_metadata(folder.items).num_rows
        ),
        folder.model: lambda: _check_model(folder.model),
    }
    for path, check in checks.items():
        try:
            check()
        except _UNREADABLE:
            return path
    return None


def has_whole_report(folder: RunFolder) -> bool:
    """Whether the page is there, and not cut short."""
    try:
        with folder.report.open("rb") as file:
            file.seek(-_END_OF_PAGE, os.SEEK_END)
            return b"</html>" in file.read()
    except OSError:  # as of fewer bytes
        return False


def _read(
    path: Path, read: Callable[[Path], pd.DataFrame], columns: tuple[str, ...]
) -> pd.DataFrame:
    try:
        table = read(path)
        _check_names(table.columns, columns)
    except _UNREADABLE as error:
        raise damaged(path, error) from error
    return table


def _check_parquet(path: Path) -> None:
    _check_names(read_schema(path).names, ITEMS)


def _check_csv(path: Path) -> None:
    _check_names(pd.read_csv(path, nrows=0).columns, ITEMS)
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            raise ValueError("its last row is cut short")


def _check_thumbnails(path: Path) -> None:
    with np.load(path, allow_pickle=False) as arrays:
        _check_names(arrays.files, THUMBNAILS)


def _check_model(path: Path) -> None:
    with safe_open(path, framework="pt"):
        pass


def _check_names(there: Iterable[str], wanted: tuple[str, ...]) -> None:
    if missing := set(wanted) - set(there):
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
