"""Frames and sound are those of the time asked for; what cannot be read says why."""

import itertools
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from newfound.data import videos
from newfound.data.sound import is_silent
from newfound.data.source import UnreadableError
from newfound.data.stored import Files
from newfound.data.videos import Video, opened
from support.made_videos import (
    ONLY_FRAME_SECONDS,
    Picture,
    Sound,
    clicks,
    cut,
    grey_of_frame,
    steady,
    tone,
    turn,
    write_video,
)
from support.read_videos import probe, read_frames, read_sound

CODECS = {"mp4": "aac", "mkv": "aac", "mov": "aac", "ts": "aac", "flv": "aac", "webm": "libopus"}
MAX_SHIFT = {"mp4": 0, "mkv": 16, "mov": 0, "ts": 1, "flv": 16, "webm": 16}
"""Samples at 16 kHz. Three containers round their time stamps to milliseconds."""
UNEVEN = [0.0, 0.04, 0.08, 0.5, 0.52, 1.3, 1.31, 1.32, 1.9, 2.4, 2.9]


def picture_codec(ending: str) -> str:
    return "libvpx" if ending == "webm" else "libx264"


def frame_on_display(times: list[float], at: float) -> int:
    """The rule in words: the last frame whose stamp is not later; before the first, the first."""
    shown = 0
    for k, time in enumerate(times):
        if time <= at:
            shown = k
    return shown


def levels(pixels: torch.Tensor) -> list[int]:
    """The grey level in the middle of every frame."""
    assert pixels.dtype == torch.uint8 and pixels.shape[0] == 3
    middle = pixels.shape[2] // 2
    return pixels[:, :, middle, middle].float().mean(0).round().int().tolist()


def assert_shows(pixels: torch.Tensor, frames: list[int]) -> None:
    found, expected = levels(pixels), [grey_of_frame(k) for k in frames]
    assert np.abs(np.subtract(found, expected)).max() <= 3, (found, expected)


def onsets(sound: NDArray[np.int16], rate: int = 16_000) -> list[float]:
    """Seconds at which it becomes loud after having been quiet for 50 ms."""
    loud = np.flatnonzero(np.abs(sound.astype(int)) > 12_000)
    is_first = np.diff(loud, prepend=-rate) > rate // 20
    return (loud[is_first] / rate).tolist()


def reason_for(path: Path) -> str:
    with pytest.raises(UnreadableError) as caught:
        read_frames(str(path), 0.0, 1.0, 4, 16)
    assert str(path) not in caught.value.reason and caught.value.reason.isprintable()
    return caught.value.reason


# --- frames by time -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "a.mp4"
    return write_video(path, Picture(steady(8)), Sound(clicks(8, [0.7, 1.5, 4.2, 6.9])))


@pytest.mark.parametrize("ending", CODECS)
@pytest.mark.parametrize("times", [steady(4), steady(2, 24000 / 1001), UNEVEN], ids=len)
def test_each_moment_shows_the_frame_whose_time_it_is(
    tmp_path: Path, ending: str, times: list[float]
) -> None:
    path = tmp_path / f"a.{ending}"
    write_video(path, Picture(times, codec=picture_codec(ending), key_every=5))
    for start in (0.0, 0.61, 1.17, times[-1] - 0.9):
        moments = [start + (k + 0.5) / 7 for k in range(7)]
        pixels = read_frames(str(path), start, 1.0, 7, 16)
        assert_shows(pixels, [frame_on_display(times, moment) for moment in moments])


@settings(deadline=None)  # it reads files
@given(start=st.floats(0, 9), seconds=st.floats(0, 2), frames=st.integers(1, 9))
def test_any_clip_shows_the_frames_of_its_times(
    long_video: Path, start: float, seconds: float, frames: int
) -> None:
    moments = [start + (k + 0.5) * seconds / frames + 2e-6 for k in range(frames)]
    pixels = read_frames(str(long_video), start + 2e-6, seconds, frames, 8)
    assert_shows(pixels, [frame_on_display(steady(8), moment) for moment in moments])


def test_a_frame_is_on_display_from_its_very_stamp_on(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Picture(steady(2, 8)))
    assert_shows(read_frames(str(path), 0.0, 1.0, 4, 16), [1, 3, 5, 7])


