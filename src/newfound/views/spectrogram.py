"""Log-mel spectrograms of a batch of sounds and random views of them, made on their device.

2 s of sound give 257 mel bands x 199 frames in section 4: a window of 20 ms every 10 ms, without
padding at the ends. The 257 bins of a 512-point FFT are too few for 257 mel bands, some of which
would lie between two bins and stay empty, so the FFT is longer than the window (2048 points).

Levels are in dB, then less the sound's mean, over its deviation: how near and how loud a
microphone was recorded says nothing about the category, and SpecAugment's masks become 0. So do
frames of digital silence, which is what stands where a file has no sound: they take no part in mean
and deviation, or sound near the end of a file would look flatter than elsewhere.

16 views of 2 s take 30 ms of one CPU core.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from newfound.machine.chance import uniform

FULL_SCALE = 2**15
"""The amplitude of the loudest sine in int16."""
FLOOR_DB = -90.0
"""The lowest level told apart, dB of a full-scale sine: the rounding of 16 bits is below it."""
LEAST_DEVIATION_DB = 1.0
"""Less than any sound's, more than silence's, which becomes 0 and not noise."""

CACHED_BYTES = 2**22
"""Spectra made at once on a CPU: they stay in its caches, which saves a fifth of the time."""
GPU_BYTES = 2**30
"""Spectra made at once on a GPU: enough to keep it busy, and little of its memory."""


@dataclass(frozen=True)
class Sounds:
    """How sounds become spectrograms, and how views of them differ; the paper's (section 4).

    mel_masks, time_masks: runs of bands and of frames that SpecAugment hides in each view.
    mel_mask_share, time_mask_share: the longest such run, share of all bands or frames, 0..1. The
    paper does not give them; these are the strong policy (SS) of SpecAugment's Table 1, by which
    27 of 80 bands are the most, and of so few frames a share of p = 0.2.
    """

    sound_seconds: float = 2.0
    mels: int = 257
    mel_masks: int = 2
    mel_mask_share: float = 27 / 80
    time_masks: int = 2
    time_mask_share: float = 0.2
    sample_rate: int = 16_000
    window_seconds: float = 0.020
    hop_seconds: float = 0.010

    @property
    def samples(self) -> int:
        """Length of a view."""
        return round(self.sound_seconds * self.sample_rate)

    @property
    def window_samples(self) -> int:
        """Length of a frame."""
        return round(self.window_seconds * self.sample_rate)

    @property
    def hop_samples(self) -> int:
        """From the start of a frame to that of the next."""
        return round(self.hop_seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Frames that lie wholly within a view."""
        return (self.samples - self.window_samples) // self.hop_samples + 1


