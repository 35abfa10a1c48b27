"""New items are decoded once and in order, and what cannot be used is told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from newfound.data.clips import ClipFiles
from newfound.data.image_loader import decode_all
from newfound.data.images import ArrayImages, FileImages
from newfound.data.one_pass import OnePass
from newfound.data.reading import read_items
from newfound.settings import make_config
from support.made_images import save_images
from support.made_videos import Picture, Sound, steady, tone, write_video
from support.small_run import TINY_VIDEOS, tiny_config

CPU = torch.device("cpu")
IMAGES = tiny_config(channels=3)


@pytest.fixture
def photos(tmp_path: Path) -> FileImages:
    """100 images in all; every seventh is none."""
    paths = [path for kind in range(4) for path in save_images(tmp_path, kind, range(25))]
    for path in paths[::7]:
        path.write_text("no image")
    return FileImages(paths)


def counted(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> list[Any]:
    """The first arguments of all calls to come of a method."""
    calls: list[Any] = []
    original = getattr(kind, name)

    def call(self: Any, i: int, *more: Any) -> Any:
        calls.append(i)
        return original(self, i, *more)

    monkeypatch.setattr(kind, name, call)
    return calls


@pytest.mark.parametrize("workers", [0, 1])
def test_images_come_as_they_lie_and_the_others_are_told(photos: FileImages, workers: int) -> None:
    one_pass = OnePass(photos, IMAGES, workers, pin=False, batch=40)
    batches = list(one_pass)
    expected, skipped = decode_all(photos, IMAGES.px, 3, workers=0)
    assert torch.equal(torch.cat([media.pixels for media in batches]), expected)
    assert one_pass.skipped == skipped and len(skipped) == 15
    assert all(24 < len(media) <= 40 for media in batches[:-1])
    assert one_pass.clips == 1


def test_each_image_is_decoded_once_shortly_before_it_is_seen(
    photos: FileImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = counted(monkeypatch, FileImages, "load")
    done: list[int] = []
    batches = iter(
        OnePass(photos, IMAGES, 0, False, lambda n, total: done.append(n * (total == 100)), 32)
    )
    next(batches)
    assert len(decoded) == 48  # the first batch, and what no longer fits into it
    assert done == []
    assert len(list(batches)) == 2
    assert decoded == list(range(100))
    assert done == sorted(done) and len(done) == 4 and done[-1] == 100


def test_where_no_image_is_one_there_is_no_batch(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    done: list[tuple[int, int]] = []
    one_pass = OnePass(
        FileImages([tmp_path / "a.png"]), IMAGES, 0, False, lambda *progress: done.append(progress)
    )
    assert list(one_pass) == [] and len(one_pass.skipped) == 1
    assert done == [(1, 1)]


def test_arrays_are_a_source_too() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    (media,) = OnePass(ArrayImages(pixels), IMAGES, 0, pin=False)
    assert media.pixels is not None
    assert torch.equal(media.pixels, torch.from_numpy(pixels).permute(0, 3, 1, 2))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> ClipFiles:
    """Five of a second; the second has no sound and the fourth is no video."""
    folder = tmp_path_factory.mktemp("videos")
    paths = [folder / f"{name}.mp4" for name in "abcde"]
    for number, path in enumerate(paths):
        sound = None if number == 1 else Sound(tone(1, 300 + 100 * number))
        write_video(path, Picture(steady(1, 8), 32, 24), sound)
    paths[3].write_text("no video")
    return ClipFiles(paths)


@pytest.mark.parametrize(
    ("missing_audio", "left_out"), [("skip", [1, 3]), ("zeros", [3]), ("error", [1, 3])]
)
def test_of_videos_come_the_clips_that_evaluation_sees(
    videos: ClipFiles, missing_audio: str, left_out: list[int]
) -> None:
    config = make_config(**TINY_VIDEOS | {"missing_audio": missing_audio})
    done: list[int] = []
    one_pass = OnePass(videos, config, 0, False, lambda n, _total: done.append(n), batch=5)
    batches = list(one_pass)
    assert done == sorted(done) and len(done) == 3 and done[-1] == 5
    assert [item.index for item in one_pass.skipped] == left_out
    assert one_pass.clips == config.clips == 2
    assert [len(media) for media in batches] == ([4, 2] if len(left_out) == 2 else [4, 4])

    usable = np.delete(np.arange(5), left_out)
    calm = config.model_copy(update={"missing_audio": "zeros"})
    items, skipped = read_items(videos.subset(usable), calm, 0, "memory", CPU)
    (expected,) = items.batches([torch.arange(len(usable))])
    assert skipped == []
    for part in ("pixels", "sound", "heard"):
        whole = torch.cat([getattr(media, part) for media in batches])
        assert torch.equal(whole, getattr(expected, part))


def test_reasons_are_those_of_a_run(videos: ClipFiles) -> None:
    config = make_config(**TINY_VIDEOS | {"places": 2})
    one_pass = OnePass(videos, config, 0, pin=False)
    list(one_pass)
    assert one_pass.skipped == read_items(videos, config, 0, "memory", CPU)[1]


def test_each_clip_is_decoded_once(videos: ClipFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = counted(monkeypatch, ClipFiles, "load_clip")
    list(OnePass(videos, make_config(**TINY_VIDEOS), 0, pin=False))
    assert rows == [row for row in range(5) for _ in range(2)]