def test_a_late_clip_is_decoded_from_its_key_frame_on(
    long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded_at_most = 12 + 12 + 4  # to the key frame, through the clip, and what is reordered
    monkeypatch.setattr(videos, "MAX_DECODED_PIXELS", decoded_at_most * 256 * 256)
    assert read_frames(str(long_video), 6.9, 1.0, 12, 16).shape == (3, 12, 16, 16)
    with pytest.raises(UnreadableError, match="key frames are too rare"):
        read_frames(str(long_video), 2.0, 3.0, 12, 16)


def test_before_the_first_frame_and_after_the_last_the_picture_stands_still(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Picture(steady(1)))
    assert_shows(read_frames(str(path), -1.0, 1.0, 3, 16), [0, 0, 0])
    assert_shows(read_frames(str(path), 0.5, 2.0, 4, 16), [9, 11, 11, 11])
    assert_shows(read_frames(str(path), 1e12, 1.0, 2, 16), [11, 11])


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "ts", "webm"])
def test_one_frame_is_a_clip_that_stands_still(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    write_video(path, Picture([0.0], codec=picture_codec(ending)))
    assert_shows(read_frames(str(path), 0.0, 1.0, 4, 16), [0] * 4)
    lasting = 0.0 if ending == "ts" else ONLY_FRAME_SECONDS  # it does not tell how long
    assert probe(str(path)).duration_seconds == pytest.approx(lasting, abs=1e-3)


def test_time_counts_from_the_first_frame(tmp_path: Path) -> None:
    times = steady(3, start_seconds=0.5)
    path = tmp_path / "a.mkv"
    write_video(path, Picture(times), Sound(clicks(4, [0.25, 2.0]), codec="pcm_s16le"))
    assert_shows(read_frames(str(path), 1.0, 1.0, 2, 16), [15, 21])
    assert onsets(read_sound(str(path), 0.0, 3.0)) == pytest.approx([1.5], abs=0.002)
    assert onsets(read_sound(str(path), -0.5, 1.0)) == pytest.approx([0.25], abs=0.002)
    assert probe(str(path)).duration_seconds == pytest.approx(3.0, abs=2e-3)


def test_frames_stamped_earlier_than_those_before_are_left_out(tmp_path: Path) -> None:
    grey = write_video(tmp_path / "a.ts", Picture(steady(2)))
    white = write_video(tmp_path / "b.ts", Picture(steady(3), split=True))
    path = tmp_path / "c.ts"
    path.write_bytes(grey.read_bytes() + white.read_bytes())
    moments = [(k + 0.5) / 10 for k in range(20)]
    pixels = read_frames(str(path), 0.0, 2.0, 20, 16)
    assert_shows(pixels, [frame_on_display(steady(2), moment) for moment in moments])
    assert int(read_frames(str(path), 0.0, 3.0, 2, 16)[0, 1, 8, 15]) > 250


def test_sound_stamped_earlier_than_that_before_is_left_out(tmp_path: Path) -> None:
    first = write_video(tmp_path / "a.ts", Picture(steady(2)), Sound(clicks(2, [0.5])))
    second = write_video(tmp_path / "b.ts", Picture(steady(3)), Sound(clicks(3, [0.7, 2.5])))
    path = tmp_path / "c.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    for seconds, heard in ((2.0, [0.5]), (3.0, [0.5, 2.5])):
        assert onsets(read_sound(str(path), 0.0, seconds)) == pytest.approx(heard, abs=0.002)


def test_frames_of_4k_at_120_a_second_are_shown_by_time(tmp_path: Path) -> None:
    times = steady(0.1, 120)
    path = write_video(tmp_path / "a.mp4", Picture(times, 3840, 2160, key_every=250))
    assert probe(str(path)).duration_seconds == pytest.approx(0.1, abs=1e-3)
    moments = [0.001 + (k + 0.5) * 0.1 / 6 for k in range(6)]
    pixels = read_frames(str(path), 0.001, 0.1, 6, 128)
    assert pixels.shape == (3, 6, 128, 128)
    assert_shows(pixels, [frame_on_display(times, moment) for moment in moments])


def test_old_codecs_and_containers_are_read(tmp_path: Path) -> None:
    times = [time for time in steady(4, 25) if not 1.1 < time < 1.5]  # AVI fills it with nothing
    avi = write_video(tmp_path / "a.avi", Picture(times, codec="mpeg4", clock=25))
    mpeg = Picture(steady(4, 25), codec="mpeg2video", clock=25, key_every=15)
    ts = write_video(tmp_path / "a.ts", mpeg)
    for start in (0.01, 1.01, 2.31, 2.91):
        moments = [start + (k + 0.5) / 5 for k in range(5)]
        for path in (avi, ts):
            kept = times if path == avi else steady(4, 25)
            shown = levels(read_frames(str(path), start, 1.0, 5, 16))
            expected = [grey_of_frame(frame_on_display(kept, moment)) for moment in moments]
            assert np.abs(np.subtract(shown, expected)).max() <= 6, (path, shown, expected)


def test_a_stream_that_turns_up_late_is_no_matter(tmp_path: Path) -> None:
    quiet = write_video(tmp_path / "a.ts", Picture(steady(9)))
    sounding = write_video(tmp_path / "b.ts", Picture(steady(1)), Sound(tone(1)))
    path = tmp_path / "c.ts"
    path.write_bytes(quiet.read_bytes() + sounding.read_bytes())
    assert probe(str(path)).has_picture
    assert_shows(read_frames(str(path), 8.0, 1.0, 2, 16), [99, 105])


# --- the square ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "long_side"), [((128, 32), 64), ((40, 64), 26), ((34, 34), 16)])
def test_the_shorter_side_becomes_the_square(
    tmp_path: Path, size: tuple[int, int], long_side: int
) -> None:
    width, height = size
    path = write_video(tmp_path / "a.mp4", Picture([0.0], width, height, split=True))
    info = probe(str(path))
    assert info.has_picture and not info.has_sound
    for across in (0.0, 0.3, 1.0):
        square = read_frames(str(path), 0.0, 0.0, 1, 16, across)[0, 0]
        wide = long_side if width > height else 16
        border = wide / 2 - across * (wide - 16)  # in the square, where white begins
        is_white = square.float().mean(0) > (grey_of_frame(0) + 255) / 2
        assert int((~is_white).sum()) == pytest.approx(np.clip(border, 0, 16), abs=1)


@pytest.mark.parametrize(
    ("degrees", "white"),
    [(None, "right"), (0, "right"), (90, "bottom"), (180, "left"), (270, "top")],
)
def test_phone_videos_are_turned_upright(tmp_path: Path, degrees: int | None, white: str) -> None:
    path = turn(write_video(tmp_path / "a.mp4", Picture([0.0], 64, 32, split=True)), degrees)
    square = read_frames(str(path), 0.0, 0.0, 1, 16)[0, 0].float()
    half = {
        "left": square[:, :6],
        "right": square[:, 10:],
        "top": square[:6],
        "bottom": square[10:],
    }
    means = {name: float(part.mean()) for name, part in half.items()}
    assert max(means, key=lambda name: means[name]) == white and means[white] > 250


def test_across_counts_from_the_top_of_a_turned_video(tmp_path: Path) -> None:
    path = turn(write_video(tmp_path / "a.mp4", Picture([0.0], 64, 32, split=True)), 90)
    top, bottom = (read_frames(str(path), 0.0, 0.0, 1, 16, across) for across in (0.0, 1.0))
    assert float(top.float().mean()) < 100 and float(bottom.float().mean()) > 250


def test_stretched_pixels_are_made_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Picture([0.0], 32, 32, stretch=Fraction(2), split=True))
    white = [read_frames(str(path), 0.0, 0.0, 1, 16, across) > 250 for across in (0.0, 0.5, 1.0)]
    assert [float(part.float().mean()) for part in white] == pytest.approx([0, 0.5, 1], abs=0.1)


