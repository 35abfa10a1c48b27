from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from newfound.av_digits.material import (
    HIGH_TONES_HZ,
    LABELS,
    LOW_TONES_HZ,
    PICTURES,
    Recording,
    bundled_material,
    real_material,
)
from newfound.errors import InputError
from support.digit_files import (
    made_material,
    made_picture,
    made_voice,
    write_idx,
    write_material,
    write_wav,
)


def test_pictures_and_voices_come_with_their_digits(tmp_path: Path) -> None:
    digits, speech = write_material(tmp_path)
    (speech / "recordings" / "noise.wav").write_bytes(b"no digit, not read")
    material = real_material(digits, speech)
    assert material.pictured.tolist() == [*range(10), *range(10)]
    assert np.array_equal(material.pictures[13], made_picture(13))
    names = [recording.name for recording in material.recordings]
    assert names == [f"{digit}_ann_{n}" for digit in range(10) for n in range(2)]
    assert material.spoken.tolist() == [int(name[0]) for name in names]
    assert np.array_equal(material.recordings[3].samples, made_voice(11))
    assert material.recordings[3].seconds == len(made_voice(11)) / 8_000


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "cannot read .*No such file.*give the folder of"),
        (lambda path: path.write_bytes(b"no gzip"), "cannot read .*give the folder of"),
        (_cut, "cannot read .*give the folder of"),
        (lambda path: write_idx(path, np.zeros((20, 8, 8))), r"\(20, 8, 8\).*28 x 28"),
        (lambda path: write_idx(path, np.zeros((3, 28, 28))), r"\(3, 28, 28\) .*\(20,\)"),
    ],
)
def test_pictures_that_are_none_are_refused(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    digits, speech = write_material(tmp_path)
    spoil(digits / PICTURES)
    with pytest.raises(InputError, match=message):
        real_material(digits, speech)


def test_labels_that_are_no_digits_are_refused(tmp_path: Path) -> None:
    digits, speech = write_material(tmp_path)
    write_idx(digits / LABELS, np.arange(20))
    with pytest.raises(InputError, match="give MNIST's published test part"):
        real_material(digits, speech)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b"no sound"), "cannot read .*mend it or take it away"),
        (lambda path: path.write_bytes(b""), "cannot read .*mend it or take it away"),
        (lambda path: write_wav(path, np.ones(800), channels=2), "2 channels of 16 bits"),
        (lambda path: write_wav(path, np.ones(800), width=1), "1 channels of 8 bits"),
        (lambda path: write_wav(path, np.zeros(800)), "its loudest sample is 0"),
        (lambda path: write_wav(path, np.zeros(0)), "lasts 0.00 s"),
        (lambda path: write_wav(path, np.ones(48_000)), "lasts 6.00 s.*at most 5 s"),
    ],
)
def test_recordings_that_are_none_are_refused(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    digits, speech = write_material(tmp_path)
    spoil(speech / "recordings" / "4_ann_1.wav")
    with pytest.raises(InputError, match=rf"(?s)4_ann_1\.wav.*{message}|{message}"):
        real_material(digits, speech)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    digits, _ = write_material(tmp_path)
    with pytest.raises(InputError, match=r"no recordings <digit>_<speaker>_<n>\.wav in .*empty"):
        real_material(digits, tmp_path / "empty")


def test_the_bundled_material_has_every_digit_seen_and_heard() -> None:
    material = bundled_material()
    assert material.pictures.shape == (1797, 28, 28)
    assert material.pictures.dtype == np.uint8
    assert material.pictures[:, 4:24, 4:24].any((1, 2)).all()
    assert not material.pictures[:, :4].any()
    assert np.bincount(material.pictured).min() == np.bincount(material.spoken).min() == 174
    assert material.fingerprint() == bundled_material().fingerprint()


def test_each_digit_has_its_pair_of_tones() -> None:
    material = bundled_material()
    for row in range(40):
        sound, digit = material.recordings[row], material.spoken[row]
        assert 0.25 <= sound.seconds <= 0.6
        power = np.abs(np.fft.rfft(sound.samples)) ** 2
        hertz = np.fft.rfftfreq(len(sound.samples), 1 / sound.rate)
        for low, high, tones in ((600, 1_050, LOW_TONES_HZ), (1_150, 1_600, HIGH_TONES_HZ)):
            band = (hertz > low) & (hertz < high)
            peak = hertz[band][power[band].argmax()]
            nearest = min(set(tones), key=lambda tone: abs(tone - peak))
            assert nearest == tones[digit]


def test_the_fingerprint_tells_any_change() -> None:
    material = made_material()
    brighter = material.pictures.copy()
    brighter[-1, 0, 0] += 1
    louder = Recording("9_0", material.recordings[-1].samples + np.int16(1), 8_000)
    others = (
        replace(material, pictures=brighter),
        replace(material, pictured=material.pictured[::-1].copy()),
        replace(material, spoken=material.spoken[::-1].copy()),
        replace(material, recordings=(*material.recordings[:-1], louder)),
    )
    prints = {material.fingerprint(), *(other.fingerprint() for other in others)}
    assert len(prints) == 5
