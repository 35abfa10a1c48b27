from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newfound.av_digits.plan import FRAME_RATES, Settings, most_per_class, plan
from newfound.errors import InputError
from support.digit_files import made_material

MATERIAL = made_material(pictures=12, voices=15)


@given(per_class=st.integers(1, 12), seed=st.integers(0, 2**40), repeat=st.booleans())
@settings(max_examples=30, deadline=None)
def test_nothing_is_used_twice_and_all_fits(per_class: int, seed: int, repeat: bool) -> None:
    videos = plan(MATERIAL, Settings(per_class, seed, repeat=repeat))
    for what in ("path", "picture", "recording", "seed"):
        assert len({getattr(video, what) for video in videos}) == len(videos) == 10 * per_class
    for video in videos:
        assert video.path.startswith(f"{video.digit}/")
        assert MATERIAL.pictured[video.picture] == MATERIAL.spoken[video.recording] == video.digit
        assert 2 <= video.picture_seconds <= 6
        assert 1.2 <= video.sound_seconds <= video.picture_seconds
        voice_seconds = MATERIAL.recordings[video.recording].seconds
        ends = [moment + voice_seconds for moment in video.spoken_at_seconds]
        assert video.spoken_at_seconds[0] >= 0
        assert ends[-1] <= video.sound_seconds
        assert all(end < begin for end, begin in zip(ends, video.spoken_at_seconds[1:]))
        assert repeat or len(ends) == 1


def test_a_repeated_word_is_said_until_the_end() -> None:
    for video in plan(MATERIAL, Settings(12, repeat=True)):
        voice_seconds = MATERIAL.recordings[video.recording].seconds
        begins = video.spoken_at_seconds
        assert begins[0] <= 0.8
        assert all(b - a <= voice_seconds + 0.8 for a, b in pairwise(begins))
        assert video.sound_seconds - begins[-1] <= 2 * voice_seconds + 0.8


def test_the_videos_differ_in_rate_length_moment_and_length_of_sound() -> None:
    videos = plan(MATERIAL, Settings(12))
    assert {video.frames_per_second for video in videos} == set(FRAME_RATES)
    assert min(video.picture_seconds for video in videos) < 2.5
    assert max(video.picture_seconds for video in videos) > 5.5
    earlier = [video.picture_seconds - video.sound_seconds for video in videos]
    short = [seconds for seconds in earlier if seconds > 0]
    assert 0.1 < len(short) / len(videos) < 0.4
    assert min(short) >= 0.2 - 1e-9 and max(short) <= 0.8 + 1e-9
    assert len({video.spoken_at_seconds for video in videos}) == len(videos)


def test_a_video_depends_on_the_seed_and_not_on_how_many_there_are() -> None:
    assert plan(MATERIAL, Settings(3)) == plan(MATERIAL, Settings(12))[:30]
    assert plan(MATERIAL, Settings(3)) != plan(MATERIAL, Settings(3, seed=1))


def test_too_many_are_refused_with_what_is_there() -> None:
    assert most_per_class(MATERIAL) == 12
    with pytest.raises(InputError, match=r"13, but there are 12 pictures and 15 rec.* at most 12"):
        plan(MATERIAL, Settings(13))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"per_class": 0}, "per_class=0.*at least 1"),
        ({"seed": -1}, "seed=-1.*from 0 on"),
        ({"clutter": 1.1}, r"clutter=1\.1.*from 0 to 1"),
        ({"clutter": float("nan")}, "clutter=nan"),
        ({"snr_db": 61.0}, r"snr_db=61\.0.*from -60"),
        ({"snr_db": float("nan")}, "snr_db=nan"),
    ],
)
def test_impossible_settings_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(**{"per_class": 1} | changed)