# --- sound --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", CODECS)
def test_a_click_is_heard_where_it_is_in_the_file(tmp_path: Path, ending: str) -> None:
    path, codec = tmp_path / f"a.{ending}", CODECS[ending]
    rate = 44_100 if ending == "flv" else 48_000
    sound = Sound(clicks(5, [0.3, 1.5, 3.75], rate), rate, codec=codec)
    write_video(path, Picture(steady(5), codec=picture_codec(ending)), sound)
    for start in (-0.5, 0.0, 0.21, 1.0, 1.45, 2.9):
        heard = [at - start for at in (0.3, 1.5, 3.75) if start < at < start + 2]
        assert onsets(read_sound(str(path), start, 2.0)) == pytest.approx(heard, abs=0.002)


@pytest.mark.parametrize("ending", CODECS)
def test_any_stretch_of_sound_is_that_stretch_of_the_whole(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    rate = 44_100 if ending == "flv" else 48_000
    time = np.arange(6 * rate) / rate
    glide = 0.5 * np.sin(2 * np.pi * (20 + 10 * time) * time)  # no two stretches are alike
    sound = Sound(glide.astype(np.float32)[None], rate, codec=CODECS[ending])
    write_video(path, Picture(steady(6), codec=picture_codec(ending)), sound)
    whole = read_sound(str(path), -2.0, 10.0).astype(int)
    for start, seconds in np.random.default_rng(0).uniform((-1.0, 0.1), (5.5, 3.0), (10, 2)):
        first = round((start + 2) * 16_000)
        stretch = read_sound(str(path), first / 16_000 - 2, seconds)
        assert stretch.shape == (round(seconds * 16_000),)
        errors = [
            np.abs(stretch - whole[first + shift : first + shift + len(stretch)]).max()
            for shift in range(-MAX_SHIFT[ending], MAX_SHIFT[ending] + 1)
        ]
        assert min(errors) < 600  # half a sample's shift makes 500


def test_late_and_short_sound_is_silence_around(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, Picture(steady(4)), Sound(tone(1.0), start_seconds=1.5))
    sound = read_sound(str(path), 0.0, 4.0)
    assert is_silent(sound[: round(1.4 * 16_000)]) and is_silent(sound[round(2.6 * 16_000) :])
    during = sound[round(1.55 * 16_000) : round(2.45 * 16_000)].astype(float)
    assert np.sqrt((during**2).mean()) == pytest.approx(0.5 * 32768 / np.sqrt(2), rel=0.03)
    assert onsets(sound)[0] == pytest.approx(1.5, abs=0.003)  # the encoder smears the onset
    assert is_silent(read_sound(str(path), 2.7, 1.0))


@pytest.mark.parametrize("rate", [5_000, 8_000, 16_000, 44_100, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_sound_of_any_rate_and_channels_is_mixed_and_resampled(
    tmp_path: Path, rate: int, channels: int
) -> None:
    path = tmp_path / "a.mkv"
    sound = Sound(tone(1.5, 440, rate, channels), rate, codec="pcm_s16le")
    write_video(path, Picture(steady(1.5)), sound)
    heard = read_sound(str(path), 0.25, 1.0).astype(float)
    wave = np.sin(2 * np.pi * 440 * (0.25 + np.arange(16_000) / 16_000))
    amplitude = 2 * (heard * wave).mean()
    assert np.abs(heard - amplitude * wave).max() < 0.02 * amplitude  # in phase, undistorted
    assert amplitude == pytest.approx(0.5 * 32768, rel=0.02)  # FFmpeg's weights sum up to 1


def test_sound_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """120 KB of it, resampled, are 2 GB."""
    sound = Sound(np.full((1, 60_000), 0.5, np.float32), rate=1, codec="pcm_s16le")
    path = write_video(tmp_path / "a.mkv", Picture(steady(1)), sound)
    with pytest.raises(UnreadableError, match="sound of only 1 samples a second"):
        read_sound(str(path), 0.0, 1.0)
    assert read_frames(str(path), 0.0, 1.0, 2, 16).shape == (3, 2, 16, 16)


def test_sound_without_a_picture_has_its_own_clock(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", None, Sound(clicks(2, [0.5])))
    info = probe(str(path))
    assert not info.has_picture and info.has_sound
    assert info.duration_seconds == pytest.approx(2.0, abs=0.03)
    assert onsets(read_sound(str(path), 0.0, 2.0)) == pytest.approx([0.5], abs=0.002)
    assert reason_for(path) == "no picture in it"


def test_a_video_without_sound_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Picture(steady(1)))
    with pytest.raises(UnreadableError, match="no sound in it"):
        read_sound(str(path), 0.0, 1.0)


# --- what cannot be read ------------------------------------------------------------------------


def test_what_is_no_video_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video " * 100)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert reason_for(tmp_path / "missing.mp4") == "no such file"
    assert reason_for(tmp_path / "empty.mp4") == "empty file"
    assert reason_for(tmp_path / "text.mp4") == "not a video that FFmpeg reads, or cut short"
    assert reason_for(tmp_path / "picture.mp4") == "not a video of a supported format"
    assert reason_for(tmp_path / "pipe.mp4") == reason_for(tmp_path) == "not a regular file"


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything, so it becomes nobody."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_files_without_permission_say_so() -> None:
    with tempfile.TemporaryDirectory() as folder:  # as open to all as one of pytest's is not
        Path(folder).chmod(0o755)
        path = write_video(Path(folder) / "a.mp4", Picture(steady(1)))
        with without_privileges():
            assert probe(str(path)).has_picture
        path.chmod(0)
        with without_privileges():
            assert reason_for(path) == "permission denied"


@pytest.mark.parametrize(
    ("name", "playlist"),
    [
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"),
        ("a.mp4", "ffconcat version 1.0\nfile '{}'\n"),
    ],
)
def test_playlists_that_name_other_files_are_refused(
    tmp_path: Path, name: str, playlist: str
) -> None:
    other = write_video(tmp_path / "other.ts", Picture(steady(1)))
    path = tmp_path / name
    path.write_text(playlist.format(other))
    assert reason_for(path) == "not a video of a supported format"


def test_a_wrong_ending_is_no_matter(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Picture(steady(1))).rename(tmp_path / "a.avi")
    assert_shows(read_frames(str(path), 0.0, 1.0, 2, 16), [3, 9])


def test_names_that_are_not_utf8_are_read_and_printed(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")
    write_video(tmp_path / "a.mp4", Picture(steady(1))).rename(path)
    assert probe(path).has_picture
    cut(Path(path), 0.1)
    with pytest.raises(UnreadableError) as caught:
        probe(path)
    assert caught.value.path.endswith("\\xff.mp4")


def test_cut_files_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    mp4 = write_video(tmp_path / "a.mp4", Picture(steady(6)))  # its index is at the end
    assert reason_for(cut(mp4, 0.7)) == "cut short"
    mkv = cut(write_video(tmp_path / "a.mkv", Picture(steady(6))), 0.6)
    duration_seconds = probe(str(mkv)).duration_seconds
    assert 1 < duration_seconds < 5.5
    last = frame_on_display(steady(6), duration_seconds - 0.02)
    assert_shows(read_frames(str(mkv), 5.0, 1.0, 2, 16), [last, last])


def test_a_header_without_a_frame_is_a_cut_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", Picture(steady(1)), Sound(tone(1)))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\x1f\x43\xb6\x75")])  # where the first cluster is
    assert reason_for(path) == "cut short"


def test_an_index_in_front_does_not_make_a_cut_file_longer(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, Picture(steady(6)), Sound(tone(6)), {"movflags": "faststart"})
    cut(path, 0.7)
    duration_seconds = probe(str(path)).duration_seconds
    assert 1 < duration_seconds < 5.5
    last = frame_on_display(steady(6), duration_seconds - 0.02)
    assert_shows(read_frames(str(path), 5.0, 1.0, 2, 16), [last, last])
    assert is_silent(read_sound(str(path), 5.0, 1.0))
    header = path.read_bytes().index(b"mdat") + 4
    path.write_bytes(path.read_bytes()[:header])
    assert "cut short" in reason_for(path) or "not one frame" in reason_for(path)


def test_damage_in_the_middle_costs_the_frames_around_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", Picture(steady(8)), Sound(clicks(8, [0.5, 7.5])))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 150] = np.random.default_rng(0).bytes(150)
    path.write_bytes(content)
    assert_shows(read_frames(str(path), 0.0, 1.0, 2, 16), [3, 9])
    assert_shows(read_frames(str(path), 7.0, 1.0, 2, 16), [87, 93])
    assert onsets(read_sound(str(path), 7.0, 1.0)) == pytest.approx([0.5], abs=0.002)


@pytest.mark.parametrize("ending", CODECS)
def test_whatever_is_damaged_is_read_or_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    rate = 44_100 if ending == "flv" else 48_000
    sound = Sound(tone(2, rate=rate), rate, codec=CODECS[ending])
    write_video(path, Picture(steady(2), codec=picture_codec(ending)), sound)
    intact = np.frombuffer(path.read_bytes(), np.uint8)
    random = np.random.default_rng(0)
    for round_ in range(40):
        content = intact.copy()
        within = len(content) if round_ % 2 else min(len(content), 1000)  # half in the header
        content[random.integers(0, within, 10)] = random.integers(0, 256, 10)
        keep = len(content) if round_ % 4 else random.integers(1, len(content))
        path.write_bytes(content[:keep].tobytes())
        for read in (lambda: read_frames(str(path), 0.8, 1.0, 4, 16), lambda: probe(str(path))):
            with suppress(UnreadableError):
                read()
        with suppress(UnreadableError):
            assert read_sound(str(path), 0.5, 1.0).shape == (16_000,)


def test_giant_frames_and_endless_reading_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", Picture(steady(2), 64, 48))
    with monkeypatch.context() as patch:
        patch.setattr(videos, "MAX_PIXELS", 64 * 48 - 1)
        assert "too large: make " in reason_for(path)
    with monkeypatch.context() as patch:
        patch.setattr(videos, "MAX_PACKETS", 5)
        assert "packets to read" in reason_for(path)
    strip = write_video(tmp_path / "b.mp4", Picture([0.0], 4096, 2))
    with monkeypatch.context() as patch:
        patch.setattr(videos, "MAX_PIXELS", 16 * 16 * 1000)
        assert "strip" in reason_for(strip)


class JumpingClock:
    """Stands still, but jumps beyond the limit at the nth look at it."""

    def __init__(self, nth: float) -> None:
        self.nth = nth
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return 0.0 if self.looks <= self.nth else videos.MAX_SECONDS + 1


LOOKS: dict[str, Callable[[str], Any]] = {
    "picture": lambda path: read_frames(path, 1.2, 1.0, 3, 16).numpy(),
    "sound": lambda path: read_sound(path, 1.2, 1.0),
    "probe": probe,
}


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("look", LOOKS)
def test_a_file_that_takes_too_long_is_refused_wherever_it_happens(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    ending: str,
    look: str,
) -> None:
    """Wherever the time runs out, the file is refused or what is read is what it is."""
    path = write_video(tmp_path / f"a.{ending}", Picture(steady(3)), Sound(tone(3)))
    clock = JumpingClock(math.inf)
    monkeypatch.setattr(videos, "monotonic", clock)
    expected = LOOKS[look](str(path))
    outcomes = Counter[str]()
    for nth in range(clock.looks):
        monkeypatch.setattr(videos, "monotonic", JumpingClock(nth))
        try:
            assert np.array_equal(LOOKS[look](str(path)), expected)
            outcomes["read"] += 1
        except UnreadableError as error:
            outcomes[error.reason] += 1
    assert outcomes.keys() <= {"read", "it takes longer than 60 s to read"}
    assert outcomes["read"] <= 4, "only where a look begins, all its time is left"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("look", LOOKS)
def test_slow_decoding_of_what_was_read_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: str
) -> None:
    path = write_video(tmp_path / "a.mkv", Picture(steady(9)), Sound(tone(9)))
    now = 0.0

    def slowly(work: Any) -> Any:
        def wrapped(*arguments: Any) -> Any:
            nonlocal now
            now += 7
            return work(*arguments)

        return wrapped

    monkeypatch.setattr(videos, "monotonic", lambda: now)
    for name in ("_end", "_start"):  # asked of every packet
        monkeypatch.setattr(videos, name, slowly(getattr(videos, name)))
    monkeypatch.setattr(Video, "_clock", slowly(Video._clock))  # and of every frame
    with pytest.raises(UnreadableError, match="longer than 60 s"):
        LOOKS[look](str(path))
    assert now < 2 * videos.MAX_SECONDS


