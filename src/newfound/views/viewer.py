"""From decoded items to what the network sees of them: pictures and spectrograms together."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor

from newfound.batch import Media, Seen
from newfound.config import Config, VideoConfig
from newfound.views.augment import Views, plain_view, random_view, two_views
from newfound.views.spectrogram import (
    LogMel,
    Sounds,
    plain_sound_view,
    random_sound_view,
    two_sound_views,
)

_Settings = TypeVar("_Settings", Views, Sounds)

_THE_PAPERS = {"sample_rate", "window_seconds", "hop_seconds"}
"""Of `Sounds`: no run has others."""


class Viewer:
    """Makes views as a run's settings say, on one device."""

    def __init__(self, config: Config, device: torch.device) -> None:
        self.views = _those_of(Views, config)
        hears = isinstance(config, VideoConfig) and config.modalities != "visual"
        self.log_mel = LogMel(_those_of(Sounds, config), device) if hears else None

    def two(self, media: Media, generator: Generator) -> Seen:
        """Two independent random views of each of N items, rows [view 0 | view 1].

        generator: on the device of the media; the same state gives the same views.
        """
        heard = None if media.heard is None else media.heard.repeat(2)
        return self._seen(media, heard, generator, two_views, two_sound_views)

    def one(self, media: Media, generator: Generator) -> Seen:
        """A random view of each of N items. generator: as for `two`."""
        return self._seen(media, media.heard, generator, random_view, random_sound_view)

    def _seen(
        self,
        media: Media,
        heard: Tensor | None,
        generator: Generator,
        see: Callable[[Tensor, Views, Generator], Tensor],
        hear: Callable[[Tensor, LogMel, Generator], Tensor],
    ) -> Seen:
        if media.pixels is None:
            pixels = None
        else:
            pixels = _channels_last(see(media.pixels, self.views, generator))
        if self.log_mel is None or media.sound is None:
            return Seen(pixels)
        return Seen(pixels, hear(media.sound, self.log_mel, generator), heard)

    def plain(self, media: Media) -> Seen:
        """The middle of each of N items, for evaluation."""
        pixels = spectrogram = None
        if media.pixels is not None:
            pixels = _channels_last(plain_view(media.pixels, self.views.px))
        if self.log_mel is not None and media.sound is not None:
            spectrogram = plain_sound_view(media.sound, self.log_mel)
        return Seen(pixels, spectrogram, media.heard)


def _those_of(kind: type[_Settings], config: Config) -> _Settings:
    """The settings of this kind, which have the same names in the config."""
    names = {field.name for field in fields(kind)} - _THE_PAPERS
    values: dict[str, Any] = {name: getattr(config, name) for name in names}
    return kind(**values)


def _channels_last(pixels: Tensor) -> Tensor:
    """In the order in memory in which convolutions are fastest."""
    is_clip = pixels.ndim == 5
    return pixels.contiguous(
        memory_format=torch.channels_last_3d if is_clip else torch.channels_last
    )
