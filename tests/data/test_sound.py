"""Sound keeps its place: through gaps, changes of format, jittering stamps and the resampler."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from av import AudioFrame
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from newfound.data.sound import is_silent, placed, resampled
from support.made_videos import tone

MILLISECOND = Fraction(1, 1000)


def frames_of(
    samples: NDArray[np.float32],
    rate: int,
    start_seconds: float = 0.0,
    jitter_seconds: float = 0.0,
    size: int = 1024,
) -> Iterator[AudioFrame]:
    """(channels, n) as a decoder gives them, stamped in milliseconds."""
    random = np.random.default_rng(0)
    for at in range(0, samples.shape[1], size):
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[:, at : at + size]),
            format="fltp",
            layout="stereo" if len(samples) == 2 else "mono",
        )
        seconds = start_seconds + at / rate + random.uniform(-1, 1) * jitter_seconds * (at > 0)
        frame.sample_rate, frame.time_base = rate, MILLISECOND
        frame.pts = round(seconds / MILLISECOND)
        yield frame


def sine(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * 32768 * np.sin(2 * np.pi * 440 * seconds)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("jitter_seconds", [0.0, 0.005])
def test_a_run_is_whole_and_seamless(rate: int, jitter_seconds: float) -> None:
    frames = frames_of(tone(1.0, 440, rate), rate, jitter_seconds=jitter_seconds)
    sound = placed(resampled(frames, 16_000), 0.0, 17_000, 16_000)
    error = np.abs(sound[50:15_950] - sine(np.arange(50, 15_950) / 16_000))
    assert error.max() < 150
    assert not is_silent(sound[15_990:16_000]) and is_silent(sound[16_020:])


def test_a_gap_is_silence_and_what_follows_keeps_its_time() -> None:
    def with_a_gap() -> Iterator[AudioFrame]:
        yield from frames_of(tone(0.5), 48_000)
        yield from frames_of(tone(0.5), 48_000, start_seconds=0.75)

    sound = placed(resampled(with_a_gap(), 16_000), 0.0, 20_000, 16_000)
    assert is_silent(sound[8_020:11_980])
    error = np.abs(sound[12_050:19_950] - sine(np.arange(50, 7_950) / 16_000))
    assert error.max() < 300


@pytest.mark.parametrize(("rate", "channels"), [(32_000, 1), (48_000, 2)])
def test_another_format_without_a_gap_begins_another_run(rate: int, channels: int) -> None:
    def changing() -> Iterator[AudioFrame]:
        yield from frames_of(tone(0.5), 48_000)
        yield from frames_of(tone(0.5, 440, rate, channels), rate, start_seconds=0.5)

    sound = placed(resampled(changing(), 16_000), 0.0, 16_000, 16_000)
    assert np.abs(sound[8_050:15_950] - sine(np.arange(50, 7_950) / 16_000)).max() < 150


@pytest.mark.parametrize("rate", [48_000, 32_000])
def test_frames_stamped_earlier_than_those_before_are_left_out(rate: int) -> None:
    def stepping_back() -> Iterator[AudioFrame]:
        yield from frames_of(tone(0.75), 48_000)
        yield from frames_of(tone(1.0, 2_000, rate), rate)

    sound = placed(resampled(stepping_back(), 16_000), 0.0, 16_000, 16_000)
    until = 12_000 - 350  # so much jitter is taken for no step
    assert np.abs(sound[50:until] - sine(np.arange(50, until) / 16_000)).max() < 150
    later = np.abs(np.fft.rfft(sound[12_600:15_900].astype(float)))
    assert later.argmax() / 3_300 * 16_000 == pytest.approx(2_000, abs=10)


def test_frames_without_stamps_go_on() -> None:
    frames = list(frames_of(tone(0.5), 48_000))
    for frame in frames[1:]:
        frame.pts = None
    sound = placed(resampled(frames, 16_000), 0.0, 8_000, 16_000)
    assert np.abs(sound[50:7_950] - sine(np.arange(50, 7_950) / 16_000)).max() < 150


@given(
    st.lists(st.tuples(st.integers(-30, 60), st.integers(1, 20)), max_size=5),
    st.integers(-20, 20),
    st.integers(1, 40),
)
def test_pieces_are_placed_like_a_loop_would(
    spans: list[tuple[int, int]], start: int, samples: int
) -> None:
    pieces = [(at, np.arange(1, n + 1, dtype=np.int16)) for at, n in sorted(spans)]
    window = np.zeros(samples, dtype=np.int16)
    for at, piece in pieces:
        for k, sample in enumerate(piece):
            if 0 <= at + k - start < samples:
                window[at + k - start] = sample
    placed_seconds = [(at / 10, piece) for at, piece in pieces]
    assert np.array_equal(placed(placed_seconds, start / 10, samples, 10), window)


def test_silence_is_what_nobody_hears() -> None:
    assert is_silent(np.zeros(0, np.int16)) and is_silent(np.array([3, -3], np.int16))
    assert not is_silent(np.array([0, 4], np.int16))
    assert not is_silent(np.array([0, -32768], np.int16))
