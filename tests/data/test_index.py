"""What is kept between runs saves time and changes nothing else, whatever becomes of it."""

import hashlib
import json
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from newfound.data import index
from newfound.data.catalogue import Catalogue
from newfound.data.folders import Listing, files_below, list_folder
from newfound.data.index import Listings, cache_folder, keep_table, read_table
from newfound.data.opening import open_catalogue
from newfound.errors import InputError
from support.made_trees import change_tree, make_tree

TICK_SECONDS = 0.02
"""More than the clock of any file system that tests run on ticks in."""

ABOUT = {"test": ["a", "\udcff"], "format": 1}
SCHEMA = pa.schema([("number", pa.uint64()), ("name", pa.large_binary())])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, that keeps what is small and what changed a moment ago too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "WORTH_KEEPING", 1)
    monkeypatch.setattr(index, "SETTLED_SECONDS", TICK_SECONDS)
    return tmp_path / "cache/newfound"


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that are really listed."""
    names: list[str] = []

    def note(folder: str) -> Listing:
        names.append(Path(folder).name)
        return list_folder(folder)

    monkeypatch.setattr(index, "list_folder", note)
    return names


def settle() -> None:
    time.sleep(2 * TICK_SECONDS)


def from_index(root: Path) -> list[str]:
    listings = Listings(root)
    [files] = files_below([root], listings)
    listings.keep()
    return files.tolist()


def afresh(root: Path) -> list[str]:
    return files_below([root])[0].tolist()


@pytest.mark.parametrize("seed", range(40))
def test_with_the_index_is_as_without_whatever_changed(tmp_path: Path, seed: int) -> None:
    root = make_tree(tmp_path / "so/that/links/up/miss/the/cache", seed)
    for round_ in range(3):
        settle()
        assert from_index(root) == from_index(root) == afresh(root)
        change_tree(root, 100 * seed + round_)
    assert from_index(root) == afresh(root)


def test_only_what_changed_is_listed(tmp_path: Path, listed: list[str]) -> None:
    for name in ("a/1", "a/b/2", "c/3", "c/d/4", "e/5"):
        (tmp_path / "t" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / name).touch()
    settle()

    def listed_now() -> list[str]:
        listed.clear()
        assert from_index(tmp_path / "t") == afresh(tmp_path / "t")
        return sorted(listed)

    assert listed_now() == ["a", "b", "c", "d", "e", "t"]
    assert listed_now() == []
    (tmp_path / "t/c/d/6").touch()
    settle()
    assert listed_now() == ["d"] and listed_now() == []
    (tmp_path / "t/a/b").rename(tmp_path / "t/e/g")
    settle()
    assert listed_now() == ["a", "e", "g"] and listed_now() == []
    (tmp_path / "t/c/3").write_text("a file's content is no news of its folder")
    assert listed_now() == []
    os.utime(tmp_path / "t/c", (1, 1))
    settle()
    assert listed_now() == ["c"] and listed_now() == []


def test_a_change_in_the_same_tick_is_not_lost(
    tmp_path: Path, listed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that changed just now is listed again until that is past."""
    root = tmp_path / "t"
    root.mkdir()
    now = time.time_ns()
    monkeypatch.setattr(index, "_stamp", lambda _: (now, now, 1))  # the clock stands still
    monkeypatch.setattr(index, "SETTLED_SECONDS", 60)
    (root / "a").touch()
    assert from_index(root) == afresh(root)
    (root / "b").touch()
    assert from_index(root) == afresh(root) and listed == ["t", "t"]
    monkeypatch.setattr(index, "SETTLED_SECONDS", 0)
    assert from_index(root) == from_index(root) == afresh(root) and listed == ["t", "t", "t"]


