"""Files like MNIST's test part and like the Free Spoken Digit Dataset, small and made up."""

import gzip
import wave
from pathlib import Path

import numpy as np

from newfound.av_digits.material import LABELS, PICTURES, Material, Recording

VOICE_RATE = 8_000


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def write_wav(path: Path, samples: np.ndarray, channels: int = 1, width: int = 2) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(VOICE_RATE)
        file.writeframes(samples.astype({1: "u1", 2: "<i2"}[width]).tobytes())


def made_picture(number: int) -> np.ndarray:
    """(28, 28) uint8, another one for every number."""
    picture = np.zeros((28, 28), np.uint8)
    picture[4:24, 4:24] = np.random.default_rng(number).integers(0, 256, (20, 20))
    return picture


def made_voice(number: int) -> np.ndarray:
    """(2400 to 4000,) int16, another one for every number."""
    random = np.random.default_rng(number)
    return random.normal(0, 3_000, int(random.integers(2_400, 4_001))).astype(np.int16)


def made_material(pictures: int = 4, voices: int = 4) -> Material:
    """So many of each digit, in a mixed order."""
    pictured = np.arange(10 * pictures) * 7 % 10
    spoken = np.arange(10 * voices) * 3 % 10
    return Material(
        np.stack([made_picture(number) for number in range(len(pictured))]),
        pictured,
        tuple(
            Recording(f"{digit}_{i}", made_voice(i), VOICE_RATE) for i, digit in enumerate(spoken)
        ),
        spoken,
        "made up",
    )


def write_material(folder: Path, pictures: int = 2, voices: int = 2) -> tuple[Path, Path]:
    """Folders as MNIST and the recordings come, so many of each digit."""
    digits, speech = folder / "mnist", folder / "fsdd"
    digits.mkdir(parents=True)
    (speech / "recordings").mkdir(parents=True)
    labels = np.arange(10 * pictures) % 10
    write_idx(digits / PICTURES, np.stack([made_picture(i) for i in range(len(labels))]))
    write_idx(digits / LABELS, labels)
    for number in range(10 * voices):
        name = f"{number % 10}_ann_{number // 10}.wav"
        write_wav(speech / "recordings" / name, made_voice(number))
    return digits, speech
