"""What our decoding is measured against decodes the same windows."""

from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.cases import decoding
from benchmarks.plain_pyav import plain_clip, plain_frames
from newfound.data.clips import ClipFiles, ClipShape
from support.made_videos import Picture, Sound, steady, tone, write_video
from support.read_videos import probe


@pytest.mark.parametrize("at", [0.0, 0.4, 1.0])
def test_plain_pyav_decodes_the_same_windows(tmp_path: Path, at: float) -> None:
    picture = Picture(steady(6.0, rate=12), width=64, height=64)
    path = write_video(tmp_path / "a.mp4", picture, Sound(tone(6.0)))
    shape = ClipShape(side=64, sound_seconds=0.8, sound_offset_seconds=0.0)
    ours = ClipFiles([path]).load_clip(0, at, 0.5, shape).pixels
    assert ours is not None
    begin_seconds = at * (probe(str(path)).duration_seconds - 1)
    with av.open(str(path)) as container:
        frames = plain_frames(container, begin_seconds, shape)
    _, sound = plain_clip(path, begin_seconds, shape)
    shown = [k for k in range(16) if k == 0 or (ours[:, k] != ours[:, k - 1]).any()]
    assert len(frames) == len(shown) in (12, 13)
    for frame, k in zip(frames, shown):
        assert np.abs(frame[32, 32].astype(int) - ours[:, k, 32, 32].numpy()).max() <= 3
    assert 0.8 <= sound / 16_000 < 0.9


def test_a_decoder_that_gives_fewer_frames_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = Picture(steady(6.0, rate=12), width=64, height=64)
    path = write_video(tmp_path / "a.mp4", picture, Sound(tone(6.0)))
    shape = ClipShape(side=64, sound_seconds=0.8, sound_offset_seconds=0.0)
    decoding.check(path, shape)
    right = decoding.plain_clip
    monkeypatch.setattr(
        decoding, "plain_clip", lambda *given: (right(*given)[0] - 5, right(*given)[1])
    )
    with pytest.raises(AssertionError, match="the same frames"):
        decoding.check(path, shape)
