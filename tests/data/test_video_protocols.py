"""Fake folders in the layout of Kinetics-400 and VGG-Sound, with the real numbers of classes."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from newfound.data.catalogue import Catalogue, Truth
from newfound.data.clips import ClipFiles, ClipShape
from newfound.data.opening import open_catalogue
from newfound.errors import InputError
from support.made_videos import Picture, Sound, clicks, steady, write_video

KINETICS_CLASSES = [f"doing {number:03d}" for number in range(400)]
VGGSOUND_CLASSES = [f"sound {number:03d}, loud" for number in range(309)]
Row = tuple[str, str, int, int, str]


def video_id(label: str, split: str) -> str:
    """Eleven characters with all that YouTube has: a leading dash, and underscores."""
    return f"-_{label[:2]}_{label[6:9]}_{split[:2]}"


def kinetics_rows(split: str, classes: Sequence[str] = KINETICS_CLASSES) -> list[Row]:
    return [(label, video_id(label, split), 7, 17, split) for label in reversed(classes)]


def write_kinetics(file: Path, rows: Sequence[Row], *, with_licence: bool = False) -> Path:
    table = pd.DataFrame(rows, columns=["label", "youtube_id", "time_start", "time_end", "split"])
    if with_licence:
        table["is_cc"] = 0
    file.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(file, index=False)
    return file


def write_vggsound(file: Path, splits: Sequence[str] = ("train", "test")) -> Path:
    rows = [
        (video_id(label, split), 30, label, split) for label in VGGSOUND_CLASSES for split in splits
    ]
    pd.DataFrame(rows).to_csv(file, index=False, header=False)
    return file


def touch(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Kinetics-400's, with a video of each class to train on and one to validate."""
    write_kinetics(tmp_path / "tables" / "train.csv", kinetics_rows("train"))
    validate = tmp_path / "tables" / "validate.csv"
    write_kinetics(validate, kinetics_rows("validate"), with_licence=True)
    return tmp_path / "tables"


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """All of Kinetics-400's as crawlers leave them, in a folder of each class."""
    for split in ("train", "validate"):
        for label in KINETICS_CLASSES:
            name = f"{video_id(label, split)}_000007_000017.mp4"
            touch(tmp_path / "videos" / split / label / name)
    return tmp_path / "videos"


def kinetics(tables: Path, videos: Path) -> tuple[Catalogue, Truth]:
    catalogue, truth = open_catalogue("kinetics400", kind="videos", csv=tables, videos=videos)
    assert truth is not None
    return catalogue, truth


def spans(catalogue: Catalogue) -> list[tuple[float, float]]:
    assert isinstance(catalogue.items, ClipFiles)
    return [*zip(catalogue.items.start_seconds, catalogue.items.end_seconds)]


# ---- what is made of them ------------------------------------------------------------------


def test_kinetics_has_350_known_and_50_novel_classes_in_name_order(
    tables: Path, videos: Path
) -> None:
    catalogue, truth = kinetics(tables, videos)
    assert list(catalogue.class_names) == KINETICS_CLASSES[:350]
    assert list(truth.class_names) == KINETICS_CLASSES[350:]
    assert (len(catalogue.labelled), len(catalogue.unlabelled)) == (350, 50)
    assert catalogue.missing == 0
    for row in catalogue.labelled:
        label = catalogue.class_names[catalogue.labels[row]]
        assert catalogue.names[row] == (
            f"train/{label}/{video_id(label, 'train')}_000007_000017.mp4"
        )
    for row, number in zip(catalogue.unlabelled, truth.labels):
        assert truth.class_names[number] in catalogue.names[row]


def test_the_known_classes_of_the_other_split_are_held_out(tables: Path, videos: Path) -> None:
    catalogue, _ = kinetics(tables, videos)
    held_out = np.flatnonzero(catalogue.held_out)
    assert len(held_out) == 350
    assert sorted(catalogue.labels[held_out]) == list(range(350))
    assert all(name.startswith("validate/") for name in catalogue.names[held_out])


