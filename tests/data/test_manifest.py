"""Tables of videos: which seconds of a file an item is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from newfound.data.catalogue import Catalogue, open_catalogue
from newfound.data.clips import ClipFiles
from newfound.data.images import FileImages
from newfound.data.manifest import Listed, read_manifest
from newfound.errors import InputError

HEADER = "path,label,start_seconds,end_seconds"
KINDS = pytest.mark.parametrize("ending", [".csv", ".parquet"])


def listed(folder: Path, *lines: str, header: str = HEADER, spans: bool = True) -> Listed:
    return read_manifest(write(folder, *lines, header=header), spans)


def write(folder: Path, *lines: str, header: str = HEADER) -> Path:
    for name in "abcd":
        (folder / f"{name}.mp4").touch()
    table = folder / "videos.csv"
    table.write_text("\n".join([header, *lines]) + "\n")
    return table


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
    read = read_manifest(path, spans=True)
    np.testing.assert_array_equal(read.start_seconds, [np.nan, 1.5, 0, np.nan])
    np.testing.assert_array_equal(read.end_seconds, [np.nan, 3, np.nan, 12.25])
    assert read.start_seconds.dtype == read.end_seconds.dtype == np.float64
    assert read.names == ["a.mp4", "b.mp4#1.5-3", "c.mp4#0-", "d.mp4#-12.25"]
    assert read.labels == ["x", "y", "", ""]
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
    assert listed(tmp_path, line, header=header).names == [name]


def test_one_file_may_be_several_items(tmp_path: Path) -> None:
    lines = ["a.mp4,x,0,10", "a.mp4,y,10,20", "a.mp4,,20,", "./a.mp4,x,0,10", "a.mp4,,,"]
    table = write(tmp_path, *lines, "b.mp4,y,,")
    read = read_manifest(table, spans=True)
    assert read.names == ["a.mp4#0-10", "a.mp4#10-20", "a.mp4#20-", "a.mp4", "b.mp4"]
    assert read.labels == ["x", "y", "", "", "y"]
    assert len(set(read.files)) == 2

    catalogue, truth = open_catalogue(table, kind="videos")
    assert truth is None
    assert catalogue.names.tolist() == read.names
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
    assert listed(tmp_path, *lines, spans=False).names == ["a.mp4", "b.mp4", "c.mp4"]


def test_images_in_memory_are_no_videos() -> None:
    with pytest.raises(InputError, match="the data are images, and the preset is of videos"):
        open_catalogue((np.zeros((3, 8, 8), np.uint8), [0, 1, -1]), kind="videos")


def test_a_catalogue_knows_what_it_holds(tmp_path: Path) -> None:
    table = write(tmp_path, "a.mp4,x,,", "b.mp4,y,,", "c.mp4,,,")
    videos, _ = open_catalogue(table, kind="videos")
    assert open_catalogue(videos, kind="videos")[0] is videos
    with pytest.raises(InputError, match="the data are videos, and the preset is of images"):
        open_catalogue(videos)
