"""The viewer does what the functions of each modality do, in one order, by the run's settings."""

from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor

from newfound.batch import Media, Seen
from newfound.config import VideoConfig
from newfound.presets import PRESETS
from newfound.settings import make_config
from newfound.views.augment import Views, plain_view, random_view, two_views
from newfound.views.spectrogram import (
    LogMel,
    Sounds,
    plain_sound_view,
    random_sound_view,
    two_sound_views,
)
from newfound.views.viewer import Viewer

CPU = torch.device("cpu")
MASKS = {"mel_masks": 1, "mel_mask_share": 0.4, "time_masks": 3, "time_mask_share": 0.5}
CHANGED: dict[str, Any] = MASKS | {
    "px": 12,
    "sound_seconds": 0.4,
    "mels": 16,
    "jitter": 0.5,
    "flip": 0.3,
}


def video_config(modalities: str = "both", **changed: Any) -> VideoConfig:
    pairs = "cross" if modalities == "both" else "within"
    config = make_config(
        "quick-videos",
        modalities=modalities,
        instance_pairs=pairs,
        category_pairs=pairs,
        **CHANGED | changed,
    )
    assert isinstance(config, VideoConfig)
    return config


def media(pictures: bool = True, sound: bool = True) -> Media:
    """Five clips of four frames, two of them without sound."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (5, 3, 4, 14, 14), generator=generator, dtype=torch.uint8)
    heard = torch.tensor([True, False, True, True, False])
    samples = torch.randint(-(2**15), 2**15, (5, 4800), generator=generator).short()
    samples[~heard] = 0
    return Media(pixels if pictures else None, samples if sound else None, heard if sound else None)


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parts(seen: Seen) -> list[Tensor | None]:
    return [seen.pixels, seen.spectrogram, seen.heard]


def same(one: Seen, other: Seen) -> bool:
    return all(
        a is b is None or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(parts(one), parts(other))
    )


def test_two_views_are_those_of_pictures_and_then_of_sound() -> None:
    config = video_config()
    seen = Viewer(config, CPU).two(media(), seeded())
    given, generator = media(), seeded()
    assert given.pixels is not None and given.sound is not None
    views = Views(**{name: getattr(config, name) for name in Views.__annotations__})
    sounds = Sounds(sound_seconds=0.4, mels=16, **MASKS)
    log_mel = LogMel(sounds, CPU)
    assert torch.equal(seen.pixels, two_views(given.pixels, views, generator))
    assert torch.equal(seen.spectrogram, two_sound_views(given.sound, log_mel, generator))
    assert seen.heard is not None and seen.heard.tolist() == given.heard.tolist() * 2
    assert seen.pixels.shape == (10, 3, 4, 12, 12)
    assert seen.spectrogram.shape == (10, 1, 16, 39)


def test_one_view_is_that_of_pictures_and_then_of_sound() -> None:
    config = video_config()
    seen = Viewer(config, CPU).one(media(), seeded())
    given, generator = media(), seeded()
    assert given.pixels is not None and given.sound is not None and given.heard is not None
    views = Views(**{name: getattr(config, name) for name in Views.__annotations__})
    log_mel = LogMel(Sounds(sound_seconds=0.4, mels=16, **MASKS), CPU)
    assert torch.equal(seen.pixels, random_view(given.pixels, views, generator))
    assert torch.equal(seen.spectrogram, random_sound_view(given.sound, log_mel, generator))
    assert torch.equal(seen.heard, given.heard)
    assert seen.pixels.shape == (5, 3, 4, 12, 12)
    assert seen.spectrogram.shape == (5, 1, 16, 39)


def test_two_views_are_one_view_of_the_items_twice_over() -> None:
    viewer, given = Viewer(video_config(), CPU), media()
    twice = given.select(torch.arange(5).repeat(2))
    assert same(viewer.two(given, seeded()), viewer.one(twice, seeded()))


def test_plain_views_are_the_middles() -> None:
    config, given = video_config(), media()
    seen = Viewer(config, CPU).plain(given)
    assert given.pixels is not None and given.sound is not None
    log_mel = LogMel(Sounds(sound_seconds=0.4, mels=16), CPU)
    assert torch.equal(seen.pixels, plain_view(given.pixels, 12))
    assert torch.equal(seen.spectrogram, plain_sound_view(given.sound, log_mel))
    assert torch.equal(seen.heard, given.heard)
    assert seen.pixels.shape == (5, 3, 4, 12, 12)


@pytest.mark.parametrize("modalities", ["both", "visual", "audio"])
def test_one_generator_state_gives_one_pair_of_views(modalities: str) -> None:
    viewer = Viewer(video_config(modalities), CPU)
    given = media(pictures=modalities != "audio", sound=modalities != "visual")
    torch.manual_seed(1)
    first = viewer.two(given, seeded())
    torch.manual_seed(2)
    assert same(viewer.two(given, seeded()), first)
    assert same(Viewer(video_config(modalities), CPU).two(given, seeded()), first)
    assert not same(viewer.two(given, seeded(8)), first)
    assert same(viewer.one(given, seeded()), viewer.one(given, seeded()))
    assert not same(viewer.one(given, seeded(8)), viewer.one(given, seeded()))
    for part in parts(first)[:2]:
        if part is not None:
            assert not torch.equal(*part.chunk(2))


def test_pictures_alone() -> None:
    viewer, given = Viewer(video_config("visual"), CPU), media(sound=False)
    for seen in (viewer.two(given, seeded()), viewer.one(given, seeded()), viewer.plain(given)):
        assert seen.pixels is not None and seen.spectrogram is seen.heard is None
    both = Viewer(video_config(), CPU).two(media(), seeded())
    assert torch.equal(viewer.two(given, seeded()).pixels, both.pixels)


def test_sound_alone() -> None:
    viewer, given = Viewer(video_config("audio"), CPU), media(pictures=False)
    one, two, plain = viewer.one(given, seeded()), viewer.two(given, seeded()), viewer.plain(given)
    for seen, each in ((one, 1), (two, 2), (plain, 1)):
        assert seen.pixels is None
        assert seen.spectrogram is not None and seen.spectrogram.shape == (5 * each, 1, 16, 39)
        assert seen.heard is not None and seen.heard.tolist() == given.heard.tolist() * each


@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_of_views_and_sounds_comes_from_the_config(name: str) -> None:
    config = PRESETS[name]
    viewer = Viewer(config, CPU)
    made = asdict(viewer.views)
    assert made == {name: getattr(config, name) for name in made}
    if isinstance(config, VideoConfig):
        assert viewer.log_mel is not None
        chosen = asdict(viewer.log_mel.sounds)
        fixed = {"sample_rate", "window_seconds", "hop_seconds"}  # of the method, not settings
        assert chosen.keys() - vars(config).keys() == fixed
        assert all(chosen[name] == getattr(config, name) for name in chosen.keys() - fixed)
    else:
        assert viewer.log_mel is None


@pytest.mark.parametrize("clips", [False, True])
def test_pixels_lie_as_convolutions_like_them(clips: bool) -> None:
    given = media(sound=False) if clips else Media(torch.zeros(5, 3, 14, 14, dtype=torch.uint8))
    order = torch.channels_last_3d if clips else torch.channels_last
    viewer = Viewer(video_config("visual") if clips else make_config("quick", px=12), CPU)
    for seen in (viewer.two(given, seeded()), viewer.one(given, seeded()), viewer.plain(given)):
        assert seen.pixels is not None and seen.pixels.is_contiguous(memory_format=order)
