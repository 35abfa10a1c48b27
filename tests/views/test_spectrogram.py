"""Spectrograms against torchaudio, loops and closed forms; masks against their definition."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor
from torch.profiler import profile
from torchaudio.functional import melscale_fbanks
from torchaudio.transforms import MelSpectrogram

from newfound.views.spectrogram import (
    FLOOR_DB,
    LogMel,
    Sounds,
    draw_masks,
    fft_samples,
    mel_filters,
    plain_sound_view,
    spec_augment,
    two_sound_views,
)

CPU = torch.device("cpu")
PAPER = Sounds()
SMALL = Sounds(sound_seconds=0.2, mels=12, sample_rate=1000)
"""200 samples, windows of 20 every 10: 19 frames."""
UNMASKED = replace(SMALL, mel_masks=0, time_masks=0)
WAITS = {"aten::item", "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select"}
"""Operations whose result the host waits for on a GPU."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int = 3, samples: int = PAPER.samples, amplitude: float = 0.1) -> Tensor:
    return amplitude * torch.randn(count, samples, generator=seeded(5))


def tone(hertz: float, sounds: Sounds = PAPER, amplitude: float = 0.5) -> Tensor:
    seconds = torch.arange(sounds.samples, dtype=torch.float64) / sounds.sample_rate
    return (amplitude * torch.sin(2 * math.pi * hertz * seconds)).float()[None]


def band_centres(sounds: Sounds) -> Tensor:
    """Hertz, by the definition of HTK's mel scale."""
    highest = 2595 * math.log10(1 + sounds.sample_rate / 2 / 700)
    mel = torch.arange(1, sounds.mels + 1) * highest / (sounds.mels + 1)
    return 700 * (10 ** (mel / 2595) - 1)