@pytest.mark.parametrize("before", [0, 1])
def test_an_endless_search_within_ffmpeg_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """Megabytes of nothing: when it is opened, or on the way to the end."""
    video = write_video(tmp_path / "a.ts", Picture(steady(1)), Sound(tone(1))).read_bytes()
    nothing = (b"\x47\x1f\xff\x10" + bytes(184)) * 50_000
    (tmp_path / "a.ts").write_bytes(video * before + nothing + video)
    seconds = itertools.count()
    monkeypatch.setattr(videos, "monotonic", lambda: next(seconds))
    with pytest.raises(UnreadableError, match="longer than 60 s"):
        probe(str(tmp_path / "a.ts"))
    assert next(seconds) < 2 * videos.MAX_SECONDS + 20


def test_every_look_has_its_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", Picture(steady(2)), Sound(tone(2)))
    now = 0.0
    looks: list[Callable[[Video], Any]] = [
        lambda video: video.frames(0.5, 1.0, 2, 16),
        lambda video: video.sound(0.5, 1.0),
        lambda video: video.is_heard(0.0, 1.0),
        Video.duration_seconds,
    ]
    monkeypatch.setattr(videos, "monotonic", lambda: now)
    with opened(Files([path]), 0) as video:
        for look in looks * 2:
            look(video)
            now += videos.MAX_SECONDS * 0.9
    for look in looks:
        with pytest.raises(UnreadableError, match="60 s"), opened(Files([path]), 0) as video:
            now += videos.MAX_SECONDS + 1
            look(video)


def test_opening_is_undone(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", Picture(steady(1)), Sound(tone(1)))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        read_frames(str(path), 0.0, 1.0, 2, 16), read_sound(str(path), 0.0, 1.0)
        reason_for(tmp_path / "missing.mp4")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