def test_vggsound_has_270_known_and_39_novel_classes(tmp_path: Path) -> None:
    table = write_vggsound(tmp_path / "vggsound.csv")
    for split in ("train", "test"):
        for label in VGGSOUND_CLASSES:
            touch(tmp_path / "videos" / f"{video_id(label, split)}_000030.mp4")
    for csv in (table, tmp_path):
        catalogue, truth = open_catalogue(
            "vggsound", kind="videos", csv=csv, videos=tmp_path / "videos"
        )
        assert truth is not None
        assert list(catalogue.class_names) == VGGSOUND_CLASSES[:270]
        assert list(truth.class_names) == VGGSOUND_CLASSES[270:]
        assert catalogue.held_out.sum() == len(catalogue.labelled) == 270
        assert np.isnan(spans(catalogue)).all()


def test_a_clip_of_vggsound_is_ten_seconds_long(tmp_path: Path) -> None:
    table = write_vggsound(tmp_path / "vggsound.csv")
    for label in VGGSOUND_CLASSES:
        touch(tmp_path / "whole" / f"{video_id(label, 'train')}.mp4")
    catalogue, _ = open_catalogue("vggsound", kind="videos", csv=table, videos=tmp_path / "whole")
    assert set(spans(catalogue)) == {(30, 40)}


def test_a_single_table_of_all_splits_will_do(tables: Path, videos: Path, tmp_path: Path) -> None:
    rows = kinetics_rows("validate") + kinetics_rows("train")
    whole, _ = kinetics(write_kinetics(tmp_path / "all.csv", rows), videos)
    parts, _ = kinetics(tables, videos)
    assert set(whole.names) == set(parts.names)
    assert whole.held_out.sum() == parts.held_out.sum()
    assert not whole.held_out[:400].any()


@pytest.mark.parametrize("name", ["val.csv", "test.csv"])
def test_the_second_table_has_several_names(tables: Path, videos: Path, name: str) -> None:
    (tables / "validate.csv").rename(tables / name)
    assert kinetics(tables, videos)[0].held_out.sum() == 350


@pytest.mark.parametrize(
    ("name", "ending", "span"),
    [
        ("{}_000007_000017", "mkv", None),
        ("any/where/{}_000007_000017", "MP4", None),
        ("{}_000007", "avi", None),
        ("{}", "webm", (7, 17)),
        ("whole/{}", "mov", (7, 17)),
    ],
)
def test_files_have_several_names(
    tables: Path, tmp_path: Path, name: str, ending: str, span: tuple[int, int] | None
) -> None:
    for label in KINETICS_CLASSES:
        touch(tmp_path / "here" / f"{name.format(video_id(label, 'train'))}.{ending}")
    catalogue, _ = kinetics(tables, tmp_path / "here")
    assert len(catalogue) == 400
    if span is None:
        assert np.isnan(spans(catalogue)).all()
    else:
        assert set(spans(catalogue)) == {span}
        assert all(name.endswith(f".{ending}#7-17") for name in catalogue.names)


def test_a_clip_is_preferred_to_the_whole_video(tables: Path, videos: Path) -> None:
    touch(videos / f"{video_id(KINETICS_CLASSES[0], 'train')}.mp4")
    assert np.isnan(spans(kinetics(tables, videos)[0])).all()


def test_other_seconds_other_endings_and_hidden_files_are_no_videos(
    tables: Path, videos: Path
) -> None:
    first = KINETICS_CLASSES[0]
    wanted = videos / "train" / first / f"{video_id(first, 'train')}_000007_000017.mp4"
    wanted.rename(wanted.with_name(wanted.name.replace("000017", "000018")))
    touch(wanted.with_suffix(".part"))
    touch(wanted.with_suffix(".mp4.part"))
    touch(wanted.with_name("." + wanted.name))
    assert kinetics(tables, videos)[0].missing == 1