def assert_same(actual: Tensor, expected: Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def assert_equally_often(values: Tensor, choices: int) -> None:
    counts = torch.bincount(values, minlength=choices)
    assert len(counts) == choices, f"{len(counts) - 1} drawn, at most {choices - 1} allowed"
    assert chisquare(counts.numpy()).pvalue > 1e-6, f"not equally often: {counts.tolist()}"


class TestSounds:
    def test_two_seconds_are_199_whole_frames(self):
        assert (PAPER.samples, PAPER.window_samples, PAPER.hop_samples) == (32000, 320, 160)
        assert PAPER.frames == 199 == (32000 - 320) // 160 + 1


class TestLogMel:
    def test_shape_of_the_paper(self):
        made = LogMel(PAPER, CPU)(noise())
        assert made.shape == (3, 1, 257, 199)
        assert made.dtype == torch.float32
        assert made.is_contiguous()

    @pytest.mark.parametrize("mels", [40, 257])
    def test_levels_like_torchaudio(self, mels):
        log_mel, sound = LogMel(replace(PAPER, mels=mels), CPU), noise()
        ours = log_mel.decibels(sound)
        # torchaudio's frames are as long as the FFT, with the window in their middle.
        theirs = MelSpectrogram(
            PAPER.sample_rate,
            n_fft=log_mel.fft_samples,
            win_length=320,
            hop_length=160,
            pad=(log_mel.fft_samples - 320) // 2,
            center=False,
            n_mels=mels,
        )(sound)
        full_scale_sine = torch.hann_window(320).sum() / 2
        assert_same(ours, 10 * (theirs / full_scale_sine.square()).log10(), atol=2e-3)

    def test_levels_by_their_definition(self):
        log_mel, sound = LogMel(SMALL, CPU), noise(2, SMALL.samples)
        assert_same(log_mel.decibels(sound).double(), decibels_in_loops(sound, SMALL), atol=1e-3)

    @pytest.mark.parametrize("band", range(0, 40, 3))
    def test_tone_is_loudest_in_the_band_nearest_to_it(self, band):
        sounds = replace(PAPER, mels=40)
        hertz = 0.9 * band_centres(sounds)[band] + 0.1 * band_centres(sounds)[max(band - 1, 0)]
        level = LogMel(sounds, CPU).decibels(tone(float(hertz), sounds))
        assert (level.argmax(dim=1) == band).all()

    @pytest.mark.parametrize("hertz", [300, 1000, 3333, 7000])
    def test_tone_is_loudest_within_a_bins_width_of_it(self, hertz):
        level = LogMel(PAPER, CPU).decibels(tone(hertz))
        peak = band_centres(PAPER)[level.argmax(dim=1)]
        assert (peak - hertz).abs().max() <= PAPER.sample_rate / PAPER.window_samples

    def test_full_scale_sine_is_0_db_in_its_bin(self):
        # An FFT of 4 samples has bins at 0, 250 and 500 Hz: one band holds the middle one alone.
        sounds = Sounds(sound_seconds=0.1, mels=1, sample_rate=1000, window_seconds=0.004)
        log_mel = LogMel(sounds, CPU)
        assert log_mel.fft_samples == 4
        assert log_mel.filters.count_nonzero() == 1
        level = log_mel.decibels(tone(250, sounds, amplitude=1.0))
        assert_same(level, (10 * log_mel.filters[1, 0].log10()).expand_as(level))

    def test_twice_the_amplitude_is_6_db_more(self):
        log_mel, sound = LogMel(PAPER, CPU), noise()
        louder = log_mel.decibels(2 * sound) - log_mel.decibels(sound)
        assert_same(louder, torch.full_like(louder, 20 * math.log10(2)))

    def test_loudness_is_no_part_of_the_spectrogram(self):
        log_mel, sound = LogMel(PAPER, CPU), noise()
        assert_same(log_mel(3 * sound), log_mel(sound))

    def test_mean_0_deviation_1(self):
        made = LogMel(PAPER, CPU)(noise())
        assert_same(made.mean(dim=(1, 2, 3)), torch.zeros(3))
        assert_same(made.std(dim=(1, 2, 3)), torch.ones(3))

    def test_is_the_levels_less_their_mean_over_their_deviation(self):
        log_mel, sound = LogMel(PAPER, CPU), noise() * torch.tensor([[1.0], [1e-2], [1e-4]])
        for made, level in zip(log_mel(sound), log_mel.decibels(sound).double()):
            slow = (level - level.mean()) / max(float(level.std(correction=0)), 1)
            assert_same(made[0].double(), slow, atol=1e-5)

    @pytest.mark.parametrize("bytes_at_once", [1, 100_000])
    def test_as_many_at_once_as_fit_make_no_difference(self, monkeypatch, bytes_at_once):
        log_mel, sound = LogMel(SMALL, CPU), noise(200, SMALL.samples)
        monkeypatch.setattr("newfound.views.spectrogram.CACHED_BYTES", 10**12)
        together = log_mel(sound)
        monkeypatch.setattr("newfound.views.spectrogram.CACHED_BYTES", bytes_at_once)
        assert_same(log_mel(sound), together, atol=1e-5)

    def test_integers_are_shares_of_full_scale(self):
        sound = (noise() * 2**15).clamp(-(2**15), 2**15 - 1).to(torch.int16)
        log_mel = LogMel(PAPER, CPU)
        assert torch.equal(log_mel(sound), log_mel(sound.double() / 2**15))

    def test_silence_is_0(self):
        log_mel = LogMel(PAPER, CPU)
        silence = torch.zeros(2, PAPER.samples, dtype=torch.int16)
        assert_same(log_mel.decibels(silence), torch.full((2, 257, 199), FLOOR_DB))
        assert_same(log_mel(silence), torch.zeros(2, 1, 257, 199))

    @pytest.mark.parametrize("before", [0, 30, 170])
    def test_silence_around_a_sound_does_not_change_the_sound(self, before):
        """As where a file begins or ends: frames of a sound alone, and 0 for those of silence."""
        alone, around = replace(PAPER, sound_seconds=0.3), torch.zeros(3, PAPER.samples)
        sound, hop = noise(3, alone.samples), PAPER.hop_samples
        around[:, before * hop : before * hop + alone.samples] = sound
        made = LogMel(PAPER, CPU)(around)
        inside = slice(before + 1, before + alone.frames - 1)  # not half in silence
        expected = LogMel(alone, CPU).decibels(sound)
        whole = LogMel(PAPER, CPU).decibels(around)
        heard = whole[:, :, (whole > FLOOR_DB).any(dim=(0, 1))]
        mean, deviation = heard.mean(dim=(1, 2)), heard.std(dim=(1, 2), correction=0)
        for row in range(3):
            normal = (expected[row, :, 1:-1] - mean[row]) / deviation[row]
            assert_same(made[row, 0, :, inside], normal, atol=1e-4)
        assert (made[:, 0, :, : max(before - 1, 0)] == 0).all()
        assert (made[:, 0, :, before + alone.frames + 1 :] == 0).all()

    def test_long_silence_is_exactly_0(self):
        """The sum of millions of levels of -90 dB would be rounded."""
        sounds = replace(PAPER, sound_seconds=40.0)
        assert (LogMel(sounds, CPU)(torch.zeros(1, sounds.samples)) == 0).all()

    def test_rounding_of_silence_is_no_sound(self):
        rounding = torch.rand(2, PAPER.samples, generator=seeded()) - 0.5
        assert_same(LogMel(PAPER, CPU)(rounding / 2**15), torch.zeros(2, 1, 257, 199))

    def test_neighbours_in_the_batch_do_not_matter(self):
        log_mel, sound = LogMel(PAPER, CPU), noise()
        alone = torch.cat([log_mel(one) for one in sound.split(1)])
        assert_same(log_mel(sound), alone)

    def test_of_nothing_is_nothing(self):
        assert LogMel(PAPER, CPU)(noise(0)).shape == (0, 1, 257, 199)

    def test_autocast_changes_nothing(self):
        log_mel, sound = LogMel(PAPER, CPU), noise()
        with torch.autocast("cpu", torch.bfloat16):
            made = log_mel(sound)
        assert torch.equal(made, log_mel(sound))


def decibels_in_loops(sound: Tensor, sounds: Sounds) -> Tensor:
    """Levels in float64: the Fourier sum, the triangles and the logarithm, written out."""
    rate, length, points = sounds.sample_rate, sounds.window_samples, fft_samples(sounds)
    window = [math.sin(math.pi * n / length) ** 2 for n in range(length)]
    centres = [0.0, *band_centres(sounds).double().tolist(), rate / 2]
    level = torch.empty(len(sound), sounds.mels, sounds.frames, dtype=torch.float64)
    turn = -2j * math.pi / points
    for i in range(len(sound)):
        for frame in range(sounds.frames):
            start = frame * sounds.hop_samples
            windowed = torch.tensor(window, dtype=torch.float64) * sound[i, start : start + length]
            power = []
            for k in range(points // 2 + 1):
                angles = turn * k * torch.arange(length)
                amplitude = (windowed * angles.exp()).sum().abs() * 2 / sum(window)
                power.append(float(amplitude) ** 2)
            for band in range(sounds.mels):
                low, middle, high = centres[band : band + 3]
                total = 0.0
                for k in range(points // 2 + 1):
                    hertz = k * rate / points
                    rising = (hertz - low) / (middle - low)
                    falling = (high - hertz) / (high - middle)
                    total += max(0.0, min(rising, falling)) * power[k]
                level[i, band, frame] = 10 * math.log10(max(total, 10 ** (FLOOR_DB / 10)))
    return level


@pytest.mark.parametrize(
    ("bins", "mels", "rate"), [(1025, 257, 16_000), (257, 64, 16_000), (65, 1, 1000)]
)
def test_filters_are_torchaudios(bins, mels, rate):
    theirs = melscale_fbanks(bins, 0.0, rate / 2, mels, rate)
    assert torch.equal(mel_filters(bins, mels, rate), theirs)


class TestFftSamples:
    def test_of_the_paper(self):
        assert fft_samples(PAPER) == 2048

    @pytest.mark.parametrize("rate", [8_000, 16_000])
    def test_every_band_of_any_number_has_weight(self, rate):
        for mels in (*range(1, 40), *range(40, 300, 7), 256, 257, 512):
            filters = LogMel(Sounds(mels=mels, sample_rate=rate), CPU).filters
            assert filters.amax(dim=0).min() > 0.25, f"a band of {mels} has no weight"

    def test_holds_the_window(self):
        assert fft_samples(replace(PAPER, mels=8)) == 512
        assert fft_samples(replace(PAPER, mels=8, window_seconds=0.1)) == 2048


class TestTwoSoundViews:
    def test_shape_and_type(self):
        sound = (noise(3, 48000) * 2**15).to(torch.int16)
        made = two_sound_views(sound, LogMel(PAPER, CPU), seeded())
        assert made.shape == (6, 1, 257, 199)
        assert made.dtype == torch.float32
        assert made.isfinite().all()

    def test_same_generator_state_same_views_to_the_bit(self):
        sound, log_mel = noise(3, 300), LogMel(SMALL, CPU)
        first = two_sound_views(sound, log_mel, seeded(3))
        assert torch.equal(first, two_sound_views(sound, log_mel, seeded(3)))
        assert not torch.equal(first, two_sound_views(sound, log_mel, seeded(4)))

    def test_generator_moves_on(self):
        sound, log_mel, generator = noise(3, 300), LogMel(SMALL, CPU), seeded(3)
        first = two_sound_views(sound, log_mel, generator)
        assert not torch.equal(first, two_sound_views(sound, log_mel, generator))

    def test_the_two_views_of_each_sound_and_the_sounds_differ(self):
        sound = noise(1, 300).expand(3, -1)
        made = two_sound_views(sound, LogMel(UNMASKED, CPU), seeded()).flatten(1)
        assert torch.cdist(made, made).add(torch.eye(6) * 1e9).min() > 1

    def test_rows_are_view_0_then_view_1_in_the_items_order(self):
        sound = torch.cat([tone(hertz, UNMASKED) for hertz in (60, 150, 350)])
        made = two_sound_views(sound, LogMel(UNMASKED, CPU), seeded())
        assert_same(made, LogMel(UNMASKED, CPU)(sound).repeat(2, 1, 1, 1))

    def test_starts_anywhere_equally_often(self):
        sound = torch.arange(209).expand(4000, -1)
        pieces = two_sound_views(sound, Uncut(UNMASKED, CPU), seeded()).flatten(1).long()
        assert (pieces.diff(dim=1) == 1).all()
        assert pieces.shape == (8000, UNMASKED.samples)
        for view in pieces[:, 0].chunk(2):
            assert_equally_often(view, 10)

    def test_starts_of_the_two_views_are_unrelated(self):
        sound = torch.arange(1200).expand(2000, -1)
        first, second = two_sound_views(sound, Uncut(UNMASKED, CPU), seeded())[:, 0, 0, 0].chunk(2)
        assert abs(torch.corrcoef(torch.stack((first, second)))[0, 1]) < 0.1

    def test_without_spare_length_is_the_sound_itself(self):
        sound = noise(3, SMALL.samples)
        log_mel = LogMel(UNMASKED, CPU)
        assert torch.equal(two_sound_views(sound, log_mel, seeded()), log_mel(sound.repeat(2, 1)))

    def test_after_a_short_sound_comes_silence(self):
        sound, log_mel = noise(2, 130), LogMel(UNMASKED, CPU)
        longer = torch.cat((sound, torch.zeros(2, 70)), dim=1)
        made = two_sound_views(sound, log_mel, seeded())
        assert torch.equal(made, two_sound_views(longer, log_mel, seeded()))

    @pytest.mark.parametrize("count", [0, 1])
    def test_of_none_or_one(self, count):
        made = two_sound_views(noise(count, 300), LogMel(SMALL, CPU), seeded())
        assert made.shape == (2 * count, 1, 12, 19)

    def test_silence_is_0(self):
        silence = torch.zeros(2, 300, dtype=torch.int16)
        assert_same(
            two_sound_views(silence, LogMel(SMALL, CPU), seeded()), torch.zeros(4, 1, 12, 19)
        )

    def test_nothing_waits_for_the_device_and_no_item_costs_operations(self):
        few, many = (operation_counts(noise(count, 300)) for count in (1, 8))
        assert few == many
        assert not WAITS & set(many)


class Uncut(LogMel):
    """Passes the samples on, to see which they are."""

    def __call__(self, sound: Tensor) -> Tensor:
        return sound[:, None, None].float()


def operation_counts(sound: Tensor) -> dict[str, int]:
    log_mel, generator = LogMel(SMALL, CPU), seeded()
    with profile() as recorded:
        two_sound_views(sound, log_mel, generator)
    return {event.key: event.count for event in recorded.key_averages()}


class TestPlainSoundView:
    @pytest.mark.parametrize(("samples", "start"), [(200, 0), (201, 0), (202, 1), (300, 50)])
    def test_middle(self, samples, start):
        sound, log_mel = noise(3, samples), LogMel(SMALL, CPU)
        expected = log_mel(sound[:, start : start + 200])
        assert torch.equal(plain_sound_view(sound, log_mel), expected)

    def test_after_a_short_sound_comes_silence(self):
        sound, log_mel = noise(2, 5), LogMel(SMALL, CPU)
        longer = torch.cat((sound, torch.zeros(2, 195)), dim=1)
        assert torch.equal(plain_sound_view(sound, log_mel), log_mel(longer))

    def test_of_nothing_is_nothing(self):
        assert plain_sound_view(noise(0, 300), LogMel(SMALL, CPU)).shape == (0, 1, 12, 19)


def spectrograms(count: int = 4, mels: int = 257, frames: int = 199) -> Tensor:
    return torch.randn(count, 1, mels, frames, generator=seeded(8)) + 3


class TestSpecAugment:
    def test_hides_whole_bands_and_whole_frames_behind_the_mean(self):
        given = spectrograms(8)
        made = spec_augment(given, PAPER, seeded())
        for before, after in zip(given[:, 0], made[:, 0]):
            hidden = before != after
            bands, times = hidden.all(dim=1), hidden.all(dim=0)
            assert torch.equal(hidden, bands[:, None] | times[None])
            assert_same(after[hidden], before.mean().expand(int(hidden.sum())))
            assert torch.equal(after[~hidden], before[~hidden])
        assert (made != given).any(dim=1).flatten(1).any(dim=1).all()

    @pytest.mark.parametrize(
        ("sounds", "longest", "whole"),
        [(replace(PAPER, time_masks=0), 86, 2), (replace(PAPER, mel_masks=0), 39, 1)],
    )
    def test_of_bands_or_of_frames_alone(self, sounds, longest, whole):
        given = spectrograms(200)
        hidden = (spec_augment(given, sounds, seeded()) != given)[:, 0]
        runs = hidden.all(dim=whole)
        assert torch.equal(hidden, runs.unsqueeze(whole).expand_as(hidden))
        # Two runs, so in some of so many items they take more than the longest one can.
        assert longest < runs.sum(dim=1).max() <= 2 * longest

    def test_no_masks_change_nothing(self):
        given = spectrograms()
        none = replace(PAPER, mel_masks=0, time_masks=0)
        assert torch.equal(spec_augment(given, none, seeded()), given)
        of_no_length = replace(PAPER, mel_mask_share=0, time_mask_share=0)
        assert torch.equal(spec_augment(given, of_no_length, seeded()), given)

    def test_items_differ_and_the_generator_decides(self):
        given = spectrograms(1).expand(4, -1, -1, -1)
        made = spec_augment(given, PAPER, seeded(1))
        assert torch.equal(made, spec_augment(given, PAPER, seeded(1)))
        assert not torch.equal(made, spec_augment(given, PAPER, seeded(2)))
        assert torch.cdist(made.flatten(1), made.flatten(1)).add(torch.eye(4) * 1e9).min() > 1

    @pytest.mark.parametrize("count", [0, 1])
    def test_of_none_or_one(self, count):
        assert spec_augment(spectrograms(count), PAPER, seeded()).shape == (count, 1, 257, 199)


class TestDrawMasks:
    @settings(max_examples=60, deadline=None)
    @given(
        masks=st.integers(0, 4),
        length=st.integers(1, 60),
        longest_share=st.floats(0, 1),
        seed=st.integers(0, 2**31),
    )
    def test_never_more_than_asked(self, masks, length, longest_share, seed):
        drawn = draw_masks(50, masks, length, longest_share, seeded(seed))
        assert drawn.shape == (50, length)
        assert drawn.sum(dim=1).max() <= masks * int(longest_share * length)
        assert all(len(runs_in(row)) <= masks for row in drawn.tolist())

    def test_lengths_and_places_are_uniform(self):
        drawn = [runs_in(row) for row in draw_masks(20_000, 1, 12, 0.5, seeded()).tolist()]
        runs = [run[0] if run else (0, 0) for run in drawn]
        assert_equally_often(torch.tensor([length for _, length in runs]), 7)
        starts: dict[int, Counter] = {length: Counter() for length in range(1, 7)}
        for start, length in runs:
            if length:
                starts[length][start] += 1
        for length, counter in starts.items():
            every = torch.tensor(list(counter.elements()))
            assert_equally_often(every, 12 - length + 1)

    def test_masks_of_a_row_are_unrelated(self):
        # Two masks leave a place free as often as one mask does, squared.
        one = 1 - draw_masks(20_000, 1, 10, 0.5, seeded(1)).float().mean(dim=0)
        two = 1 - draw_masks(20_000, 2, 10, 0.5, seeded(2)).float().mean(dim=0)
        assert_same(two, one.square(), atol=0.02)


def runs_in(row: list[bool]) -> list[tuple[int, int]]:
    """The start and the length of each run of True."""
    runs, start = [], None
    for place, hidden in enumerate([*row, False]):
        if hidden and start is None:
            start = place
        if not hidden and start is not None:
            runs.append((start, place - start))
            start = None
    return runs
