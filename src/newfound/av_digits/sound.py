"""The sound of AV digits: a voice that says the digit at its moment, and noise all the time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from newfound.av_digits.material import Recording

SOUND_RATE = 16_000

Samples = NDArray[np.float32]


def voice(recording: Recording, seconds: float, moments: Sequence[float]) -> Samples:
    """The recording at each of the moments (seconds), silence elsewhere.

    Returns (round(seconds * 16,000),) float32. While the voice speaks its mean square is 1.
    """
    said = resampled(recording)
    said /= np.sqrt(np.mean(said**2))
    track = np.zeros(round(seconds * SOUND_RATE), np.float32)
    for moment in moments:
        part = track[round(moment * SOUND_RATE) :][: len(said)]
        part += said[: len(part)]
    return track


def noise(samples: int, snr_db: float, random: np.random.Generator) -> Samples:
    """(samples,) float32, `snr_db` weaker than a mean square of 1, between white and pink."""
    spectrum = np.fft.rfft(random.normal(size=samples))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** -random.uniform(0, 0.5)
    coloured = np.fft.irfft(spectrum, samples)
    scale = 10 ** (-snr_db / 20) / np.sqrt(np.mean(coloured**2))
    return np.asarray(scale * coloured, dtype=np.float32)


def sound_track(
    recording: Recording,
    seconds: float,
    moments: Sequence[float],
    snr_db: float,
    seed: tuple[int, ...],
) -> NDArray[np.int16]:
    """Voice and noise together, at a random loudness; (round(seconds * 16,000),) int16."""
    random = np.random.default_rng([*seed, 2])
    spoken = voice(recording, seconds, moments)
    mixed = spoken + noise(len(spoken), snr_db, random)
    peak = random.uniform(0.2, 0.9) * 32_767
    return np.asarray(mixed * (peak / np.abs(mixed).max()), dtype=np.int16)


def resampled(recording: Recording) -> Samples:
    """Its samples at 16 kHz, as float32."""
    common = np.gcd(SOUND_RATE, recording.rate)
    at_rate = resample_poly(
        recording.samples.astype(np.float32), SOUND_RATE // common, recording.rate // common
    )
    return np.asarray(at_rate, dtype=np.float32)
