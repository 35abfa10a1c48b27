"""A clip's frames and sound belong together, stay within their item, and know whether it sounds."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from newfound.data.clips import ClipFiles, ClipShape, evenly
from newfound.data.source import UnreadableError
from newfound.errors import InputError
from support.made_videos import (
    Picture,
    Sound,
    clicks,
    grey_of_frame,
    steady,
    tone,
    write_video,
)

SMALL = ClipShape(frames=4, side=16)


def frame_numbers(pixels: torch.Tensor) -> list[int]:
    """Which of the first 23 frames of a made video a clip shows."""
    greys = pixels[0, :, 8, 8].tolist()
    levels = np.array([grey_of_frame(k) for k in range(23)])
    return [int(np.abs(levels - grey).argmin()) for grey in greys]


def click_seconds(sound: torch.Tensor) -> list[float]:
    """Seconds within the sound at which it becomes loud."""
    loud = np.flatnonzero(np.abs(sound.numpy().astype(int)) > 12_000)
    return (loud[np.diff(loud, prepend=-16_000) > 800] / 16_000).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    picture = Picture(steady(6, 3))  # 18 frames, each of which tells its number
    write_video(folder / "clicks.mp4", picture, Sound(clicks(6, [0.5, 3.0, 5.5])))
    write_video(folder / "mute.mp4", picture)
    write_video(folder / "silent.mp4", picture, Sound(0 * tone(6)))
    write_video(folder / "late.mp4", picture, Sound(tone(1), start_seconds=5))
    write_video(folder / "short.mp4", Picture(steady(0.5, 4)), Sound(tone(0.5)))
    write_video(folder / "sound.mp4", None, Sound(tone(6)))
    return folder


@pytest.fixture(scope="module")
def clicking(folder: Path) -> ClipFiles:
    return ClipFiles([folder / "clicks.mp4"])


def test_a_clip_has_the_shape_asked_for(clicking: ClipFiles) -> None:
    clip = clicking.load_clip(0, 0.3, 0.5, ClipShape())
    assert clip.pixels is not None and clip.pixels.shape == (3, 16, 128, 128)
    assert clip.pixels.dtype == torch.uint8 and clip.pixels.is_contiguous()
    assert clip.sound is not None and clip.sound.shape == (3 * 16_000,)
    assert clip.sound.dtype == torch.int16 and clip.heard is True
    visual = clicking.load_clip(0, 0.3, 0.5, ClipShape("visual"))
    assert visual.sound is None and visual.heard is None and visual.pixels is not None
    assert torch.equal(visual.pixels, clip.pixels)
    audio = clicking.load_clip(0, 0.3, 0.5, ClipShape("audio"))
    assert audio.pixels is None and audio.sound is not None
    assert torch.equal(audio.sound, clip.sound) and audio.heard is True


@settings(deadline=None)  # it reads files
@given(at=st.floats(0, 1))
def test_picture_and_sound_have_the_same_middle(clicking: ClipFiles, at: float) -> None:
    clip = clicking.load_clip(0, at, 0.5, SMALL)
    assert clip.pixels is not None and clip.sound is not None
    begin = at * (6 - 1)
    moments = [begin + (k + 0.5) / 4 for k in range(4)]
    near_a_change = any(abs(3 * moment - round(3 * moment)) < 0.01 for moment in moments)
    if not near_a_change:
        assert frame_numbers(clip.pixels) == [int(3 * moment) for moment in moments]
    first = begin + 0.5 - 1.5
    expected = [seconds - first for seconds in (0.5, 3.0, 5.5) if 0 < seconds - first < 2.99]
    if not any(abs(seconds - first - edge) < 0.02 for seconds in (0.5, 3, 5.5) for edge in (0, 3)):
        assert click_seconds(clip.sound) == pytest.approx(expected, abs=0.002)


def test_a_clip_longer_than_its_item_begins_with_it(folder: Path) -> None:
    files = ClipFiles([folder / "short.mp4"])
    for at in (0.0, 1.0):
        clip = files.load_clip(0, at, 0.5, SMALL)
        assert clip.pixels is not None and clip.sound is not None
        assert frame_numbers(clip.pixels) == [0, 1, 1, 1]
        assert click_seconds(clip.sound)[0] == pytest.approx(1.0, abs=0.003)
        assert not clip.sound[:15_500].any()


def test_an_item_may_be_a_part_of_its_file(folder: Path) -> None:
    paths = [folder / "clicks.mp4"] * 3
    files = ClipFiles(paths, np.array([2.0, 0.7, np.nan]), np.array([4.0, 60.0, 0.6]))
    first, last = (files.load_clip(0, at, 0.5, SMALL) for at in (0.0, 1.0))
    assert first.pixels is not None and last.pixels is not None and last.sound is not None
    assert frame_numbers(first.pixels) == [6, 7, 7, 8]
    assert frame_numbers(last.pixels) == [9, 10, 10, 11]
    assert click_seconds(last.sound) == pytest.approx([1.0], abs=0.002)
    assert not last.sound[round(2.0 * 16_000) + 1 :].any(), "sound of after second 4"
    to_the_end = files.load_clip(1, 1.0, 0.5, SMALL)
    assert to_the_end.pixels is not None and frame_numbers(to_the_end.pixels)[-1] == 17
    start = files.load_clip(1, 0.0, 0.5, SMALL)
    assert start.sound is not None and click_seconds(start.sound) == [], "0.5 is before 0.7"


def test_a_short_part_stands_still_at_its_end(folder: Path) -> None:
    files = ClipFiles([folder / "clicks.mp4"], np.array([2.0]), np.array([2.3]))
    clip = files.load_clip(0, 0.7, 0.5, SMALL)
    assert clip.pixels is not None and frame_numbers(clip.pixels) == [6, 6, 6, 6]


def test_an_item_is_heard_unless_all_of_it_is_silent(folder: Path) -> None:
    names = ["clicks", "mute", "silent", "late"]
    files = ClipFiles([folder / f"{name}.mp4" for name in names])
    expected = [True, False, False, True]
    clips = [files.load_clip(i, 0.3, 0.5, SMALL) for i in range(4)]
    assert [clip.heard for clip in clips] == expected
    for clip in clips[1:]:
        assert clip.sound is not None and clip.sound.shape == (48_000,)
        assert clip.sound.abs().max() <= 3


def test_sound_outside_the_part_used_does_not_count(folder: Path) -> None:
    paths = [folder / "late.mp4"] * 2 + [folder / "clicks.mp4"] * 2
    files = ClipFiles(paths, np.array([0.0, 4.0, 3.1, 2.9]), np.array([4.0, np.nan, 5.0, 5.0]))
    heard = [files.load_clip(i, 0.3, 0.5, SMALL).heard for i in range(4)]
    assert heard == [False, True, False, True]


def test_sound_alone_needs_no_picture(folder: Path) -> None:
    files = ClipFiles([folder / "sound.mp4"])
    clip = files.load_clip(0, 0.5, 0.5, ClipShape("audio"))
    assert clip.heard and clip.pixels is None
    with pytest.raises(UnreadableError, match="no picture in it"):
        files.load_clip(0, 0.5, 0.5, SMALL)


def test_subsets_keep_paths_and_spans(folder: Path) -> None:
    paths = [folder / f"{name}.mp4" for name in ("clicks", "mute", "late")]
    files = ClipFiles(paths, np.array([1.0, np.nan, 2.0]), np.array([np.nan, 3.0, 4.0]))
    part = files.subset(np.array([2, 0]))
    assert len(part) == 2 and part.path(0) == str(paths[2])
    assert part.start_seconds.tolist() == [2.0, 1.0] and part.end_seconds[0] == 4.0
    assert np.array_equal(part.stamps(), files.stamps()[[2, 0]])
    copy = pickle.loads(pickle.dumps(files))
    assert copy.path(1) == str(paths[1]) and copy.end_seconds[1] == 3.0


def test_stamps_change_with_the_span(folder: Path) -> None:
    path = folder / "clicks.mp4"
    whole, part, other, missing = (
        ClipFiles([path]).stamps(),
        ClipFiles([path], np.array([1.0])).stamps(),
        ClipFiles([path], np.array([2.0])).stamps(),
        ClipFiles([folder / "missing.mp4"]).stamps(),
    )
    assert whole[0] == path.stat().st_size and missing[0] == -1
    assert len({int(stamps[0]) for stamps in (whole, part, other, missing)}) == 4


@pytest.mark.parametrize(("start", "end"), [(-1.0, np.nan), (2.0, 2.0), (np.nan, 0.0), (3, 1)])
def test_spans_that_cannot_be_are_refused(start: float, end: float) -> None:
    with pytest.raises(InputError, match=r"bad\.mp4 is to be used from second .* to .*start_sec"):
        ClipFiles(["good.mp4", "bad.mp4"], np.array([0.0, start]), np.array([1.0, end]))


def test_a_start_after_the_end_of_the_file_is_unreadable(folder: Path) -> None:
    files = ClipFiles([folder / "clicks.mp4"], np.array([7.0]))
    with pytest.raises(UnreadableError) as caught:
        files.load_clip(0, 0.0, 0.5, SMALL)
    assert caught.value.reason.startswith("it is to start at second 7, but ends at 6")


def test_clips_are_spread_evenly() -> None:
    assert evenly(1) == [0.5] and evenly(2) == [0.0, 1.0]
    assert evenly(10) == pytest.approx(np.linspace(0, 1, 10))
