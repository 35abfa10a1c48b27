"""What AV digits are made of: pictures of handwritten digits and recordings that say them."""

import gzip
import re
import wave
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from newfound.errors import InputError

DIGITS = 10
PICTURE_PX = 28
LONGEST_SECONDS = 5.0
PICTURES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"

LOW_TONES_HZ = (941, 697, 697, 697, 770, 770, 770, 852, 852, 852)
HIGH_TONES_HZ = (1336, 1209, 1336, 1477, 1209, 1336, 1477, 1209, 1336, 1477)
"""A telephone's tones for 0 to 9: no tone belongs to one digit alone, only the pair does."""
TONES_RATE = 16_000


@dataclass(frozen=True)
class Recording:
    """One voice saying one digit.  samples: (n,) int16, mono.  rate: samples per second."""

    name: str
    samples: NDArray[np.int16]
    rate: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / self.rate


@dataclass(frozen=True)
class Material:
    """Pictures and recordings of the ten digits.

    pictures: (n, 28, 28) uint8, light on black.  pictured: (n,) int64, their digits.
    recordings: m of them.  spoken: (m,) int64, their digits.  source: where it is from, in words.
    """

    pictures: NDArray[np.uint8]
    pictured: NDArray[np.int64]
    recordings: tuple[Recording, ...]
    spoken: NDArray[np.int64]
    source: str

    def fingerprint(self) -> str:
        """Eight hexadecimal digits that change with any picture, recording or digit."""
        checksum = 0
        for array in (self.pictures, self.pictured, self.spoken):
            checksum = zlib.crc32(array.tobytes(), checksum)
        for recording in self.recordings:
            checksum = zlib.crc32(f"{recording.name} {recording.rate}".encode(), checksum)
            checksum = zlib.crc32(recording.samples.tobytes(), checksum)
        return f"{checksum:08x}"


def real_material(digits: Path, speech: Path) -> Material:
    """MNIST's test part and the Free Spoken Digit Dataset, from folders.

    digits: holds `t10k-images-idx3-ubyte.gz` and `t10k-labels-idx1-ubyte.gz`.
    speech: holds, at any depth, `<digit>_<speaker>_<n>.wav`, 16 bit mono of any rate.
    Raises InputError if a file is missing or not of that kind.
    """
    pictures, pictured = read_idx(digits / PICTURES), read_idx(digits / LABELS)
    if pictures.shape != (len(pictured), PICTURE_PX, PICTURE_PX) or pictured.max() >= DIGITS:
        raise InputError(
            f"{digits}: {PICTURES} has the shape {pictures.shape} and {LABELS} {pictured.shape}; "
            "give MNIST's published test part, n pictures of 28 x 28 and n digits"
        )
    paths = {path.stem: path for path in sorted(speech.rglob("*.wav")) if _says_digit(path)}
    if not paths:
        raise InputError(
            f"no recordings <digit>_<speaker>_<n>.wav in {speech}; give the folder of the "
            "unpacked Free Spoken Digit Dataset"
        )
    return Material(
        pictures,
        pictured.astype(np.int64),
        tuple(read_recording(path) for path in paths.values()),
        np.array([int(name[0]) for name in paths], dtype=np.int64),
        "pictures: MNIST's test part (LeCun, Cortes, Burges)\n"
        "voices: the recordings given with --speech; the Free Spoken Digit Dataset is "
        "CC BY-SA 4.0, and videos made of it are to be passed on under the same licence",
    )


def bundled_material() -> Material:
    """Scikit-learn's handwritten digits, enlarged, and as many pairs of tones; needs no files.

    Each digit has the pair that it has on a telephone, of random length, detuning and balance.
    The tones are drawn once and for all, like recordings.
    """
    digits = load_digits()
    random = np.random.default_rng(0)
    return Material(
        np.stack([_enlarged(image) for image in digits.images]),
        digits.target.astype(np.int64),
        tuple(
            Recording(f"{digit}_tones_{number}", _tones(digit, random), TONES_RATE)
            for number, digit in enumerate(digits.target)
        ),
        digits.target.astype(np.int64),
        "pictures: the digits of scikit-learn (UCI Optical Recognition of Handwritten Digits)\n"
        "sounds: pairs of tones as on a telephone's keys",
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of unsigned bytes in a gzipped file in MNIST's IDX format.

    Raises InputError if it cannot be read or is of another format.
    """
    try:
        content = gzip.decompress(path.read_bytes())
        if content[:3] != b"\x00\x00\x08":
            raise ValueError("it does not begin like an IDX file of unsigned bytes")
        dimensions = content[3]
        shape = np.frombuffer(content, ">u4", dimensions, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise InputError(f"cannot read {path}: {error}; give the folder of {path.name}") from error


def read_recording(path: Path) -> Recording:
    """A WAV file of 16 bit mono sound, at most 5 s. Raises InputError if it is something else."""
    try:
        with wave.open(str(path)) as file:
            kind = (file.getnchannels(), 8 * file.getsampwidth())
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
            recording = Recording(path.stem, samples, file.getframerate())
    except (OSError, EOFError, wave.Error, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; mend it or take it away") from error
    if kind != (1, 16):
        raise InputError(f"{path} has {kind[0]} channels of {kind[1]} bits; give 16 bit mono")
    if not samples.any() or recording.seconds > LONGEST_SECONDS:
        raise InputError(
            f"{path} lasts {recording.seconds:.2f} s, its loudest sample is "
            f"{np.abs(samples.astype(int)).max(initial=0)}; give sound of at most "
            f"{LONGEST_SECONDS:g} s that can be heard"
        )
    return recording


def _says_digit(path: Path) -> bool:
    return re.fullmatch(r"\d_.+_\d+", path.stem, re.ASCII) is not None


def _enlarged(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(8, 8), 0 to 16 -> (28, 28) uint8 with MNIST's margin of 4 pixels."""
    levels = Image.fromarray((image * (255 / 16)).round().astype(np.uint8))
    inner = PICTURE_PX - 8
    return np.pad(np.asarray(levels.resize((inner, inner), Image.Resampling.BICUBIC)), 4)


def _tones(digit: int, random: np.random.Generator) -> NDArray[np.int16]:
    """(n,) int16 at 16 kHz, 0.25 to 0.6 s."""
    pair = np.array([LOW_TONES_HZ[digit], HIGH_TONES_HZ[digit]])
    hertz = pair * 2 ** (random.normal(0, 0.2, 2) / 12)  # a fifth of a semitone
    times = np.arange(int(random.uniform(0.25, 0.6) * TONES_RATE)) / TONES_RATE
    phases, balance = random.uniform(0, 2 * np.pi, 2), random.uniform(0.5, 1, 2)
    waves = balance[:, None] * np.sin(2 * np.pi * hertz[:, None] * times + phases[:, None])
    swell = np.minimum(1, np.minimum(times, times[::-1]) / 0.02)
    return np.asarray(8_000 * swell * waves.sum(0), dtype=np.int16)