class LogMel:
    """Makes log-mel spectrograms; holds the window and the mel filters, made once per device."""

    def __init__(self, sounds: Sounds, device: torch.device) -> None:
        self.sounds = sounds
        self.fft_samples = fft_samples(sounds)
        window = torch.hann_window(sounds.window_samples)
        # So that a full-scale sine has the power 1 = 0 dB in the bin at its frequency.
        self.window = (2 * window / window.sum()).to(device)
        bins = self.fft_samples // 2 + 1
        self.filters = mel_filters(bins, sounds.mels, sounds.sample_rate).to(device)

    def __call__(self, sound: Tensor) -> Tensor:
        """Spectrograms, their frames with sound of mean 0 and deviation 1, those of silence 0.

        sound: (N, samples) int16, or floating point in [-1, 1], on the device of this object.
        Returns (N, 1, mels, frames) float32.
        """
        if len(sound) == 0:  # which the FFT refuses
            return torch.empty(0, 1, self.sounds.mels, self.sounds.frames, device=sound.device)
        level = self.decibels(sound)
        level -= FLOOR_DB  # silence is exactly 0 now
        is_heard = level.amax(dim=1, keepdim=True) > 0  # (N, 1, frames)
        count = is_heard.sum(dim=(1, 2), keepdim=True).clamp(min=1) * self.sounds.mels
        level -= level.sum(dim=(1, 2), keepdim=True) / count
        level *= is_heard
        # Not torch.std_mean, which takes six times as long on a CPU.
        deviation = (level.square().sum(dim=(1, 2), keepdim=True) / count).sqrt()
        return (level / deviation.clamp(min=LEAST_DEVIATION_DB))[:, None]

    def decibels(self, sound: Tensor) -> Tensor:
        """Levels of the bands, (N, mels, frames) float32, dB of a full-scale sine, >= FLOOR_DB.

        sound: as for calling this object, N at least 1.
        The filters are triangles of height 1 on HTK's mel scale, 0 Hz to half the sample rate.
        """
        samples = sound.float() if sound.is_floating_point() else sound / FULL_SCALE
        frames = samples.unfold(1, self.sounds.window_samples, self.sounds.hop_samples)
        bytes_at_once = CACHED_BYTES if sound.device.type == "cpu" else GPU_BYTES
        at_once = max(bytes_at_once // (frames.shape[1] * len(self.filters) * 8), 1)
        # Autocast would round the powers to bfloat16, 3 decimal digits.
        with torch.autocast(sound.device.type, enabled=False):
            bands = torch.cat([self._bands(part) for part in frames.split(at_once)])
        return bands.log10_().mul_(10).clamp_(min=FLOOR_DB).mT.contiguous()

    def _bands(self, frames: Tensor) -> Tensor:
        """Power in the bands, (N, frames, mels), of (N, frames, window_samples) samples."""
        spectrum = torch.fft.rfft(frames * self.window, n=self.fft_samples)
        real, imaginary = torch.view_as_real(spectrum).square_().unbind(dim=-1)
        bands: Tensor = (real + imaginary) @ self.filters
        return bands


def mel_filters(bins: int, mels: int, sample_rate: int) -> Tensor:
    """(bins, mels) float32: triangles of height 1 whose corners are evenly spaced on HTK's scale.

    bins: of an FFT, from 0 Hz to half the sample rate. As torchaudio's `melscale_fbanks`, which it
    is not worth to depend on: its binary has to be made for the very CUDA that torch is for.
    """
    hertz = torch.linspace(0, sample_rate / 2, bins)[:, None]
    highest = 2595 * math.log10(1 + sample_rate / 2 / 700)
    corners = 700 * (10 ** (torch.linspace(0, highest, mels + 2) / 2595) - 1)
    apart = corners.diff()
    rising = (hertz - corners[:-2]) / apart[:-1]
    falling = (corners[2:] - hertz) / apart[1:]
    return torch.minimum(rising, falling).clamp(min=0)


def fft_samples(sounds: Sounds) -> int:
    """The shortest FFT, a power of two, that holds a window and gives every mel band a bin.

    The lowest band is the narrowest. Where bins are no further apart than three quarters of it,
    each band has a bin whose weight is at least 1/4.
    """
    half_rate = sounds.sample_rate / 2
    lowest_band = 700 * ((1 + half_rate / 700) ** (2 / (sounds.mels + 1)) - 1)
    least = max(sounds.window_samples, sounds.sample_rate / (0.75 * lowest_band))
    return 1 << math.ceil(math.log2(least))


def two_sound_views(sound: Tensor, log_mel: LogMel, generator: Generator) -> Tensor:
    """Two independent views of each sound: `random_sound_view` of all of them twice over.

    Returns (2N, 1, mels, frames) float32, [view 0 | view 1].
    """
    return random_sound_view(sound.repeat(2, 1), log_mel, generator)


def random_sound_view(sound: Tensor, log_mel: LogMel, generator: Generator) -> Tensor:
    """A view of each sound: a random piece of it, SpecAugmented.

    sound: (N, samples) int16 or floating point, mono, as long as a view and, for the start of the
    view to be random by +- an offset, twice that offset.  generator: on the device of `sound`;
    the same state gives the same views.  Returns (N, 1, mels, frames) float32. After a sound
    shorter than a view comes silence.
    """
    sounds = log_mel.sounds
    pieces = _pieces(sound, sounds.samples)
    count, starts = pieces.shape[:2]
    start = _integers(uniform((count,), generator), starts)
    piece = pieces[torch.arange(count, device=sound.device), start.long()]
    return spec_augment(log_mel(piece), sounds, generator)


def plain_sound_view(sound: Tensor, log_mel: LogMel) -> Tensor:
    """The middle of each sound, for evaluation: (N, 1, mels, frames) float32.

    sound: as for `random_sound_view`.
    """
    pieces = _pieces(sound, log_mel.sounds.samples)
    return log_mel(pieces[:, (pieces.shape[1] - 1) // 2])


def spec_augment(spectrogram: Tensor, sounds: Sounds, generator: Generator) -> Tensor:
    """Hide some bands and some frames of each spectrogram (Park et al., Interspeech 2019).

    spectrogram: (M, 1, mels, frames) float32.  generator: on its device.  Returns the same shape:
    what is hidden has the spectrogram's mean, all else is unchanged. Without time warping, which
    the authors found to matter least.
    """
    count, _, mels, frames = spectrogram.shape
    bands = draw_masks(count, sounds.mel_masks, mels, sounds.mel_mask_share, generator)
    times = draw_masks(count, sounds.time_masks, frames, sounds.time_mask_share, generator)
    hidden = bands[:, None, :, None] | times[:, None, None, :]
    return torch.where(hidden, spectrogram.mean(dim=(2, 3), keepdim=True), spectrogram)


def draw_masks(
    count: int, masks: int, length: int, longest_share: float, generator: Generator
) -> Tensor:
    """Where `masks` runs in each of `count` rows of `length` places lie: (count, length) bool.

    The length of a run is uniform in 0..longest_share * length, whole numbers, then its start
    among those at which it fits; runs may overlap.
    """
    width, start = uniform((2, count, masks, 1), generator, rows=1)
    width = _integers(width, int(longest_share * length) + 1)
    start = _integers(start, length - width + 1)
    place = torch.arange(length, device=generator.device)
    return ((start <= place) & (place < start + width)).any(dim=1)


def _integers(share: Tensor, choices: Tensor | int) -> Tensor:
    """Shares in [0, 1) as whole numbers 0..choices-1, float32."""
    return (share * choices).floor()


def _pieces(sound: Tensor, samples: int) -> Tensor:
    """All (N, starts, samples) pieces of (N, any) sounds, without copying; at least one each."""
    missing = max(samples - sound.shape[1], 0)
    return pad(sound, (0, missing)).unfold(1, samples, 1)
