"""Tables of videos: which seconds of a file an item is."""

import csv
import os
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from newfound.data.catalogue import Catalogue
from newfound.data.clips import ClipFiles
from newfound.data.images import FileImages
from newfound.data.manifest import Listed, read_manifest, read_truth
from newfound.data.opening import open_catalogue
from newfound.data.tables import GivenTable
from newfound.data.words import printable
from newfound.errors import InputError

HEADER = "path,label,start_seconds,end_seconds"
KINDS = pytest.mark.parametrize("ending", [".csv", ".parquet"])


def listed(folder: Path, *lines: str, header: str = HEADER, spans: bool = True) -> Listed:
    return read_manifest(GivenTable(write(folder, *lines, header=header)), spans)


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    for name in "abcd":
        (folder / f"{name}.mp4").touch()
    table = folder / "videos.csv"
    table.write_text("\n".join([header, *lines]) + "\n")
    return table


def labels_of(read: Listed) -> list[str]:
    return [(*read.class_names, "")[number] for number in read.labels]


def clips(catalogue: Catalogue) -> ClipFiles:
    assert isinstance(catalogue.items, ClipFiles)
    return catalogue.items


@KINDS
def test_rows_have_their_seconds(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"videos{ending}"
    table = pd.DataFrame(
        {
            "path": ["a.mp4", "b.mp4", "c.mp4", "d.mp4"],
            "label": ["x", "y", None, None],
            "start_seconds": [None, 1.5, 0, None],
            "end_seconds": [None, 3, None, 12.25],
        }
    )
    write(tmp_path)
    table.to_csv(path, index=False) if ending == ".csv" else table.to_parquet(path)
    read = read_manifest(GivenTable(path), spans=True)
    np.testing.assert_array_equal(read.start_seconds, [np.nan, 1.5, 0, np.nan])
    np.testing.assert_array_equal(read.end_seconds, [np.nan, 3, np.nan, 12.25])
    assert read.start_seconds.dtype == read.end_seconds.dtype == np.float64
    assert [*read.names] == ["a.mp4", "b.mp4#1.5-3", "c.mp4#0-", "d.mp4#-12.25"]
    assert labels_of(read) == ["x", "y", "", ""]
    assert [Path(file).name for file in read.files] == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]


@pytest.mark.parametrize(
    ("header", "line", "name"),
    [
        ("path,label", "a.mp4,x", "a.mp4"),
        ("path,label,end_seconds", "a.mp4,x,3", "a.mp4#-3"),
        ("start_seconds,path,label", "3,a.mp4,x", "a.mp4#3-"),
        (HEADER, "a.mp4,x, ,", "a.mp4"),  # blank is empty
        (HEADER, "a.mp4,x,1e1,2E1", "a.mp4#10-20"),
        (HEADER, "a.mp4,x,1234.5678,1234.5679", "a.mp4#1234.5678-1234.5679"),
    ],
)
def test_columns_and_cells_may_be_absent(tmp_path: Path, header: str, line: str, name: str) -> None:
    assert listed(tmp_path, line, header=header).names.tolist() == [name]


@pytest.mark.parametrize("at", [1, 5, 12])
def test_a_row_that_ends_early_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """It may be of a labelled item whose label is lost; what is no column of ours may be absent."""
    monkeypatch.setattr("newfound.data.tables._ROWS_AT_ONCE", 5)
    names = [f"{number}.mp4" for number in range(1, 13)]
    for name in names:
        (tmp_path / name).touch()
    table = tmp_path / "videos.csv"
    lines = [f"{name},x,7" if name != f"{at}.mp4" else name for name in names]
    table.write_text("\n".join(["path,label,notes", *lines]))
    with pytest.raises(InputError, match=f"has 1 of 2 cells in row {at} below its header; put"):
        read_manifest(GivenTable(table), spans=True)
    table.write_text("\n".join(["path,label,notes", *(f"{name}," for name in names)]))
    assert labels_of(read_manifest(GivenTable(table), spans=True)) == [""] * 12


