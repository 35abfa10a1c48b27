import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import numpy as np
import pytest

from newfound.data.clips import ClipFiles
from newfound.data.images import ArrayImages, FileImages
from newfound.report.thumbnails import STRIP_PX, THUMBNAIL_PX, WITHOUT_SOUND, make_thumbnails
from newfound.settings import make_config
from support.made_videos import Picture, Sound, clicks, grey_of_frame, steady, tone, write_video

VIDEOS = make_config("quick-videos", missing_audio="zeros")
AUDIO = make_config(
    "quick-videos", modalities="audio", instance_pairs="within", category_pairs="within"
)
VISUAL = make_config(
    "quick-videos", modalities="visual", instance_pairs="within", category_pairs="within"
)
SECONDS = 2.0


def video(path: Path, samples: np.ndarray | None, picture: bool = True) -> Path:
    return write_video(
        path,
        Picture(steady(SECONDS)) if picture else None,
        None if samples is None else Sound(samples),
    )


def thumbnails_of(*paths: Path, config=VIDEOS, **spans) -> dict[str, np.ndarray]:
    return make_thumbnails(ClipFiles(paths, **spans), np.arange(len(paths)), config, workers=0)


def strip(thumbnails: dict[str, np.ndarray], at: int = 0) -> np.ndarray:
    """Brightness of the spectrogram, (STRIP_PX, 64)."""
    return thumbnails["pixels"][at, -STRIP_PX:].mean(axis=2)


class TestVideos:
    def test_the_middle_frame_above_the_sound(self, tmp_path):
        made = thumbnails_of(video(tmp_path / "a.mp4", tone(SECONDS)))
        assert made["pixels"].shape == (1, THUMBNAIL_PX + STRIP_PX, THUMBNAIL_PX, 3)
        assert made["pixels"].dtype == np.uint8 and made["heard"].tolist() == [True]
        poster = made["pixels"][0, :THUMBNAIL_PX].astype(int)
        assert np.abs(poster - grey_of_frame(12)).max() < 8

    @pytest.mark.parametrize("hertz", [200, 1000, 3000, 7000])
    def test_high_tones_are_drawn_high(self, tmp_path, hertz):
        made = thumbnails_of(video(tmp_path / "a.mp4", tone(SECONDS, hertz)))
        mel = 2595 * np.log10(1 + hertz / 700) / (2595 * np.log10(1 + 8000 / 700))
        brightest = strip(made).mean(axis=1).argmax()
        assert brightest == pytest.approx(STRIP_PX - 1 - mel * STRIP_PX, abs=1.5)

    def test_a_click_is_drawn_when_it_is_heard(self, tmp_path):
        """The sound is all that is drawn, though it is shorter than what could be."""
        made = thumbnails_of(video(tmp_path / "a.mp4", clicks(SECONDS, [0.0, 1.5, 1.99])))
        loud = np.flatnonzero(strip(made).mean(axis=0) > 100)
        times = loud / THUMBNAIL_PX * SECONDS
        assert np.abs(times - 1.5).min() < 0.05
        assert not ((times > 0.3) & (times < 1.3)).any()

    @pytest.mark.parametrize("samples", [None, np.zeros((1, 96000), np.float32)])
    def test_no_sound_is_told_and_drawn_plain(self, tmp_path, samples):
        made = thumbnails_of(video(tmp_path / "a.mp4", samples))
        assert made["heard"].tolist() == [False]
        assert (made["pixels"][0, -STRIP_PX:] == WITHOUT_SOUND).all()

    def test_a_video_that_is_quiet_in_its_middle_is_dark_there(self, tmp_path):
        path = write_video(
            tmp_path / "a.mp4",
            Picture(steady(14, rate=2)),
            Sound(np.concatenate([tone(1), np.zeros((1, 48_000 * 13), np.float32)], axis=1)),
        )
        made = thumbnails_of(path)
        assert made["heard"].tolist() == [True]
        assert strip(made).max() < 40

    @pytest.mark.parametrize("noise", [0.001, 0.02])
    def test_a_tone_stands_out_of_a_steady_noise(self, tmp_path, noise):
        sound = noise * np.random.default_rng(0).standard_normal((1, 96_000), dtype=np.float32)
        sound[:, 48_000:60_000] += tone(0.25, 1000)
        bright = strip(thumbnails_of(video(tmp_path / "a.mp4", sound.clip(-1, 1))))
        bands, columns = np.nonzero(bright > 0.7 * bright.max())
        assert set(range(33, 39)) <= set(columns) <= set(range(31, 42))
        assert np.median(bright) < 0.5 * bright.max() and np.ptp(bands) < STRIP_PX / 2

    def test_sound_alone(self, tmp_path):
        with_picture = video(tmp_path / "a.mp4", tone(SECONDS))
        without = video(tmp_path / "b.mp4", tone(SECONDS), picture=False)
        made = thumbnails_of(with_picture, without, config=AUDIO)
        assert made["pixels"].shape == (2, THUMBNAIL_PX, THUMBNAIL_PX, 3)
        assert made["heard"].all()
        bright = made["pixels"].mean(axis=(2, 3)).argmax(axis=1)
        assert abs(bright[0] - bright[1]) <= 1 and bright[0] > THUMBNAIL_PX / 2

    def test_pictures_alone_say_nothing_of_sound(self, tmp_path):
        made = thumbnails_of(video(tmp_path / "a.mp4", None), config=VISUAL)
        assert made["pixels"].shape == (1, THUMBNAIL_PX, THUMBNAIL_PX, 3)
        assert "heard" not in made

    def test_a_file_that_has_gone_has_none(self, tmp_path):
        low, high = (video(tmp_path / f"{hz}.mp4", tone(SECONDS, hz)) for hz in (200, 5000))
        source = ClipFiles([low, tmp_path / "gone.mp4", high])
        made = make_thumbnails(source, np.array([3, 5, 8]), VIDEOS, workers=0)
        assert made["row"].tolist() == [3, 8] and len(made["pixels"]) == 2
        assert made["link"].tolist() == [low.as_uri(), high.as_uri()]
        rows = [strip(made, at).mean(axis=1).argmax() for at in range(2)]
        assert rows[0] > rows[1]

    def test_all_gone(self, tmp_path):
        made = thumbnails_of(tmp_path / "a.mp4", tmp_path / "b.mp4")
        assert {name: len(array) for name, array in made.items()} == dict.fromkeys(
            ("row", "pixels", "heard", "link"), 0
        )
        assert made["pixels"].shape[1:] == (THUMBNAIL_PX + STRIP_PX, THUMBNAIL_PX, 3)