def test_what_is_missing_is_counted_and_classes_without_files_go(
    tables: Path, videos: Path
) -> None:
    for number in (0, 399):
        label = KINETICS_CLASSES[number]
        (videos / "train" / label / f"{video_id(label, 'train')}_000007_000017.mp4").unlink()
    label = KINETICS_CLASSES[1]
    (videos / "validate" / label / f"{video_id(label, 'validate')}_000007_000017.mp4").unlink()
    catalogue, truth = kinetics(tables, videos)
    assert list(catalogue.class_names) == KINETICS_CLASSES[1:350]
    assert list(truth.class_names) == KINETICS_CLASSES[350:399]
    assert catalogue.missing == 3
    assert catalogue.held_out.sum() == 348
    assert truth.labels.tolist() == [int(name[12:15]) - 350 for name in unlabelled_names(catalogue)]


def unlabelled_names(catalogue: Catalogue) -> list[str]:
    return [str(name) for name in catalogue.names[catalogue.unlabelled]]


def test_a_row_that_is_there_twice_is_taken_once(tables: Path, videos: Path) -> None:
    rows = kinetics_rows("train")
    write_kinetics(tables / "train.csv", [*rows, *rows[:5]])
    catalogue, _ = kinetics(tables, videos)
    assert (len(catalogue), catalogue.missing) == (750, 0)


@pytest.mark.parametrize("name", ["{}.mp4", "{}_000007.mp4"])
def test_a_row_with_two_labels_is_refused(tables: Path, tmp_path: Path, name: str) -> None:
    rows = kinetics_rows("train")
    label, video, *rest = rows[-4]
    write_kinetics(tables / "train.csv", [*rows, ("doing 005", video, *rest)])
    for _, one, *_ in [*rows[:2], *rows[-9:]]:
        touch(tmp_path / "here" / name.format(one))
    message = refused("kinetics400", tables, tmp_path / "here")
    assert f"the same seconds of '{video}' under two labels, '{label}' and 'doing 005'" in message
    assert "keep one of the rows" in message
    (tmp_path / "here" / name.format(video)).unlink()
    assert len(kinetics(tables, tmp_path / "here")[0]) == 10, (
        "a video that is not there is no matter"
    )


def test_two_parts_of_one_video_are_two_items(tables: Path, tmp_path: Path) -> None:
    rows = kinetics_rows("train")
    label, video, *_ = rows[0]
    write_kinetics(tables / "train.csv", [*rows, (label, video, 20, 30, "train")])
    for _, one, *_ in rows:
        touch(tmp_path / "whole" / f"{one}.webm")
    catalogue, _ = kinetics(tables, tmp_path / "whole")
    names = [name for name in catalogue.names if name.startswith(video)]
    assert names == [f"{video}.webm#7-17", f"{video}.webm#20-30"]


def test_seconds_point_into_whole_videos(tables: Path, tmp_path: Path) -> None:
    """A real file of four seconds, from second 1 to 3: the click at 2 is half-way through."""
    rows = [(*row[:2], 1, 3, row[4]) for row in kinetics_rows("train")]
    write_kinetics(tables / "train.csv", rows)
    (tmp_path / "whole").mkdir()
    for _, video, *_ in (rows[0], rows[-1], rows[-2]):
        write_video(
            tmp_path / "whole" / f"{video}.mp4", Picture(steady(4)), Sound(clicks(4, [2.0]))
        )
    catalogue, _ = kinetics(tables, tmp_path / "whole")
    assert len(catalogue) == 3
    assert isinstance(catalogue.items, ClipFiles)
    shape = ClipShape(frames=2, side=16, sound_seconds=1.0, sound_offset_seconds=0.0)
    clip = catalogue.items.load_clip(0, 0.5, 0.5, shape)
    assert clip.sound is not None
    assert abs(int(clip.sound.abs().argmax()) / 16_000 - 0.5) < 0.02


