import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from newfound.disk.outputs import (
    CATEGORIES,
    ITEMS,
    SKIPPED,
    has_whole_report,
    lost_output,
    read_categories,
    read_item_table,
    read_skipped,
    read_thumbnails,
)
from newfound.disk.run_folder import RunFolder
from newfound.errors import RunFolderError
from support.made_images import make_folder
from support.small_run import discover_command, newfound, one_thread

OUTPUTS = [
    *("items.parquet", "items.csv", "categories.csv", "skipped.csv", "thumbnails.npz"),
    *("embedding.npz", "model.safetensors", "result.json"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("finished")
    with one_thread():
        command = discover_command(make_folder(place / "photos", each=6), place / "run", epochs=1)
        assert newfound(*command) == 0
    return place / "run"


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(finished, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_of_a_whole_run_nothing_is_lost(folder: RunFolder) -> None:
    assert lost_output(folder) is None
    assert tuple(read_item_table(folder).columns) == ITEMS
    assert tuple(read_categories(folder).columns) == CATEGORIES
    assert tuple(read_skipped(folder).columns) == SKIPPED
    assert read_thumbnails(folder).keys() >= {"row", "pixels"}


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("damage", [Path.unlink, cut, empty])
def test_a_lost_output_is_named(
    folder: RunFolder, name: str, damage: Callable[[Path], None]
) -> None:
    damage(folder.path / name)
    assert lost_output(folder) == folder.path / name


def test_a_lost_part_of_the_embedding_is_noticed(folder: RunFolder) -> None:
    with np.load(folder.embedding) as arrays:
        first = {name: array[:3] for name, array in arrays.items()}
    np.savez(folder.embedding, **first)
    assert lost_output(folder) == folder.embedding


@pytest.mark.parametrize("damage", [Path.unlink, cut, empty])
def test_a_page_cut_short_is_not_whole(folder: RunFolder, damage: Callable[[Path], None]) -> None:
    assert has_whole_report(folder)
    damage(folder.report)
    assert not has_whole_report(folder)


def test_categories_that_lack_rows_are_lost(folder: RunFolder) -> None:
    pd.read_csv(folder.categories).iloc[:-1].to_csv(folder.categories, index=False)
    assert lost_output(folder) == folder.categories
    with pytest.raises(RunFolderError, match=r"has 1 of 2 categories"):
        read_categories(folder)


def test_a_table_without_a_column_is_lost(folder: RunFolder) -> None:
    read_item_table(folder).drop(columns="second").to_parquet(folder.items)
    assert lost_output(folder) == folder.items
    with pytest.raises(RunFolderError, match=r"lacks second\. Delete it, if it is there"):
        read_item_table(folder)
    pd.read_csv(folder.categories).drop(columns="size").to_csv(folder.categories, index=False)
    with pytest.raises(RunFolderError, match=r"lacks size\. Delete it, if it is there"):
        read_categories(folder)
