from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

import newfound.av_digits.make as module
from newfound.av_digits.make import make_av_digits
from newfound.av_digits.material import bundled_material, real_material
from newfound.av_digits.picture import moving_digit
from newfound.av_digits.sound import voice
from newfound.errors import InputError, RunFolderError
from support.digit_files import write_material
from support.small_run import contents, newfound

SETTINGS: dict[str, Any] = {"per_class": 1, "seed": 3, "clutter": 0.5, "snr_db": 20.0}


MATERIAL = bundled_material()


@pytest.fixture(autouse=True)
def once_made_material(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "bundled_material", lambda: MATERIAL)  # half a second each time


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("av") / "digits"
    make_av_digits(out, bundled=True, **SETTINGS)
    return out


def decoded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(T, H, W) brightness and (samples,) sound, as int."""
    with av.open(str(path)) as file:
        frames = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    with av.open(str(path)) as file:
        parts = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    return np.stack(frames).astype(int), np.concatenate(parts)


def test_the_files_are_h264_and_aac_in_a_folder_per_digit(bundled: Path) -> None:
    videos = make_av_digits(bundled, bundled=True, **SETTINGS)
    files = sorted(str(path.relative_to(bundled)) for path in bundled.rglob("*.mp4"))
    assert (
        files == sorted(video.path for video in videos) == [f"{d}/{d}-0000.mp4" for d in range(10)]
    )
    for video in videos:
        with av.open(str(bundled / video.path)) as file:
            (picture,), (sound,) = file.streams.video, file.streams.audio
            assert (picture.codec.name, sound.codec.name) == ("h264", "aac")
            assert (picture.width, picture.height) == (128, 128)
            assert not file.metadata.keys() & {"creation_time", "encoder"}
            assert picture.average_rate == video.frames_per_second
            assert picture.frames == video.frames
            assert (sound.sample_rate, sound.channels) == (16_000, 1)
            seconds = float(picture.duration * picture.time_base)
            assert seconds == pytest.approx(video.picture_seconds, abs=1e-3)
            heard = float(sound.duration * sound.time_base)
            assert video.sound_seconds - 1e-3 <= heard <= video.sound_seconds + 0.13


def test_the_pictures_are_those_drawn(bundled: Path) -> None:
    for video in make_av_digits(bundled, bundled=True, **SETTINGS)[:3]:
        times = np.arange(video.frames) / video.frames_per_second
        drawn = moving_digit(MATERIAL.pictures[video.picture], times, 0.5, video.seed)
        error = decoded(bundled / video.path)[0] - drawn.astype(int)
        assert np.abs(error.reshape(-1, 16, 8, 16, 8).mean((2, 4))).max() < 12
        assert np.abs(error).mean() < 14  # noise is what H.264 leaves out


def test_the_digit_is_said_at_the_planned_moment(bundled: Path) -> None:
    for video in make_av_digits(bundled, bundled=True, **SETTINGS):
        _, sound = decoded(bundled / video.path)
        alone = voice(MATERIAL.recordings[video.recording], video.sound_seconds, (0.0,))
        size = 2 * len(sound)
        match = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(alone, size).conj(), size)
        heard_at_seconds = match[: len(sound)].argmax() / 16_000
        assert heard_at_seconds == pytest.approx(video.spoken_at_seconds[0], abs=0.002)


def test_one_seed_one_set_of_bytes(bundled: Path, tmp_path: Path) -> None:
    make_av_digits(tmp_path / "again", bundled=True, **SETTINGS)
    assert contents(tmp_path / "again") == contents(bundled)
    make_av_digits(tmp_path / "other", bundled=True, **SETTINGS | {"seed": 4})
    assert contents(tmp_path / "other") != contents(bundled)


def test_readme_and_plan_say_how_it_was_made(bundled: Path) -> None:
    text = (bundled / "README.txt").read_text()
    for line in ("per_class: 1", "seed: 3", "clutter: 0.5", "snr_db: 20.0", "repeat: False"):
        assert f"\n{line}\n" in text
    assert "scikit-learn" in text
    assert MATERIAL.fingerprint() in text
    table = pd.read_csv(bundled / "plan.csv")
    assert table["digit"].tolist() == list(range(10))
    assert table["picture"].is_unique and table["recording"].is_unique


def test_real_material_is_used_up_and_named(tmp_path: Path) -> None:
    digits, speech = write_material(tmp_path, pictures=1, voices=1)
    videos = make_av_digits(tmp_path / "out", digits, speech, clutter=0, repeat=True)
    assert len(videos) == 10
    assert sorted(video.picture for video in videos) == list(range(10))
    assert "CC BY-SA 4.0" in (tmp_path / "out" / "README.txt").read_text()
    assert any(len(video.spoken_at_seconds) > 1 for video in videos)
    frames, _ = decoded(tmp_path / "out" / videos[0].path)
    light = frames > (frames.min() + frames.max()) / 2
    middles = [np.argwhere(frame).mean(0) for frame in light]
    assert np.ptp(middles, axis=0).max() > 5


def test_an_interrupted_call_goes_on(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, written, write = tmp_path / "out", [], module.write_mp4

    def stop_at_the_fourth(path: Path, *rest: Any) -> None:
        if len(written) == 3:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        write(path, *rest)
        written.append(path)

    monkeypatch.setattr(module, "write_mp4", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        make_av_digits(out, bundled=True, **SETTINGS)
    assert len(list(out.rglob("*.mp4"))) == 3
    (out / "5" / ".5-0000.mp4.abc.part").write_bytes(b"of a killed process")

    def count(path: Path, *rest: Any) -> None:
        write(path, *rest)
        written.append(path)

    monkeypatch.setattr(module, "write_mp4", count)
    make_av_digits(out, bundled=True, **SETTINGS)
    assert len(written) == 10
    assert contents(out) == contents(bundled)


@pytest.mark.parametrize("error", [OSError(28, "No space left"), av.error.OSError(28, "full")])
def test_a_full_disk_is_explained(
    tmp_path: Path, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr(module, "write_mp4", full)
    with pytest.raises(RunFolderError, match=r"0-0000\.mp4.*free the disk"):
        make_av_digits(tmp_path / "out", bundled=True, **SETTINGS)


def test_whole_numbers_are_the_same_settings(tmp_path: Path) -> None:
    make_av_digits(tmp_path, bundled=True, per_class=1, clutter=0, snr_db=20)
    before = contents(tmp_path)
    make_av_digits(tmp_path, bundled=True, per_class=1, clutter=0.0, snr_db=20.0)
    assert contents(tmp_path) == before


def test_a_folder_made_otherwise_is_refused_and_left_alone(bundled: Path) -> None:
    before = contents(bundled)
    with pytest.raises(InputError, match=r"made otherwise \(clutter: 0\.5\); give another folder"):
        make_av_digits(bundled, bundled=True, **SETTINGS | {"clutter": 0.2})
    assert contents(bundled) == before


@pytest.mark.parametrize("name", ["photo.jpg", ".hidden", "0/cat.mp4"])
def test_a_folder_with_other_content_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match="holds files of something else; give a new or an empty"):
        make_av_digits(tmp_path, bundled=True, **SETTINGS)
    assert contents(tmp_path) == {name: b"x"}


def test_an_empty_folder_is_taken_and_a_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file; give the name of a folder"):
        make_av_digits(tmp_path / "file", bundled=True, **SETTINGS)
    with pytest.raises(InputError, match=r"cannot make the folder .*file/below"):
        make_av_digits(tmp_path / "file" / "below", bundled=True, **SETTINGS)


@pytest.mark.parametrize(
    "given", [{}, {"digits": Path("a")}, {"speech": Path("a")}, {"speech": Path("a"), "bundled": 1}]
)
def test_half_of_the_material_is_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="both digits and speech, or bundled alone"):
        make_av_digits(tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_other_material_is_other_content(tmp_path: Path) -> None:
    digits, speech = write_material(tmp_path)
    material = real_material(digits, speech)
    settings = module.Settings(1)
    other = replace(material, pictures=255 - material.pictures)
    assert module.readme(material, settings) != module.readme(other, settings)


def test_the_command_makes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert newfound("make-av-digits", "--bundled", "--out", out, "--per-class", 1) == 0
    assert f"10 videos -> {out}" in capsys.readouterr().err
    assert len(list(out.rglob("*.mp4"))) == 10
    assert newfound("make-av-digits", "--out", out) == 2
    assert "give the folders of both digits and speech" in capsys.readouterr().err