def test_a_quarter_of_a_million_rows_take_seconds(tmp_path: Path) -> None:
    """The size of Kinetics-400's training split; the files of a tenth of it are there."""
    classes = np.arange(240_000) % 400
    ids = [f"{row:011d}" for row in range(len(classes))]
    table = pd.DataFrame({"label": np.array(KINETICS_CLASSES)[classes], "youtube_id": ids})
    table = table.assign(time_start=3, time_end=13, split="train")
    (tmp_path / "videos").mkdir()
    table.to_csv(tmp_path / "train.csv", index=False)
    for video in ids[:24_000]:
        (tmp_path / "videos" / f"{video}_000003_000013.mp4").touch()
    began = time.monotonic()
    catalogue, _ = kinetics(tmp_path / "train.csv", tmp_path / "videos")
    assert time.monotonic() - began < 10
    assert (len(catalogue), catalogue.missing) == (24_000, 216_000)


# ---- what is wrong with them ---------------------------------------------------------------


def refused(name: str, csv: Path | None, videos: Path | None) -> str:
    with pytest.raises(InputError) as error:
        open_catalogue(name, kind="videos", csv=csv, videos=videos)
    return str(error.value)


def test_both_places_are_needed(tables: Path, videos: Path) -> None:
    for csv, folder in ((None, videos), (tables, None)):
        assert "give --csv TABLES and --videos DIR" in refused("kinetics400", csv, folder)
    assert "does not exist" in refused("kinetics400", tables / "no", videos)
    assert "does not exist" in refused("kinetics400", tables, videos / "no")


def test_the_places_go_with_the_sets_alone(tables: Path, videos: Path) -> None:
    assert "go with kinetics400 and vggsound" in refused(str(videos), tables, videos)


def test_a_folder_without_the_table(tmp_path: Path, videos: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no train.csv" in refused("kinetics400", tmp_path / "empty", videos)
    assert "holds no vggsound.csv" in refused("vggsound", tmp_path / "empty", videos)


def test_one_for_the_other(tables: Path, videos: Path, tmp_path: Path) -> None:
    vggsound = write_vggsound(tmp_path / "vggsound.csv")
    assert "has no column youtube_id" in refused("kinetics400", vggsound, videos)
    assert "has 5 columns" in refused("vggsound", tables / "train.csv", videos)


def test_incomplete_tables(tables: Path, videos: Path) -> None:
    write_kinetics(tables / "train.csv", kinetics_rows("train", KINETICS_CLASSES[:399]))
    (tables / "validate.csv").unlink()
    assert "has 399 classes, and Kinetics-400 has 400" in refused("kinetics400", tables, videos)


@pytest.mark.parametrize("part", ["", "\0\1\2", '"'])
def test_no_tables(tables: Path, videos: Path, part: str) -> None:
    (tables / "train.csv").write_text(part)
    message = refused("kinetics400", tables, videos)
    assert "cannot be read as a table" in message or "has no column" in message


@pytest.mark.parametrize(
    "line", ["doing 000,abc,x,17,train", "doing 000,abc,7,5,train", "doing 000,abc,7,17,trial"]
)
def test_a_row_that_makes_no_sense(tables: Path, videos: Path, line: str) -> None:
    with (tables / "train.csv").open("a") as file:
        file.write(line + "\n")
    message = refused("kinetics400", tables, videos)
    assert "makes no sense at row 401 of 401" in message
    assert "abc" in message


def test_a_table_that_was_cut_short(tables: Path, videos: Path) -> None:
    text = (tables / "train.csv").read_text()
    (tables / "train.csv").write_text(text[:-12])
    assert "makes no sense at row 400" in refused("kinetics400", tables, videos)


def test_no_file_at_all(tables: Path, tmp_path: Path) -> None:
    touch(tmp_path / "other" / "holiday.mp4")
    message = refused("kinetics400", tables, tmp_path / "other")
    assert "none of the videos to train on" in message
    assert "<youtube_id>_000010_000020.mp4" in message