def test_blank_lines_quotes_and_line_ends_are_no_early_ends(tmp_path: Path) -> None:
    for name in ("a,1.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).touch()
    table = tmp_path / "videos.csv"
    rows = ["\ufeffpath,label", "", '"a,1.mp4","x\ny"', "   ", "b.mp4,", "\t", '"c.mp4",""', ""]
    for end in ("\n", "\r\n", "\r"):
        table.write_bytes(end.join(rows).encode())
        read = read_manifest(GivenTable(table), spans=True)
        assert (len(read.names), labels_of(read)) == (3, ["x\ny", "", ""])
    table.write_text('path,label\na.mp4,"' + 200_000 * "x" + "\nb.mp4,y\n")
    with pytest.raises(InputError, match=r"cannot be read as a table: .* each quote closed"):
        read_manifest(GivenTable(table), spans=True)


@pytest.mark.parametrize("drop", [True, False])
@pytest.mark.parametrize("index", ["path", "label", "start_seconds", ["label", "path"], "other"])
def test_a_column_may_be_the_index_of_a_parquet(
    tmp_path: Path, index: str | list[str], drop: bool
) -> None:
    write(tmp_path)
    paths = ["a.mp4", "b.mp4"]
    columns = {"path": paths, "label": ["x", None], "start_seconds": [1, 2], "other": [3, 4]}
    table = pd.DataFrame(columns).set_index(index, drop=drop)
    table.to_parquet(tmp_path / "videos.parquet")
    read = read_manifest(GivenTable(tmp_path / "videos.parquet"), spans=True)
    assert [*read.names] == ["a.mp4#1-", "b.mp4#2-"]
    assert labels_of(read) == ["x", ""]


def test_one_file_may_be_several_items(tmp_path: Path) -> None:
    lines = ["a.mp4,x,0,10", "a.mp4,y,10,20", "a.mp4,,20,", "./a.mp4,x,0,10", "a.mp4,,,"]
    table = write(tmp_path, *lines, "b.mp4,y,,")
    read = read_manifest(GivenTable(table), spans=True)
    assert [*read.names] == ["a.mp4#0-10", "a.mp4#10-20", "a.mp4#20-", "a.mp4", "b.mp4"]
    assert labels_of(read) == ["x", "y", "", "", "y"]
    assert len(set(read.files)) == 2

    catalogue, truth = open_catalogue(table, kind="videos")
    assert truth is None
    assert catalogue.names.tolist() == read.names.tolist()
    assert catalogue.labels.tolist() == [0, 1, -1, -1, 1]
    source = clips(catalogue)
    np.testing.assert_array_equal(source.start_seconds, [0, 10, 20, np.nan, np.nan])
    np.testing.assert_array_equal(source.end_seconds, [10, 20, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(clips(catalogue.subset(np.array([2, 0]))).start_seconds, [20, 0])


def test_other_seconds_are_other_data(tmp_path: Path) -> None:
    """A run must not go on with other pieces of the same files."""
    lines = ["a.mp4,x,0,10", "b.mp4,y,,", "c.mp4,,,"]
    before = open_catalogue(write(tmp_path, *lines), kind="videos")[0]
    again = open_catalogue(write(tmp_path, *lines), kind="videos")[0]
    other = open_catalogue(write(tmp_path, "a.mp4,x,0,11", *lines[1:]), kind="videos")[0]
    assert before.fingerprint() == again.fingerprint() != other.fingerprint()


def test_the_same_seconds_under_two_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'a\.mp4' under two labels, 'x' and 'y'"):
        listed(tmp_path, "a.mp4,x,1,2", "a.mp4,y,1.0,2.0")


@pytest.mark.parametrize("cell", ["ten", "1:30", "nan", "inf", "-inf", "1;5"])
@pytest.mark.parametrize("column", ["start_seconds", "end_seconds"])
def test_seconds_that_are_no_numbers_are_named(tmp_path: Path, column: str, cell: str) -> None:
    line = f"a.mp4,x,{cell}," if column == "start_seconds" else f"a.mp4,x,,{cell}"
    with pytest.raises(InputError, match=rf"videos\.csv' has '{cell}' in the column {column}; "):
        listed(tmp_path, "b.mp4,y,1,2", line)


@pytest.mark.parametrize("span", ["-1,5", "5,5", "5,3", ",0", "-1,"])
def test_spans_that_run_backwards_are_named(tmp_path: Path, span: str) -> None:
    table = write(tmp_path, f"a.mp4,x,{span}", "b.mp4,y,,", "c.mp4,,,")
    with pytest.raises(InputError, match=r"a\.mp4 is to be used from second .* to "):
        open_catalogue(table, kind="videos")


def test_absent_files_are_counted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"names 1 of 2 files that do not exist: 'gone\.mp4';"):
        listed(tmp_path, "gone.mp4,x,0,1", "gone.mp4,x,1,2", "a.mp4,y,,")


def test_of_images_seconds_say_nothing(tmp_path: Path) -> None:
    """They are columns like any other: the same image twice is one item, as it always was."""
    lines = ["a.mp4,x,0,1", "a.mp4,x,1,2", "b.mp4,y,ten,", "c.mp4,,,"]
    table = write(tmp_path, *lines)
    catalogue, _ = open_catalogue(table)
    assert isinstance(catalogue.items, FileImages)
    assert catalogue.names.tolist() == ["a.mp4", "b.mp4", "c.mp4"]
    assert listed(tmp_path, *lines, spans=False).names.tolist() == ["a.mp4", "b.mp4", "c.mp4"]


def test_images_in_memory_are_no_videos() -> None:
    with pytest.raises(InputError, match="the data are images, and the preset is of videos"):
        open_catalogue((np.zeros((3, 8, 8), np.uint8), [0, 1, -1]), kind="videos")


def test_a_catalogue_knows_what_it_holds(tmp_path: Path) -> None:
    table = write(tmp_path, "a.mp4,x,,", "b.mp4,y,,", "c.mp4,,,")
    videos, _ = open_catalogue(table, kind="videos")
    assert open_catalogue(videos, kind="videos")[0] is videos
    with pytest.raises(InputError, match="the data are videos, and the preset is of images"):
        open_catalogue(videos)


# Many rows


def read_slowly(table: Path, spans: bool) -> tuple[list[str], list[str], list[str]] | str:
    """The slow twin of `read_manifest`: names, files and labels row by row, or an item under two
    labels."""
    label_of: dict[tuple[str, str, str], str] = {}
    name_of: dict[tuple[str, str, str], str] = {}
    with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for row in csv.DictReader(file):
            seconds = [row["start_seconds"], row["end_seconds"]] if spans else ["", ""]
            seconds = [f"{float(cell):g}" if cell else "" for cell in seconds]
            item = (os.path.normpath(table.parent / row["path"]), *seconds)
            if label_of.setdefault(item, row["label"]) != row["label"]:
                return row["path"]
            name_of.setdefault(
                item, row["path"] + (f"#{'-'.join(seconds)}" if any(seconds) else "")
            )
    return [*name_of.values()], [file for file, _, _ in name_of], [*label_of.values()]


@pytest.mark.parametrize("seed", range(30))
def test_a_table_read_in_parts_is_what_its_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("newfound.data.tables._ROWS_AT_ONCE", 7)
    chance = random.Random(seed)
    names = ["a.mp4", "b.mp4", "./a.mp4", "d/../c.mp4", "d/e\udcff.mp4", "d//f, g.mp4"]
    names += [str(tmp_path / "a.mp4"), "../outside.mp4" if seed % 3 else "d.mp4"]
    (tmp_path / "t/d").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "t"):
        for name in ("a", "b", "c", "d", "outside", "t/d/e\udcff", "t/d/f, g"):
            file = folder / f"{name}.mp4"
            file.touch() if file.parent.is_dir() else None
    sure = {name: chance.choice(["x", "y\udcff", "10", "9", ""]) for name in names}
    sure["./a.mp4"] = sure["a.mp4"]
    rows = []
    for _ in range(chance.randint(1, 40)):
        name = chance.choice(names)
        label = sure[name] if chance.random() < 0.99 else "z"
        rows.append(
            [name, label, chance.choice(["", "1", "1.0", "0"]), chance.choice(["", "2", "3.5"])]
        )
    table = tmp_path / "t/videos.csv"
    with table.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows([HEADER.split(","), *rows])
    monkeypatch.chdir(table.parent)
    frame = pd.DataFrame(rows, columns=HEADER.split(","), dtype=object)
    of_bytes = table.with_suffix(".parquet")
    frame.map(os.fsencode).to_parquet(of_bytes)
    for spans in (False, True):
        expected = read_slowly(table, spans)
        if isinstance(expected, str):
            with pytest.raises(InputError, match=re.escape(f"{printable(expected)!r} under two")):
                read_manifest(GivenTable(table), spans)
            continue
        read = read_manifest(GivenTable(table), spans)
        assert_same_rows(read, read_manifest(GivenTable(frame), spans))
        assert_same_rows(read, read_manifest(GivenTable(of_bytes), spans))
        labels = [printable(label) for label in expected[2]]
        assert (read.names.tolist(), read.files.tolist(), labels_of(read)) == (
            *expected[:2],
            labels,
        )
        assert list(read.class_names) == [printable(x) for x in sorted({*expected[2]} - {""})]
        catalogue_names = [printable(name) for name in expected[0]]
        if len(read.class_names) > 1 and "" in expected[2]:
            assert open_names(table, spans) == catalogue_names


def assert_same_rows(one: Listed, other: Listed) -> None:
    assert one.names.tolist() == other.names.tolist()
    assert one.files.tolist() == other.files.tolist()
    assert labels_of(one) == labels_of(other) and one.seconds == other.seconds
    np.testing.assert_array_equal(one.start_seconds, other.start_seconds)
    np.testing.assert_array_equal(one.end_seconds, other.end_seconds)


def open_names(table: Path, spans: bool) -> list[str]:
    return open_catalogue(table, kind="videos" if spans else "images")[0].names.tolist()


@pytest.mark.parametrize(
    "name",
    [
        "start",
        "Start_Seconds",
        "start seconds",
        "START_SECOND",
        "start_sec",
        "start_s",
        "t_start",
        "start_time",
        "time_start",
        "begin",
        "begin_seconds",
        "starts",
    ],
)
def test_columns_that_are_nearly_called_seconds_are_refused(tmp_path: Path, name: str) -> None:
    """The whole of each file would be taken in place of its part."""
    refused = rf"a column '{name}' and none called start_seconds; call it exactly so"
    with pytest.raises(InputError, match=refused):
        listed(tmp_path, "a.mp4,x,1,2", header=f"path,label,{name},end_seconds")
    assert listed(tmp_path, "a.mp4,x,1", header=f"path,label,{name}", spans=False)
    with pytest.raises(InputError, match=refused):
        read_truth(GivenTable(tmp_path / "videos.csv"), spans=True)
    both = listed(tmp_path, "a.mp4,x,1,2", header=f"path,label,start_seconds,{name}")
    assert both.names.tolist() == ["a.mp4#1-"]


def test_two_columns_of_seconds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two columns called start_seconds; keep one of them"):
        listed(tmp_path, "a.mp4,x,1,2", header="path,label,start_seconds,start_seconds")
    of_images = listed(
        tmp_path, "a.mp4,x,1,2", header="path,label,start_seconds,start_seconds", spans=False
    )
    assert of_images.names.tolist() == ["a.mp4"]


@pytest.mark.parametrize("ending", [".parquet", None])
def test_text_that_is_in_no_encoding_is_refused(tmp_path: Path, ending: str | None) -> None:
    if ending is None:
        given: Any = pd.DataFrame({"path": ["\ud800"], "label": ["x"]}, dtype=object)
    else:
        given = tmp_path / f"t{ending}"
        odd = pa.array([b"\xe9.png"]).view(pa.string())
        pq.write_table(pa.table({"path": odd, "label": ["x"]}), given)
    for read in (read_manifest, read_truth):
        with pytest.raises(InputError, match="has text in the column path that is not UTF-8; save"):
            read(GivenTable(given), False)


@pytest.mark.parametrize("spans", [False, True])
def test_the_truth_of_parts_is_by_path_and_seconds(tmp_path: Path, spans: bool) -> None:
    lines = ["a.mp4,x,0,1", "a.mp4,y,1,2.5", "b.mp4,x,,", "c.mp4#3-4,y,,"]
    table = GivenTable(write(tmp_path, *lines if spans else lines[1:]))
    names = ["a.mp4#0-1", "a.mp4#1-2.5", "b.mp4", "c.mp4#3-4"]
    expected = dict(zip(names, "xyxy")) if spans else {"a.mp4": "y", "b.mp4": "x", names[3]: "y"}
    assert read_truth(table, spans) == expected
