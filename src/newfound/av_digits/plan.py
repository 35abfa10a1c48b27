"""Which picture and which recording go into which file, and when the digit is said: pure data."""

import math
from dataclasses import dataclass

import numpy as np

from newfound.av_digits.material import DIGITS, Material
from newfound.errors import InputError

SECONDS = (2.0, 6.0)
FRAME_RATES = (10, 12, 15, 20, 24, 25, 30)
SHORT_SOUND_SHARE = 0.25
"""The share of files whose sound ends before the picture."""
EARLIER_SECONDS = (0.2, 0.8)
"""How much earlier it ends there."""
PAUSE_SECONDS = (0.3, 0.8)
"""Between one utterance and the next, where the digit is said again and again."""
LOUDEST_DB = 60.0


@dataclass(frozen=True)
class Settings:
    """How AV digits are made; checked when made.

    per_class: videos of each digit.  seed: of every random choice.
    clutter: 0 (plain ground) to 1 (noise and strokes all over it).
    snr_db: the voice's power over the noise's, in dB.
    repeat: say the digit again and again, instead of once.
    """

    per_class: int
    seed: int = 0
    clutter: float = 0.5
    snr_db: float = 0.0
    repeat: bool = False

    def __post_init__(self) -> None:
        if self.per_class < 1:
            raise InputError(f"per_class={self.per_class}; give the videos of a class, at least 1")
        if self.seed < 0:
            raise InputError(f"seed={self.seed}; give a whole number from 0 on")
        if not 0 <= self.clutter <= 1:
            raise InputError(f"clutter={self.clutter}; give a number from 0 to 1")
        if not abs(self.snr_db) <= LOUDEST_DB:
            raise InputError(
                f"snr_db={self.snr_db}; give decibels from -{LOUDEST_DB:g} (the voice is lost in "
                f"noise) to {LOUDEST_DB:g} (no noise is heard)"
            )


@dataclass(frozen=True)
class Video:
    """One file to be made.

    path: below the data set's folder.  picture, recording: their rows in `Material`.
    spoken_at_seconds: when an utterance begins.  seed: what looks and noise are drawn with.
    """

    path: str
    digit: int
    picture: int
    recording: int
    frames: int
    frames_per_second: int
    sound_seconds: float
    spoken_at_seconds: tuple[float, ...]
    seed: tuple[int, int, int]

    @property
    def picture_seconds(self) -> float:
        """How long the picture lasts; the sound lasts as long or less."""
        return self.frames / self.frames_per_second


def most_per_class(material: Material) -> int:
    """How many videos of each digit can be made without using anything twice."""
    return int(min(count.min() for count in _counts(material)))


def plan(material: Material, settings: Settings) -> tuple[Video, ...]:
    """The videos, all digits' first, then all digits' second, ...

    No picture and no recording is in two of them. A video does not depend on how many there are.
    Raises InputError if the material does not suffice.
    """
    if settings.per_class > (most := most_per_class(material)):
        pictures, recordings = _counts(material)
        digit = int(np.minimum(pictures, recordings).argmin())
        raise InputError(
            f"per_class={settings.per_class}, but there are {pictures[digit]} pictures and "
            f"{recordings[digit]} recordings of the digit {digit}, and none is used twice; "
            f"give at most {most}"
        )
    orders = [_orders(material, digit, settings.seed) for digit in range(DIGITS)]
    return tuple(
        _video(material, settings, digit, number, *(int(order[number]) for order in orders[digit]))
        for number in range(settings.per_class)
        for digit in range(DIGITS)
    )


def _counts(material: Material) -> tuple[np.ndarray, np.ndarray]:
    """How many pictures and recordings there are of each digit."""
    return (
        np.bincount(material.pictured, minlength=DIGITS),
        np.bincount(material.spoken, minlength=DIGITS),
    )


def _orders(material: Material, digit: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a digit's pictures and recordings, each shuffled."""
    random = np.random.default_rng([seed, digit])
    pictures, recordings = (material.pictured == digit), (material.spoken == digit)
    return random.permutation(pictures.nonzero()[0]), random.permutation(recordings.nonzero()[0])


def _video(
    material: Material, settings: Settings, digit: int, number: int, picture: int, recording: int
) -> Video:
    seed = (settings.seed, digit, number)
    random = np.random.default_rng([*seed, 0])
    voice_seconds = material.recordings[recording].seconds
    rate = int(random.choice(FRAME_RATES))
    # Room for the whole word even where the sound ends early
    shortest = max(SECONDS[0], voice_seconds + EARLIER_SECONDS[1])
    frames = math.ceil(random.uniform(shortest, SECONDS[1]) * rate - 1e-9)
    frames = min(frames, int(SECONDS[1] * rate))
    earlier = random.uniform(*EARLIER_SECONDS) if random.random() < SHORT_SOUND_SHARE else 0.0
    sound_seconds = frames / rate - earlier
    return Video(
        f"{digit}/{digit}-{number:04d}.mp4",
        digit,
        picture,
        recording,
        frames,
        rate,
        sound_seconds,
        _moments(random, sound_seconds, voice_seconds, settings.repeat),
        seed,
    )


def _moments(
    random: np.random.Generator, sound_seconds: float, voice_seconds: float, repeat: bool
) -> tuple[float, ...]:
    """When the voice begins; every utterance ends within the sound."""
    latest = sound_seconds - voice_seconds
    if not repeat:
        return (float(random.uniform(0, latest)),)
    moments = [float(random.uniform(0, min(latest, PAUSE_SECONDS[1])))]
    while (at := moments[-1] + voice_seconds + random.uniform(*PAUSE_SECONDS)) <= latest:
        moments.append(float(at))
    return tuple(moments)