def test_a_folder_is_known_by_any_way_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: list[str]
) -> None:
    root = make_tree(tmp_path / "t", 3)
    settle()
    from_index(root)
    listed.clear()
    monkeypatch.chdir(tmp_path)
    assert from_index(Path("t")) == afresh(Path("t"))
    monkeypatch.chdir(root)
    assert from_index(Path("../t")) == afresh(Path("../t"))
    assert listed == []


def test_little_is_not_kept(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "t"
    root.mkdir()
    monkeypatch.setattr(index, "WORTH_KEEPING", 3)
    for name in "ab":
        (root / name).touch()
    settle()
    from_index(root)
    assert not cache.exists()
    (root / "c").touch()
    settle()
    from_index(root)
    assert len([*cache.iterdir()]) == 1 and cache.stat().st_mode & 0o777 == 0o700


def test_what_is_known_is_not_written_again(tmp_path: Path, cache: Path) -> None:
    root = make_tree(tmp_path / "t", 3)
    settle()
    from_index(root)
    [file] = cache.iterdir()
    before = file.stat()
    from_index(root)
    assert file.stat() == before


@pytest.mark.parametrize("home", [None, "relative"])
def test_the_cache_lies_where_the_system_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME")
    if home is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", home)
    assert cache_folder() == tmp_path / ".cache/newfound"


# Tables


def table(rows: int = 500) -> pa.Table:
    numbers = np.arange(rows, dtype=np.uint64) * np.uint64(2**55)
    return pa.table(
        [numbers, [f"name {row}\udcff".encode("utf-8", "surrogateescape") for row in range(rows)]],
        schema=SCHEMA,
    )


def place(cache: Path) -> Path:
    [file] = cache.iterdir()
    return file


def test_a_table_comes_back_with_its_note() -> None:
    assert read_table(ABOUT, SCHEMA) is None
    keep_table(ABOUT, table(), note=[["x", 1], None])
    assert read_table(ABOUT, SCHEMA) == (table(), [["x", 1], None])
    assert read_table(ABOUT | {"format": 2}, SCHEMA) is None
    keep_table(ABOUT, table(3))
    assert read_table(ABOUT, SCHEMA) == (table(3), None)


def test_a_damaged_table_is_none(cache: Path) -> None:
    """A Parquet file does not notice all of it by itself."""
    keep_table(ABOUT, table(), note="n")
    whole = place(cache).read_bytes()
    chance = random.Random(0)
    for at in range(0, len(whole), 29):
        broken = bytearray(whole)
        broken[at] ^= 1 << chance.randrange(8)
        place(cache).write_bytes(broken)
        assert read_table(ABOUT, SCHEMA) is None
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        place(cache).write_bytes(whole[:length])
        assert read_table(ABOUT, SCHEMA) is None


def written(cache: Path, content: pa.Table, noted: object) -> None:
    """A file that is whole, whatever is in it."""
    metadata = {b"newfound": json.dumps(noted).encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(content.replace_schema_metadata(metadata), sink)
    sealed(cache, sink.getvalue().to_pybytes())


def sealed(cache: Path, content: bytes) -> None:
    place(cache).write_bytes(hashlib.sha256(content).digest() + content)


OURS = [ABOUT, None]
FOREIGN: dict[str, Callable[[Path], object]] = {
    "of other data": lambda cache: written(cache, table(), [{"test": "b"}, None]),
    "of other columns": lambda cache: written(cache, table().rename_columns(["a", "b"]), OURS),
    "of other types": lambda cache: written(
        cache, table().set_column(0, "number", pa.array(range(500))), OURS
    ),
    "with gaps": lambda cache: written(
        cache, table().set_column(0, "number", pa.nulls(500, pa.uint64())), OURS
    ),
    "with other notes": lambda cache: written(cache, table(), [ABOUT]),
    "without notes": lambda cache: written(cache, table(), None),
    "no table": lambda cache: sealed(cache, b"path,label\n"),
    "empty": lambda cache: sealed(cache, b""),
    "text": lambda cache: place(cache).write_text("path,label\n"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_table_is_none(cache: Path, what: str) -> None:
    keep_table(ABOUT, table())
    FOREIGN[what](cache)
    assert read_table(ABOUT, SCHEMA) is None
    keep_table(ABOUT, table())
    assert read_table(ABOUT, SCHEMA) == (table(), None)


def test_foreign_listings_are_made_anew(tmp_path: Path, cache: Path) -> None:
    root = make_tree(tmp_path / "t", 3)
    settle()
    from_index(root)
    about = Listings(root)._about
    found = read_table(about, index._LISTINGS)
    assert found is not None
    listed, _ = found
    gaps = pa.array([[None]] * len(listed), listed.schema.field("files").type)
    written(cache, listed.set_column(4, "files", gaps), [about, None])
    assert from_index(root) == afresh(root)


def test_where_nothing_can_be_written_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_tree(tmp_path / "t", 3)
    settle()
    for blocked in ("file", "file/below"):
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / blocked))
        assert from_index(root) == afresh(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "folder"))
    keep_table(ABOUT, table())
    place(tmp_path / "folder/newfound").unlink()
    index._place(ABOUT).mkdir()  # a folder in the place of the table
    keep_table(ABOUT, table())
    assert read_table(ABOUT, SCHEMA) is None

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nobody)
    assert from_index(root) == afresh(root)


