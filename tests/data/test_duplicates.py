"""What is labelled and unlabelled at once is told of, and nothing else."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from newfound.data import duplicates
from newfound.data.arrays import from_arrays
from newfound.data.duplicates import duplicates_in_words
from newfound.data.opening import open_catalogue
from support.made_images import made_arrays, save_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in range(4):
        place = f"labelled/{kind}" if kind < 2 else "unlabelled"
        save_images(tmp_path / place, kind, range(5))
    return tmp_path


def told(folder: Path) -> list[str]:
    return duplicates_in_words(open_catalogue(folder)[0])


@pytest.mark.parametrize("how", ["copy", "link"])
def test_a_file_that_was_copied_or_linked_to(folder: Path, how: str) -> None:
    assert told(folder) == []
    files = sorted((folder / "unlabelled").iterdir())[:3]
    for number, file in enumerate(files):
        other = folder / "labelled" / "1" / f"other name {number}.png"
        shutil.copy(file, other) if how == "copy" else other.symlink_to(file)
    [text] = told(folder)
    assert text.startswith("3 of the unlabelled images are labelled, too, such as 'unlabelled/")
    assert "which is 'labelled/1/other name 0.png'" in text


def test_a_file_in_two_classes(folder: Path) -> None:
    first, second, third = sorted((folder / "labelled" / "0").iterdir())[:3]
    shutil.copy(third, folder / "labelled" / "0" / "again in its own.png")
    assert told(folder) == []
    for name in ("copy.png", "once more.png"):
        shutil.copy(first, folder / "labelled" / "1" / name)
    shutil.copy(second, folder / "labelled" / "1" / "second.png")
    [text] = told(folder)
    assert text.startswith("5 of the labelled images are there in another class, too, such as 'la")
    assert f"'labelled/0/{first.name}', which is 'labelled/1/copy.png': what tells" in text
    shutil.copy(first, folder / "unlabelled")
    assert [text.split(",")[0] for text in told(folder)] == [
        "1 of the unlabelled images are labelled",
        "5 of the labelled images are there in another class",
    ]


def test_files_of_two_classes_that_only_begin_alike_are_none(folder: Path) -> None:
    for kind in (0, 1):
        content = bytes(2**16) + bytes([kind])
        (folder / "labelled" / str(kind) / "one.png").write_bytes(content)
    assert told(folder) == []
    (folder / "labelled" / "1" / "two.png").write_bytes(bytes(2**16 + 1))
    assert "labelled/0/one.png', which is 'labelled/1/two.png'" in told(folder)[0]


def test_of_pixels_in_two_classes() -> None:
    pixels, kinds = made_arrays((0, 1, 2, 3), 5)
    labels = np.where(kinds < 2, kinds, -1)
    pixels[labels == 1] = pixels[labels == 0]
    [text] = duplicates_in_words(from_arrays(pixels, labels))
    assert text.startswith("10 of the labelled images are there in another class, too")


def test_files_that_only_begin_alike_are_none(folder: Path) -> None:
    alike = bytes(2**16)
    (folder / "labelled" / "0" / "one.png").write_bytes(alike + b"1")
    (folder / "unlabelled" / "other.png").write_bytes(alike + b"2")
    assert told(folder) == []
    for name, end in (("two.png", b"2"), ("zero.png", b"0")):
        (folder / "labelled" / "1" / name).write_bytes(alike + end)
    assert "'unlabelled/other.png', which is 'labelled/1/two.png'" in told(folder)[0]


def test_a_table_that_names_a_file_in_two_ways(folder: Path) -> None:
    labelled = sorted((folder / "labelled").rglob("*.png"))
    rows = [f"{file},{file.parent.name}" for file in labelled]
    rows += [f"{file.relative_to(folder)}," for file in (folder / "unlabelled").iterdir()]
    table = folder / "table.csv"
    table.write_text("\n".join(["path,label", *rows]))
    assert told(table) == []
    (folder / "link").symlink_to(folder)
    again = folder / "link" / labelled[0].relative_to(folder)
    table.write_text("\n".join(["path,label", *rows, f"{again},"]))
    assert told(table)[0].startswith("1 of the unlabelled images")


def test_the_same_file_twice_of_one_kind_is_nothing(folder: Path) -> None:
    for place in ("labelled/0", "unlabelled"):
        file = next((folder / place).iterdir())
        shutil.copy(file, file.with_name("again.png"))
    (folder / "labelled" / "0" / "empty.png").touch()
    (folder / "unlabelled" / "empty.png").touch()
    assert told(folder) == []


def test_pixels_in_memory() -> None:
    pixels, kinds = made_arrays((0, 1, 2, 3), 4)
    labels = np.where(kinds < 2, kinds, -1)
    assert duplicates_in_words(from_arrays(pixels, labels)) == []
    pixels[np.flatnonzero(labels == -1)[0]] = pixels[np.flatnonzero(labels == 0)[0]]
    assert duplicates_in_words(from_arrays(pixels, labels))[0].startswith("1 of the unlabelled")


def test_parts_of_one_video_are_not_one(tmp_path: Path) -> None:
    """Nor where another film of the same size has the same parts, the other way round."""
    (tmp_path / "film.mp4").write_bytes(b"a film")
    (tmp_path / "more.mp4").write_bytes(b"b film")
    rows = ["path,label,start_seconds,end_seconds", "film.mp4,a,0,1", "more.mp4,b,1,2"]
    rows += ["film.mp4,,1,2", "more.mp4,,0,1"]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    catalogue, _ = open_catalogue(tmp_path / "table.csv", kind="videos")
    assert duplicates_in_words(catalogue) == []


def test_of_a_large_set_a_sample_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST", 2)
    files = sorted((folder / "unlabelled").iterdir())
    for number, file in enumerate(files):
        shutil.copy(file, folder / "labelled" / "0" / f"copy-{number}.png")
    [text] = told(folder)
    assert text.startswith(("1 of", "2 of"))
