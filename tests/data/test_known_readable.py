"""What was found readable is not decoded again, and what is left out is the same as ever."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from newfound.config import VideoConfig
from newfound.data import file_status, image_loader, known_readable
from newfound.data.clip_loader import read_clips
from newfound.data.clips import Clip, ClipFiles
from newfound.data.image_loader import read_images
from newfound.data.images import FileImages, ImageSource
from newfound.data.known_readable import KnownReadable
from newfound.data.skipped import Skipped
from newfound.settings import make_config
from support.made_videos import Picture, Sound, steady, tone, write_video
from support.small_run import TINY_VIDEOS

TICK_SECONDS = 0.02
PX = 8
HOW = {"px": PX}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(known_readable, "WORTH_KEEPING", 1)
    monkeypatch.setattr(file_status, "SETTLED_SECONDS", TICK_SECONDS)
    return tmp_path / "cache/newfound"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are decoded to know whether they can be."""
    names: list[str] = []
    really = image_loader.check_all

    def note(source: ImageSource, *settings: int) -> list[Skipped]:
        names.extend(Path(source.name(row)).stem for row in range(len(source)))
        return really(source, *settings)

    monkeypatch.setattr(image_loader, "check_all", note)
    return names


def images(folder: Path, bad: tuple[int, ...] = (2, 5), n: int = 8) -> FileImages:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(n)]
    for number, path in enumerate(paths):
        if number in bad:
            path.write_bytes(b"no image")
        else:
            Image.new("L", (PX, PX), number).save(path)
    time.sleep(2 * TICK_SECONDS)
    return FileImages(paths)


def read(source: ImageSource, px: int = PX) -> tuple[list[int], list[int]]:
    """The numbers in the pixels of the readable images, and the rows of the others."""
    items, skipped = read_images(source, px, 1, 0, "none", torch.device("cpu"))
    [media] = items.batches([torch.arange(len(source) - len(skipped))])
    assert media.pixels is not None
    return media.pixels[:, 0, 0, 0].tolist(), [bad.index for bad in skipped]


def test_only_the_doubtful_are_decoded(tmp_path: Path, checked: list[str]) -> None:
    source = images(tmp_path / "d")
    first = read(source)
    assert first == ([0, 1, 3, 4, 6, 7], [2, 5]) and checked == [*"01234567"]
    checked.clear()
    assert read(source) == first and checked == [*"25"], "a reason to be unreadable may go away"
    Image.new("L", (PX, PX), 2).save(tmp_path / "d/2.png")
    (tmp_path / "d/6.png").write_bytes(b"cut short")
    (tmp_path / "d/7.png").unlink()
    time.sleep(2 * TICK_SECONDS)
    checked.clear()
    assert read(source) == ([0, 1, 2, 3, 4], [5, 6, 7]) and checked == [*"2567"]
    checked.clear()
    assert read(source.subset(np.array([4, 1, 0]))) == ([4, 1, 0], []) and checked == []


def test_reasons_and_rows_are_those_of_a_whole_check(tmp_path: Path, checked: list[str]) -> None:
    source = images(tmp_path / "d", bad=(0, 3, 7))
    settings = (source, PX, 1, 0, "none", torch.device("cpu"))
    whole = image_loader.check_all(source, PX, 1, 0)
    assert read_images(*settings)[1] == read_images(*settings)[1] == whole
    assert [bad.reason for bad in whole] == ["not an image that Pillow reads"] * 3


