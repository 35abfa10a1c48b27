import numpy as np
import pytest

from newfound.av_digits.material import Recording
from newfound.av_digits.sound import SOUND_RATE, noise, resampled, sound_track, voice
from support.digit_files import VOICE_RATE, made_voice

WORD = Recording("3_ann_0", made_voice(0), VOICE_RATE)


@pytest.mark.parametrize("snr_db", [-12.0, 0.0, 9.0])
def test_the_voice_is_as_much_louder_than_the_noise_as_set(snr_db: float) -> None:
    for seed in range(5):
        track = sound_track(WORD, 4.0, (1.0, 2.5), snr_db, (seed,)).astype(np.float64)
        alone = voice(WORD, 4.0, (1.0, 2.5))
        spoken = alone * (alone @ track) / (alone @ alone)
        speaking = 2 * len(resampled(WORD))
        ratio = (spoken @ spoken / speaking) / np.mean((track - spoken) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.5)


def test_the_voice_speaks_at_its_moments_and_is_silent_else() -> None:
    track, word = voice(WORD, 3.0, (0.25, 1.5)), resampled(WORD)
    expected = np.zeros(48_000)
    for begin in (4_000, 24_000):
        expected[begin : begin + len(word)] = word / np.sqrt(np.mean(word**2))
    np.testing.assert_allclose(track, expected, rtol=1e-5)


def test_tracks_differ_in_loudness_and_colour_and_never_clip() -> None:
    tracks = [sound_track(WORD, 2.0, (0.5,), 0.0, (seed,)).astype(int) for seed in range(30)]
    peaks = [np.abs(track).max() for track in tracks]
    assert 6_000 < min(peaks) < 12_000 and 24_000 < max(peaks) < 30_000
    slopes = []
    for seed in range(30):
        power = np.abs(np.fft.rfft(noise(32_000, 0.0, np.random.default_rng(seed)))) ** 2
        slopes.append(power[20:2_000].mean() / power[-2_000:].mean())
    assert min(slopes) < 1.3 and max(slopes) > 5


def test_resampling_keeps_pitch_and_length() -> None:
    wave = (10_000 * np.sin(2 * np.pi * 440 * np.arange(8_000) / VOICE_RATE)).astype(np.int16)
    sound = resampled(Recording("0_a_0", wave, VOICE_RATE))
    ideal = 10_000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / SOUND_RATE)
    np.testing.assert_allclose(sound[200:-200], ideal[200:-200], atol=60)


def test_a_track_is_a_function_of_its_seed() -> None:
    one, same, other = (sound_track(WORD, 2.0, (0.5,), 0.0, (seed,)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
