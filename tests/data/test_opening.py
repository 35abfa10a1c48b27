"""Each way to give data ends in the same columns, and each mistake in words that cure it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from newfound.data.built_in import digits_catalogue
from newfound.data.catalogue import Catalogue
from newfound.data.clips import ClipFiles
from newfound.data.images import FileImages
from newfound.data.naming import unique_names
from newfound.data.new_items import NewItems, open_new_items
from newfound.data.opening import open_catalogue
from newfound.data.source import Kind
from newfound.data.texts import Texts
from newfound.data.words import printable
from newfound.errors import InputError
from support.made_layouts import LAYOUT_NAMES, ODD_NAMES, made_of, write_image, write_layout
from support.made_shards import write_shards


def write_classes(root: Path, *names: str, images: int = 2) -> Path:
    for name in names:
        for i in range(images):
            write_image(root / name / f"{i}.png")
    return root


def columns(catalogue: Catalogue) -> dict[str, int]:
    return dict(zip(catalogue.names.tolist(), catalogue.labels.tolist()))


# Folders


def test_class_folders_without_files_are_told_of(tmp_path: Path) -> None:
    assert open_catalogue(write_layout(tmp_path))[0].warnings == ()
    for name in ("emu", "ape"):
        (tmp_path / "labelled" / name).mkdir()
    catalogue, _ = open_catalogue(tmp_path)
    assert catalogue.class_names == ("cat", "dog")
    assert [warning for warning in catalogue.warnings if "no images lie in these" in warning] == [
        "no images lie in these class folders, which are left out: 'ape', 'emu'"
    ]


def test_a_folder_of_labelled_and_unlabelled(tmp_path: Path) -> None:
    catalogue, truth = open_catalogue(write_layout(tmp_path))
    assert truth is None
    assert catalogue.names.tolist() == LAYOUT_NAMES
    assert catalogue.labels.tolist() == [0, 0, 1, 1, -1, -1, -1]
    assert catalogue.class_names == ("cat", "dog")
    assert catalogue.labels.dtype == np.int64
    assert catalogue.labelled.tolist() == [0, 1, 2, 3]
    assert catalogue.unlabelled.tolist() == [4, 5, 6]
    assert not catalogue.held_out.any()
    for i in range(len(catalogue)):
        catalogue.items.load(i, 8, 1)


def test_two_folders_of_any_place_make_the_same_catalogue(tmp_path: Path) -> None:
    write_layout(tmp_path / "data")
    whole, _ = open_catalogue(str(tmp_path / "data"))
    fingerprint = whole.fingerprint()
    (tmp_path / "data/labelled").rename(tmp_path / "known")
    (tmp_path / "data/unlabelled").rename(tmp_path / "heap")
    apart, truth = open_catalogue(None, labelled=tmp_path / "known", unlabelled=tmp_path / "heap")
    assert truth is None and columns(apart) == columns(whole)
    assert apart.fingerprint() == fingerprint


def test_class_folders_become_a_protocol_whose_truth_is_apart(tmp_path: Path) -> None:
    write_classes(tmp_path, "d", "b", "a", "c")
    catalogue, truth = open_catalogue(tmp_path, labelled_classes=2)
    assert truth is not None
    assert catalogue.class_names == ("a", "b")
    assert catalogue.labels.tolist() == [0, 0, 1, 1, -1, -1, -1, -1]
    assert truth.class_names == ("c", "d")
    assert truth.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("test_part", ["test", "val", "valid", "validation"])
def test_train_and_test_hold_out_the_known_classes_of_the_second(
    tmp_path: Path, test_part: str
) -> None:
    write_classes(tmp_path / "train", "a", "b", "c", "d", images=2)
    write_classes(tmp_path / test_part, "a", "b", "c", "d", images=1)
    catalogue, truth = open_catalogue(tmp_path, labelled_classes=2)
    assert truth is not None
    held_out = np.flatnonzero(catalogue.held_out)
    assert catalogue.names[held_out].tolist() == [f"{test_part}/a/0.png", f"{test_part}/b/0.png"]
    assert catalogue.labels[held_out].tolist() == [0, 1]
    assert len(catalogue.labelled) == 4 and len(truth.labels) == len(catalogue.unlabelled) == 4
    assert set(catalogue.trainable) == set(range(len(catalogue))) - set(held_out)


def test_words_and_numbers_that_are_none_are_named(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", "b", "c", "d")
    with pytest.raises(InputError, match="the kind is 'image'; give 'images' or 'videos'"):
        open_catalogue(tmp_path, labelled_classes=2, kind="image")  # type: ignore[arg-type]
    for number in ("2", 2.0):
        with pytest.raises(InputError, match=r"labelled_classes is .*; give a whole number, as"):
            open_catalogue(tmp_path, labelled_classes=number)  # type: ignore[arg-type]
    assert len(open_catalogue(tmp_path, labelled_classes=np.int64(2))[0]) == 8


def test_of_three_parts_the_test_is_held_out(tmp_path: Path) -> None:
    for part, images in (("train", 2), ("val", 1), ("test", 1)):
        write_classes(tmp_path / part, "a", "b", "c", "d", images=images)
    catalogue, _ = open_catalogue(tmp_path, labelled_classes=2)
    held_out = sorted(catalogue.names[catalogue.held_out].tolist())
    assert held_out == ["test/a/0.png", "test/b/0.png"]
    assert catalogue.warnings == ("the known classes are held out by test/; left out: 'val/'",)


@pytest.mark.parametrize(
    ("loose", "kinds"), [("a.png", ("images", "videos")), ("b.mp4", ("videos",))]
)
def test_what_lies_beside_class_folders_is_of_no_class(
    tmp_path: Path, loose: str, kinds: tuple[Kind, ...]
) -> None:
    write_classes(tmp_path, "a", "b", "c", "d")
    (tmp_path / loose).write_bytes(b"")
    for kind in kinds:
        with pytest.raises(InputError, match=f"outside its class folders: '{loose}'; .* move it"):
            open_catalogue(tmp_path, labelled_classes=2, kind=kind)
    if "images" not in kinds:
        assert len(open_catalogue(tmp_path, labelled_classes=2)[0]) == 8


def test_a_class_that_is_called_train_is_a_class(tmp_path: Path) -> None:
    write_classes(tmp_path, "bus", "car", "train", "tram")
    catalogue, truth = open_catalogue(tmp_path, labelled_classes=2)
    assert truth is not None
    assert catalogue.class_names == ("bus", "car") and truth.class_names == ("train", "tram")


def test_hidden_and_system_files_are_ignored_and_all_others_kept(tmp_path: Path) -> None:
    write_layout(tmp_path)
    for name in (".DS_Store", "._a.png", "Thumbs.db", ".git/x.png", "desktop.ini"):
        write_image(tmp_path / "unlabelled" / name)
        write_image(tmp_path / "labelled/cat" / name)
    (tmp_path / "labelled/notes.txt").write_text("no image, so not a mistake")
    (tmp_path / "unlabelled/notes.txt").write_text("skipped and listed when decoded")
    (tmp_path / "labelled/empty").mkdir()
    catalogue, _ = open_catalogue(tmp_path)
    assert sorted(catalogue.names) == sorted([*LAYOUT_NAMES, "unlabelled/notes.txt"])
    assert catalogue.class_names == ("cat", "dog")


def test_loops_of_links_neither_hang_nor_duplicate(tmp_path: Path) -> None:
    write_layout(tmp_path)
    (tmp_path / "unlabelled/up").symlink_to(tmp_path)
    (tmp_path / "unlabelled/again").symlink_to("deeper")
    (tmp_path / "unlabelled/aa").symlink_to(".")
    (tmp_path / "labelled/a-cat").symlink_to("cat")
    (tmp_path / "labelled/cat/loop").symlink_to("..")
    (tmp_path / "labelled/cat/dogs").symlink_to("../dog/more")
    (tmp_path / "unlabelled/self").symlink_to("self")
    catalogue, _ = open_catalogue(tmp_path)
    assert set(catalogue.names) == {*LAYOUT_NAMES, "unlabelled/self"}
    assert catalogue.class_names == ("cat", "dog")


def test_labelled_folders_may_lie_inside_the_unlabelled_one(tmp_path: Path) -> None:
    write_layout(tmp_path)
    catalogue, _ = open_catalogue(None, labelled=tmp_path / "labelled", unlabelled=tmp_path)
    n_labelled = sum(name.startswith("labelled/") for name in catalogue.names)
    assert len(catalogue) == len(LAYOUT_NAMES) and n_labelled == len(catalogue.labelled) == 4


def test_links_to_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    write_layout(tmp_path / "data")
    write_image(tmp_path / "elsewhere/z.png")
    (tmp_path / "data/unlabelled/link").symlink_to(tmp_path / "elsewhere")
    catalogue, _ = open_catalogue(tmp_path / "data")
    assert "unlabelled/link/z.png" in catalogue.names


def test_odd_names_survive(tmp_path: Path) -> None:
    write_layout(tmp_path)
    for name in ODD_NAMES:
        write_image(tmp_path / "unlabelled" / os.fsdecode(name))
    (tmp_path / "labelled/dog").rename(tmp_path / "labelled" / os.fsdecode(b"h\xe9 n"))
    catalogue, _ = open_catalogue(tmp_path)
    expected = {"unlabelled/" + name.decode("utf-8", "backslashreplace") for name in ODD_NAMES}
    assert expected <= set(catalogue.names)
    assert catalogue.class_names == ("cat", "h\\xe9 n")
    assert len(catalogue.fingerprint()) == 16
    for i in range(len(catalogue)):
        catalogue.items.load(i, 8, 1)


def test_names_stay_unique_when_one_spells_out_another(tmp_path: Path) -> None:
    write_layout(tmp_path)
    for name in (b"\xff.png", b"\\xff.png"):
        write_image(tmp_path / "unlabelled" / os.fsdecode(name))
    catalogue, _ = open_catalogue(tmp_path)
    assert len(set(catalogue.names)) == len(LAYOUT_NAMES) + 2


@pytest.mark.parametrize("missing", ["labelled", "unlabelled"])
def test_half_a_layout_names_the_layouts_and_the_flag(tmp_path: Path, missing: str) -> None:
    write_layout(tmp_path)
    (tmp_path / missing).rename(tmp_path / "other")
    with pytest.raises(InputError, match=rf"but no {missing}/.*--labelled(?s:.*)newfound reads"):
        open_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("labelled", "unlabelled", "message"),
    [
        (
            "Labelled",
            "Unlabelled",
            "rename Labelled/ to labelled/ and Unlabelled/ to unlabelled/\n",
        ),
        ("labeled", "unlabeled", "rename labeled/ to labelled/ and unlabeled/ to unlabelled/\n"),
        ("labeled", "unlabelled", "no labelled/; rename labeled/ to labelled/, or give both"),
        ("labelled", "UNLABELED", "no unlabelled/; rename UNLABELED/ to unlabelled/, or give"),
    ],
)
def test_folders_that_are_nearly_called_so_are_to_be_renamed(
    tmp_path: Path, labelled: str, unlabelled: str, message: str
) -> None:
    write_layout(tmp_path / "d")
    (tmp_path / "d/labelled").rename(tmp_path / "d" / labelled)
    (tmp_path / "d/unlabelled").rename(tmp_path / "d" / unlabelled)
    with pytest.raises(InputError, match=message) as error:
        open_catalogue(tmp_path / "d")
    assert "if these are class folders" not in str(error.value)


def test_class_folders_alone_name_the_flag(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", "b", "c", "d")
    with pytest.raises(InputError, match=r"'a', 'b', 'c' and 1 more.*--labelled-classes N"):
        open_catalogue(tmp_path)


@pytest.mark.parametrize("given", [-1, 0, 1, 3, 4, 9])
def test_labelled_classes_out_of_range(tmp_path: Path, given: int) -> None:
    write_classes(tmp_path, "a", "b", "c", "d")
    with pytest.raises(InputError, match=f"labelled_classes is {given}, .* 4 class folders"):
        open_catalogue(tmp_path, labelled_classes=given)


def test_images_outside_class_folders_are_not_lost_in_silence(tmp_path: Path) -> None:
    write_layout(tmp_path)
    write_image(tmp_path / "labelled/stray.png")
    with pytest.raises(InputError, match=r"'stray\.png'; put each into a folder"):
        open_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (["labelled/cat", "labelled/dog"], "at least two labelled classes.* has none"),
        (["labelled/cat"], "at least two labelled classes.* has only 'dog'"),
        (["unlabelled"], "no unlabelled image.*nothing to discover"),
    ],
)
def test_too_little_of_either_kind(tmp_path: Path, remove: list[str], message: str) -> None:
    write_layout(tmp_path)
    for name in remove:
        for file in sorted((tmp_path / name).rglob("*.png")):
            file.unlink()
    with pytest.raises(InputError, match=message):
        open_catalogue(tmp_path)


def test_empty_and_missing_places(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no folders of images"):
        open_catalogue(tmp_path)
    for part in ("labelled", "unlabelled"):
        (tmp_path / part).mkdir()
    with pytest.raises(InputError, match="holds no images"):
        open_catalogue(tmp_path)
    with pytest.raises(InputError, match="does not exist; did you mean 'labelled'"):
        open_catalogue(tmp_path / "labeled")
    with pytest.raises(InputError, match="does not exist; did you mean 'digits'"):
        open_catalogue("digit")
    with pytest.raises(InputError, match="does not exist"):
        open_catalogue(tmp_path / "no/such/place")
    with pytest.raises(InputError, match="cannot be opened"):
        open_catalogue(tmp_path / ("x" * 300))
    for there in ("s3://bucket/known", Path("s3://bucket/known")):
        with pytest.raises(InputError, match=r"known' is an address, .* only shards are read"):
            open_catalogue(None, labelled=there, unlabelled=tmp_path)


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_layout(tmp_path)
    really = os.scandir

    def refuse_deeper(path: str) -> Any:
        if str(path).endswith("deeper"):
            raise PermissionError(13, "Permission denied", path)
        return really(path)

    monkeypatch.setattr(os, "scandir", refuse_deeper)
    with pytest.raises(InputError, match=r"deeper' cannot be listed \(Permission denied\)"):
        open_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (None, {}, "no data given"),
        (None, {"labelled": "a"}, "go together"),
        ("a", {"labelled": "a", "unlabelled": "b"}, "replace DATA"),
        (None, {"labelled": "a", "unlabelled": "b", "labelled_classes": 2}, "leave --labelled-cl"),
        ("digits", {"labelled_classes": 3}, "leave it out"),
    ],
)
def test_options_that_do_not_fit_together(
    data: str | None, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        open_catalogue(data, **options)


@pytest.mark.parametrize("content", ["folders", "shards"])
def test_an_empty_path_is_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    write_layout(tmp_path) if content == "folders" else write_shards(tmp_path, [8])
    monkeypatch.chdir(tmp_path)
    assert len(open_catalogue(".")[0]) == len(open_new_items(".").paths) > 0
    for take in (open_catalogue, open_new_items):
        with pytest.raises(InputError, match=r"the path is empty; .* \. for the current folder"):
            take("")
    with pytest.raises(InputError, match="the path is empty"):
        open_catalogue(None, labelled="", unlabelled=tmp_path)


@pytest.mark.parametrize("kind", ["images", "videos"])
@pytest.mark.parametrize(
    "data", [pd.Series(["a"]), np.zeros((2, 8, 8), np.uint8), ["a.png"], 3, b"a.csv"]
)
def test_data_of_other_types_are_refused_with_what_may_be_given(data: Any, kind: Kind) -> None:
    with pytest.raises(InputError, match=rf"of the type {type(data).__name__}; give the path"):
        open_catalogue(data, kind=kind)


def test_three_arrays_are_refused() -> None:
    three: Any = (np.zeros((2, 8, 8), np.uint8), [0, -1], [0, 1])
    with pytest.raises(InputError, match=r"the data are 3 things; give two, \(pixels, labels\)"):
        open_catalogue(three)


def test_labelled_classes_is_refused_where_labels_are_given(tmp_path: Path) -> None:
    write_layout(tmp_path)
    with pytest.raises(InputError, match="leave --labelled-classes out"):
        open_catalogue(tmp_path, labelled_classes=2)


# Manifests


def write_manifest(root: Path, rows: Sequence[tuple[str, object]], kind: str) -> Path:
    for name, _ in rows:
        write_image(root / name)
    table = pd.DataFrame(rows, columns=["path", "label"])
    path = root / f"items{kind}"
    table.to_csv(path, index=False) if kind == ".csv" else table.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_a_manifest_gives_labels_as_text(tmp_path: Path, kind: str) -> None:
    rows = [("i/1.png", "007"), ("i/2.png", "NA"), ("i/3.png", ""), ('i/"4,\n.png', None)]
    catalogue, truth = open_catalogue(write_manifest(tmp_path, rows, kind))
    assert truth is None and catalogue.class_names == ("007", "NA")
    assert columns(catalogue) == {"i/1.png": 0, "i/2.png": 1, "i/3.png": -1, 'i/"4,\n.png': -1}
    assert isinstance(catalogue.items, FileImages)
    for i in range(len(catalogue)):
        catalogue.items.load(i, 8, 1)


def test_parquet_labels_may_be_whole_numbers(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, [("1.png", 10), ("2.png", 9), ("3.png", 0)], ".parquet")
    labels = pd.array([10, 9, None], dtype="Int64")
    pd.DataFrame({"path": ["1.png", "2.png", "3.png"], "label": labels}).to_parquet(path)
    catalogue, _ = open_catalogue(path)
    assert catalogue.class_names == ("10", "9") and catalogue.labels.tolist() == [0, 1, -1]


def test_a_manifest_may_hold_bytes_that_are_not_utf8_and_absolute_paths(tmp_path: Path) -> None:
    write_image(tmp_path / os.fsdecode(b"\xe9.png"))
    for name in ("elsewhere/b.png", "c.png"):
        write_image(tmp_path / name)
    absolute = os.fsencode(tmp_path / "elsewhere/b.png")
    content = b"\xef\xbb\xbfpath,label\n\xe9.png,x\n" + absolute + b",y\n./c.png,\n"
    (tmp_path / "items.csv").write_bytes(content)
    catalogue, _ = open_catalogue(tmp_path / "items.csv")
    assert catalogue.names.tolist() == ["\\xe9.png", os.fsdecode(absolute), "./c.png"]
    for i in range(3):
        catalogue.items.load(i, 8, 1)


def test_the_same_row_twice_counts_once(tmp_path: Path) -> None:
    rows = [("1.png", "a"), ("./1.png", "a"), ("2.png", "b"), ("3.png", "")]
    catalogue, _ = open_catalogue(write_manifest(tmp_path, rows, ".csv"))
    assert catalogue.names.tolist() == ["1.png", "2.png", "3.png"]


@pytest.mark.parametrize("second", ["b", ""])
def test_one_path_under_two_labels(tmp_path: Path, second: str) -> None:
    rows = [("1.png", "a"), ("2.png", "b"), ("x/../1.png", second), ("x/3.png", "")]
    with pytest.raises(InputError, match=rf"under two labels, 'a' and '{second}'"):
        open_catalogue(write_manifest(tmp_path, rows, ".csv"))


def test_paths_that_do_not_exist_are_counted_and_some_named(tmp_path: Path) -> None:
    lines = ["path,label", *(f"gone{i}.png,a" for i in range(5)), "items.csv,"]
    (tmp_path / "items.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"5 of 6 .*'gone0.png', 'gone1.png', .* and 2 more"):
        open_catalogue(tmp_path / "items.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "file,class\na,b\n",
            "no column path and no column label; its columns are 'file', 'class'",
        ),
        (
            "path;label\na;b\n",
            "its columns are 'path;label'; .*first line, path,label, with commas",
        ),
        ("path\tlabel\na\tb\n", "its columns are 'path.tlabel'; call them exactly so"),
        ("Path, label\na,b\n", "its columns are 'Path', ' label'; call them exactly so"),
        ("path,label,label\nitems.csv,a,b\n", "two columns called label; keep one"),
        ("path,label,path\nitems.csv,a,b\n", "two columns called path; keep one"),
        ("path,label\nitems.csv,a\n,k0\n", "no path in row 2 below its header; fill it in"),
        ("path,label\nitems.csv,a\n , \n", "no path in row 2 below its header; fill it in"),
        ("path,label\n", "has no rows"),
        ("", "cannot be read as a table"),
        ("path,label\nitems.csv,-1\n", "leave it empty for unlabelled"),
        ("path,label\nitems.csv,-1.0\n", "label -1.0; leave it empty for unlabelled"),
        ("path,label\nitems.csv,a,b\n", "cannot be read as a table"),
    ],
)
def test_tables_that_are_no_manifest(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "items.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        open_catalogue(tmp_path / "items.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_table_whose_header_is_not_utf8_is_to_be_saved_as_that(
    tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "items.csv").write_bytes("path,label,\xe9t\xe9\na,b,c\n".encode(encoding))
    with pytest.raises(InputError, match=r"is not in UTF-8 .* save it as UTF-8"):
        open_catalogue(tmp_path / "items.csv")


def test_a_row_without_a_path_is_counted_through_all_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newfound.data.tables._ROWS_AT_ONCE", 2)
    (tmp_path / "items.csv").write_text("path,label\n" + "items.csv,a\n" * 4 + ",a\n")
    with pytest.raises(InputError, match="no path in row 5 below"):
        open_catalogue(tmp_path / "items.csv")


def test_a_dataframe_is_a_table_relative_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("1.png", "b"), ("2.png", "a"), ("3.png", ""), ("1.png", "b")]
    of_file, _ = open_catalogue(write_manifest(tmp_path, rows, ".csv"))
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame(rows, columns=["path", "label"]).replace("", None)
    odd = table.set_index([table["path"].rename("p"), table["path"].rename("p")])
    for given in (
        table,
        table.set_index("path"),
        table.assign(path=table["path"].map(Path)),
        odd.assign(**{"label.1": 3}),
    ):
        of_table, truth = open_catalogue(given)
        assert truth is None and of_table.source == "the table in memory"
        assert of_table.fingerprint() == of_file.fingerprint()
    monkeypatch.chdir("/")
    with pytest.raises(InputError, match=r"3 files that .* are relative to the current folder"):
        open_catalogue(table)
    absolute = open_catalogue(table.assign(path=[tmp_path / name for name in table["path"]]))[0]
    assert absolute.labels.tolist() == [1, 0, -1]


def test_numbers_with_gaps_are_classes_by_number(tmp_path: Path) -> None:
    """A column of ints with None in it has floats."""
    for name in "123":
        write_image(tmp_path / f"{name}.png")
    paths = [str(tmp_path / f"{name}.png") for name in "123"]
    table = pd.DataFrame({"path": paths, "label": [7, 12, None]})
    assert table["label"].dtype == np.float64
    for dtype in (np.float64, np.float32, object):
        labels = table["label"].astype(np.float32).astype(dtype)
        assert open_catalogue(table.assign(label=labels))[0].class_names == ("12", "7")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"file": ["a"]}, "the table in memory has no column path and no column label"),
        ({"path": [], "label": []}, "the table in memory has no rows"),
        ({"path": ["a", ""], "label": ["x", "y"]}, "the table in memory has no path in row 2"),
        ({"path": ["a"], "label": [-1]}, "the table in memory has the label -1; leave it empty"),
    ],
)
def test_dataframes_that_are_no_manifest(table: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_catalogue(pd.DataFrame(table))
    with pytest.raises(InputError, match="in the column label the cell array"):
        open_catalogue(pd.DataFrame({"path": ["a"], "label": [np.zeros(2)]}))
    twice = pd.DataFrame([["a", "x", "a"]], columns=["path", "label", "path"])
    with pytest.raises(InputError, match="has two columns called path; keep one"):
        open_catalogue(twice)


def test_a_table_without_unlabelled_rows_says_how_to_have_some(tmp_path: Path) -> None:
    rows = [("1.png", "a"), ("2.png", "b"), ("3.png", "nan")]
    with pytest.raises(InputError, match=r"labelled 'a', 'b', 'nan'; .* with an empty label"):
        open_catalogue(write_manifest(tmp_path, rows, ".csv"))


@pytest.mark.parametrize(
    ("kind", "named", "not_named"),
    [("images", "cifar100", "kinetics400"), ("videos", "kinetics400", "digits")],
)
def test_layouts_are_those_of_the_kind(
    tmp_path: Path, kind: Kind, named: str, not_named: str
) -> None:
    wrong: list[Path | None] = [None, tmp_path, write_image(tmp_path / "a.png")]
    for data in wrong:
        with pytest.raises(InputError, match="newfound reads") as error:
            open_catalogue(data, kind=kind)
        assert named in str(error.value) and not_named not in str(error.value)
        assert ("start_seconds" in str(error.value)) == (kind == "videos")


def test_other_files_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "items.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read as a table"):
        open_catalogue(tmp_path / "items.parquet")
    with pytest.raises(InputError, match=r"neither a folder nor a table(?s:.*)newfound reads"):
        open_catalogue(write_image(tmp_path / "a.png"))
    (tmp_path / "items.csv").write_text("path,label\n")
    with pytest.raises(InputError, match="leave --labelled-classes out"):
        open_catalogue(tmp_path / "items.csv", labelled_classes=2)


# Catalogues, and files without labels


@pytest.mark.parametrize("name", ["a.png", "films/b.MP4?key=1", "table.csv"])
def test_at_an_address_only_shards_are_read(name: str) -> None:
    for take in (open_catalogue, open_new_items):
        with pytest.raises(
            InputError, match=r"is an address, and of these only shards are read: W"
        ):
            take(f"memory://{name}")


def test_a_catalogue_is_taken_as_it_is() -> None:
    catalogue = made_of([0, 1, -1])
    assert open_catalogue(catalogue) == (catalogue, None)


def test_names_that_are_made_unique_stay_so() -> None:
    names = unique_names(Texts(["\udcff", "\\xff", "\\xff (0)", "\\xff (1)", "a"]))
    assert names.are_unique and names.is_utf8 and names[4] == "a"
    assert unique_names(Texts(["x", "y"])).tolist() == ["x", "y"]


def files_of(items: NewItems) -> list[Path]:
    assert isinstance(items.contents, FileImages | ClipFiles)
    return [Path(items.contents.path(row)) for row in range(len(items.contents))]


def test_files_to_predict_need_no_labels(tmp_path: Path) -> None:
    write_layout(tmp_path)
    items = open_new_items(tmp_path)
    assert items.paths.tolist() == LAYOUT_NAMES and len(items.contents) == 7
    items = open_new_items(tmp_path / "unlabelled/a.png")
    assert items.paths.tolist() == ["a.png"]
    assert files_of(items) == [tmp_path / "unlabelled/a.png"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no files"):
        open_new_items(tmp_path / "none")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_of_files_to_predict_needs_paths_alone(tmp_path: Path, ending: str) -> None:
    """Each row is an item, those too that are there twice."""
    names = ["b.png", "a.png", "b.png"]
    for name in names:
        write_image(tmp_path / name)
    place = tmp_path / f"new{ending}"
    table = pd.DataFrame({"path": names, "label": [-1, "x", "y"]}).astype(str)
    for part in (table, table[["path"]]):
        part.to_csv(place, index=False) if ending == ".csv" else part.to_parquet(place)
        items = open_new_items(place)
        assert items.paths.tolist() == names and items.spans == {}
        assert files_of(items) == [tmp_path / name for name in names]
        called = items.called(np.array([0, 2]))
        assert called.to_dict("list") == {"path": ["b.png", "b.png"]}


@pytest.mark.parametrize(
    "column",
    [
        list,
        tuple,
        iter,
        np.array,
        pd.Index,
        lambda paths: pd.Series(paths, index=[7, 7, 9]),
        lambda paths: pd.array([*map(str, paths)], dtype="string"),
        lambda paths: [*map(os.fsencode, paths)],
        lambda paths: pd.DataFrame({"path": paths}, index=[7, 7, 9]),
    ],
)
def test_a_column_of_paths_is_a_table(tmp_path: Path, column: Callable[[list[Path]], Any]) -> None:
    paths = [tmp_path / os.fsdecode(name) for name in (b"b.png", b"caf\xe9.png", b"b.png")]
    for path in paths:
        write_image(path)
    if "string" in str(getattr(column(paths[:1] * 3), "dtype", "")):
        paths[1] = paths[0]  # whose texts are UTF-8
    given = column(paths)
    items = open_new_items(given)
    assert items.paths.tolist() == [printable(str(path)) for path in paths]
    assert files_of(items) == paths
    rows = np.array([0, 2])
    index = [7, 9] if isinstance(given, pd.Series | pd.DataFrame) else [0, 2]
    assert items.called(rows).index.tolist() == index
    with pytest.raises(InputError, match=r"in memory names 1 of 2 files that .*current folder"):
        open_new_items(column([paths[0], tmp_path / "absent.png", paths[0]]))


def test_an_index_of_paths_is_left_without_its_name(tmp_path: Path) -> None:
    """As the answers have a column of that name."""
    paths = [write_image(tmp_path / "a.png")]
    items = open_new_items(pd.DataFrame({"path": paths}).set_index("path"))
    called = items.called(np.array([0]))
    assert called.index.tolist() == paths and called.reset_index()["path"].tolist() == [
        *map(str, paths)
    ]


@pytest.mark.parametrize("kind", ["images", "videos"])
def test_nothing_to_predict_is_told(kind: Kind) -> None:
    for nothing in ([], (), iter([]), pd.Series([], dtype=str), pd.Index([]), np.zeros((0, 8, 8))):
        with pytest.raises(InputError, match=f"there are no {kind}; give at least one"):
            open_new_items(nothing, kind)
    with pytest.raises(InputError, match="the table in memory has no rows; list the files"):
        open_new_items(pd.DataFrame({"path": []}), kind)


@pytest.mark.parametrize("thing", [3, None, np.array(3), torch.tensor(3), np.uint8(3)])
def test_what_has_no_length_is_no_item(thing: Any) -> None:
    with pytest.raises(InputError, match=r"data is given as|the pixels (are|have the shape)"):
        open_new_items(thing)


def test_a_table_of_one_column_is_told_of_no_commas(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("a.png\nb.png\n")
    with pytest.raises(
        InputError, match=r"call them exactly so, in a \.csv by the first line, path$"
    ):
        open_new_items(tmp_path / "new.csv")


def test_frames_of_several_levels_and_of_no_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = pd.DataFrame(
        [["a", "x"]], columns=pd.MultiIndex.from_tuples([("path", "x"), ("l", "y")])
    )
    with pytest.raises(InputError, match="has columns of several levels; give it one"):
        open_new_items(levels)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="the current folder is gone; cd to one"):
        open_new_items(["a.png"])


def test_a_column_that_lacks_a_path_says_which(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png")
    for none in (None, np.nan, pd.NA, " "):
        with pytest.raises(InputError, match="the table in memory has no path in row 2; fill it"):
            open_new_items([path, none])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"in the column path the cell \[1, 2\]; give it one text"):
        open_new_items([path, [1, 2]])  # type: ignore[list-item]


def test_new_parts_of_films_are_items_of_their_own(tmp_path: Path) -> None:
    film = str(tmp_path / "film.mp4")
    Path(film).touch()
    table = pd.DataFrame(
        {"path": [film] * 3, "start_seconds": [0, 2.5, None], "end_seconds": [2.5, 4, None]}
    )
    items = open_new_items(table, "videos")
    assert isinstance(items.contents, ClipFiles)
    pd.testing.assert_frame_equal(items.called(np.arange(3)), table)
    np.testing.assert_array_equal(items.contents.start_seconds, table["start_seconds"])
    np.testing.assert_array_equal(items.contents.end_seconds, table["end_seconds"])
    assert items.names(np.arange(3)) == [f"{film}#0-2.5", f"{film}#2.5-4", film]
    starts = table[["path", "start_seconds"]].assign(end_seconds=None)
    called = open_new_items(starts, "videos").called(np.arange(3))
    assert called.columns.tolist() == [*starts.columns]  # which a join needs, empty or not
    whole = open_new_items(table[["path"]], "videos")
    assert whole.called(np.arange(3)).columns.tolist() == ["path"]
    assert open_new_items(table).spans == {}  # an image has no seconds


def test_what_was_opened_can_be_opened_again_with_its_truth() -> None:
    catalogue, truth = digits_catalogue()
    again, same = open_catalogue((catalogue, truth))
    assert same is truth and again.fingerprint() == catalogue.fingerprint()
    assert open_catalogue((catalogue, None)) == (catalogue, None)
    with pytest.raises(InputError, match=r"there is a list; give its newfound\.Truth"):
        open_catalogue((catalogue, [1, 2]))  # type: ignore[arg-type]
    fewer = catalogue.subset(np.arange(100))
    with pytest.raises(InputError, match="the truth is of 896 items, and the catalogue has"):
        open_catalogue((fewer, truth))
    with pytest.raises(InputError, match="the data are images, and the preset is of videos"):
        open_catalogue((catalogue, truth), kind="videos")