class TestLinks:
    def link(self, path: Path, start: float = np.nan, end: float = np.nan) -> str:
        spans = {"start_seconds": np.array([start]), "end_seconds": np.array([end])}
        return str(thumbnails_of(path, config=VISUAL, **spans)["link"][0])

    @pytest.mark.parametrize(
        "name",
        [
            "<script>alert(1)<",
            "\"quotes\" and 'ticks'",
            "new\nline",
            "a#t=1?b%20c&amp;d",
            "caf\udce9 ü",
        ],
    )
    def test_lead_to_the_file_whatever_its_name(self, tmp_path, name):
        path = video(tmp_path / "plain.mp4", None).rename(tmp_path / f"{name}.mp4")
        link = self.link(path)
        assert link.isascii() and not set(link) & set("<>\"'\n ")
        parts = urlsplit(link)
        assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("file", "", "", "")
        assert unquote_to_bytes(parts.path) == os.fsencode(path)

    @pytest.mark.parametrize(
        ("start", "end", "fragment"),
        [
            (np.nan, np.nan, ""),
            (0.5, np.nan, "t=0.5"),
            (np.nan, 1.25, "t=,1.25"),
            (1.0, 12345.678, "t=1,12345.678"),
            (0.00001, 1e9, "t=0,1000000000"),
        ],
    )
    def test_tell_the_span(self, tmp_path, start, end, fragment):
        path = video(tmp_path / "a.mp4", None)
        assert urlsplit(self.link(path, start, end)).fragment == fragment

    def test_lead_through_linked_folders_and_keep_the_name(self, tmp_path, monkeypatch):
        """A browser takes the ".." out of a path without asking where its folders lead."""
        far = tmp_path / "far" / "away"
        far.mkdir(parents=True)
        stored = video(tmp_path / "far" / "0123.mp4", None)
        (tmp_path / "far" / "a.mp4").symlink_to(stored)
        (tmp_path / "here").symlink_to(far)
        monkeypatch.chdir(tmp_path)
        assert self.link(Path("here/../a.mp4")) == (tmp_path / "far" / "a.mp4").as_uri()


def test_images_have_pixels_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    config = make_config("images")
    made = make_thumbnails(ArrayImages(pixels), np.array([4, 7]), config, workers=0)
    assert made.keys() == {"row", "pixels"}
    assert made["row"].tolist() == [4, 7]
    np.testing.assert_array_equal(made["pixels"], pixels)
    gone = make_thumbnails(FileImages([tmp_path / "gone.png"]), np.array([0]), config, workers=0)
    assert len(gone["row"]) == len(gone["pixels"]) == 0