def test_several_at_once_do_not_harm_one_another(tmp_path: Path, cache: Path) -> None:
    root = make_tree(tmp_path / "t", 3)
    settle()

    def several(number: int) -> bool:
        keep_table(ABOUT, table(number + 1))
        found = read_table(ABOUT, SCHEMA)
        return found is not None and found[0] == table(len(found[0])) and bool(from_index(root))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(several, range(40)))
    assert len([*cache.iterdir()]) == 2


# Catalogues


def columns(catalogue: Catalogue) -> tuple[list[object], ...]:
    paths = [catalogue.items.name(row) for row in range(len(catalogue))]  # type: ignore[union-attr]
    return catalogue.names.tolist(), catalogue.labels.tolist(), [*catalogue.class_names], paths


@pytest.mark.parametrize("seed", range(12))
def test_catalogues_are_the_same_with_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    root = tmp_path / "d"
    for number, name in enumerate(("labelled/x", "labelled/y", "train/x", "test/x", "unlabelled")):
        make_tree(root / name, 10 * seed + number)
    ways = [
        {"data": root},
        {"data": None, "labelled": root / "labelled", "unlabelled": root},
        {"data": root / "labelled/..", "labelled": None},
        {"data": root / "labelled", "labelled_classes": 2},
    ]

    def opened() -> list[object]:
        found: list[object] = []
        for way in ways:
            try:
                catalogue, _ = open_catalogue(**way)  # type: ignore[arg-type]
                found.append((*columns(catalogue), catalogue.fingerprint()))
            except InputError as error:
                found.append(str(error))
        return found

    for round_ in range(3):
        settle()
        with_index = [opened(), opened()]
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"empty {round_}"))
        assert with_index == [opened()] * 2
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        change_tree(root, 1000 * seed + round_)


def test_truth_and_held_out_items_come_from_the_index_too(
    tmp_path: Path, listed: list[str]
) -> None:
    for part in ("train", "test"):
        for name in "abcd":
            (tmp_path / "d" / part / name).mkdir(parents=True)
            (tmp_path / "d" / part / name / "1.png").touch()
    settle()
    catalogue, truth = open_catalogue(tmp_path / "d", labelled_classes=2)
    again, same_truth = open_catalogue(tmp_path / "d", labelled_classes=2)
    assert len(listed) == 8
    assert truth is not None and same_truth is not None
    assert columns(catalogue) == columns(again) and truth.labels.tolist() == [0, 1]
    assert truth.labels.tolist() == same_truth.labels.tolist()
    assert catalogue.held_out.tolist() == again.held_out.tolist() == [False] * 4 + [True] * 2