def test_other_settings_and_versions_know_nothing(
    tmp_path: Path, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = images(tmp_path / "d", bad=())
    read(source)
    checked.clear()
    read(source)
    assert checked == []
    read(source, px=16)
    assert checked == [*"01234567"]
    checked.clear()
    monkeypatch.setattr("PIL.__version__", "another")
    read(source)
    assert checked == [*"01234567"]


def test_what_changed_just_now_is_not_known(
    tmp_path: Path, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = images(tmp_path / "d", bad=())
    monkeypatch.setattr(file_status, "SETTLED_SECONDS", 60)
    read(source)
    monkeypatch.setattr(file_status, "SETTLED_SECONDS", TICK_SECONDS)
    checked.clear()
    read(source)
    assert checked == [*"01234567"]


def test_of_few_images_nothing_is_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_readable, "WORTH_KEEPING", 9)
    read(images(tmp_path / "d", bad=()))
    assert not cache.exists()


def test_kept_images_are_decoded_without_any_of_it(tmp_path: Path, cache: Path) -> None:
    source = images(tmp_path / "d")
    _, skipped = read_images(source, PX, 1, 0, "memory", torch.device("cpu"))
    assert [bad.index for bad in skipped] == [2, 5] and not cache.exists()


def test_parts_of_a_set_do_not_forget_one_another(tmp_path: Path) -> None:
    """As in a search for settings, each trial of which reads some of the items."""
    source = images(tmp_path / "d", bad=())
    halves = [source.subset(np.arange(4)), source.subset(np.arange(4, 8))]
    for half in halves:
        KnownReadable(half, HOW).keep(np.zeros(0, dtype=np.int64))
    assert not any(len(KnownReadable(half, HOW).doubtful()) for half in halves)
    one = source.subset(np.array([7]))
    (tmp_path / "d/7.png").touch()
    time.sleep(2 * TICK_SECONDS)
    KnownReadable(one, HOW).keep(np.zeros(0, dtype=np.int64))
    assert len(KnownReadable(source, HOW).doubtful()) == 7, "nor does what is known grow on"


# ---- videos ---------------------------------------------------------------------------------


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the videos of which clips are decoded, once for each clip."""
    names: list[str] = []
    really = ClipFiles.load_clip

    def note(files: ClipFiles, i: int, *where: Any) -> Clip:
        names.append(Path(files.name(i)).stem)
        return really(files, i, *where)

    monkeypatch.setattr(ClipFiles, "load_clip", note)
    return names


def videos(folder: Path) -> ClipFiles:
    """Four of them: the second is damaged, the third has no sound."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.mp4" for number in range(4)]
    for number, path in enumerate(paths):
        sound = None if number == 2 else Sound(tone(1, rate=16_000), rate=16_000)
        write_video(path, Picture(steady(1, rate=8), 32, 24), sound)
    paths[1].write_bytes(b"no video")
    time.sleep(2 * TICK_SECONDS)
    return ClipFiles(paths)


def left_out(source: ClipFiles, cache: Any = "none", **changed: Any) -> list[tuple[int, str]]:
    config = make_config(**TINY_VIDEOS).model_copy(update=changed)
    assert isinstance(config, VideoConfig)
    _, skipped = read_clips(source, config, 0, cache, torch.device("cpu"))
    return [(bad.index, bad.reason) for bad in skipped]


BAD = [(1, "not a video that FFmpeg reads, or cut short"), (2, "no sound in it")]


@pytest.mark.parametrize("places", [None, 3])
def test_videos_are_tried_again_if_they_are_doubtful(
    tmp_path: Path, looked_at: list[str], places: int | None
) -> None:
    source = videos(tmp_path / "d")
    each = 3 if places else 1
    assert left_out(source, places=places) == BAD and looked_at == sorted([*"0123"] * each)
    looked_at.clear()
    assert left_out(source, places=places) == BAD and looked_at == sorted([*"12"] * each)
    (tmp_path / "d/0.mp4").write_bytes((tmp_path / "d/2.mp4").read_bytes())
    time.sleep(2 * TICK_SECONDS)
    looked_at.clear()
    assert left_out(source, places=places) == [(0, "no sound in it"), *BAD]
    assert looked_at == sorted([*"012"] * each)


@pytest.mark.parametrize(
    "changed",
    [
        {"missing_audio": "zeros"},
        {"clip_seconds": 0.5},
        {"px": 28},
        {"places": 2},
        {"modalities": "visual", "instance_pairs": "within", "category_pairs": "within"},
    ],
    ids=str,
)
def test_what_else_is_asked_of_videos_is_not_known(
    tmp_path: Path, looked_at: list[str], changed: dict[str, Any]
) -> None:
    source = videos(tmp_path / "d")
    expected = left_out(source, cache="memory", **changed)
    left_out(source)
    looked_at.clear()
    assert left_out(source, **changed) == expected and {*looked_at} == {*"0123"}


def test_a_part_of_a_video_is_not_known_by_another(tmp_path: Path, looked_at: list[str]) -> None:
    source = videos(tmp_path / "d")
    first = ClipFiles([source.path(0)] * 2, np.array([0.0, np.nan]), np.array([0.5, np.nan]))
    other = ClipFiles([source.path(0)] * 3, np.array([2.0, 0.0, 0.0]), np.array([3, 0.5, 0.25]))
    assert left_out(first) == []
    looked_at.clear()
    [(row, reason)] = left_out(other)
    assert row == 0 and "start at second 2" in reason
    assert len(looked_at) == 3 + 3, "two of the three parts are new"
    two = ClipFiles([source.path(0), source.path(3)], np.zeros(2), np.ones(2)).marks()
    assert two[0] != two[1]
    marks = other.marks()
    assert marks[1] == first.marks()[0] and len({*marks.tolist(), 0}) == 4


def test_kept_clips_are_decoded_whatever_is_known(
    tmp_path: Path, looked_at: list[str], cache: Path
) -> None:
    assert left_out(videos(tmp_path / "d"), cache="memory") == BAD
    assert len(looked_at) == 4 * 3 and not cache.exists()
