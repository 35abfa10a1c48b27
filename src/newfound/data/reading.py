"""Reading a catalogue's items for a network: images or clips, kept or streamed."""

import torch

from newfound.config import Cache, Config, VideoConfig
from newfound.data.catalogue import Source
from newfound.data.clip_loader import (
    bytes_per_clip,
    clip_shape,
    kept_places,
    read_clips,
    tried_places,
)
from newfound.data.clips import ClipFiles
from newfound.data.image_loader import read_images
from newfound.data.images import decode_side
from newfound.data.items import Items
from newfound.data.skipped import Skipped
from newfound.data.source import OnProgress


def read_items(
    source: Source,
    config: Config,
    workers: int,
    cache: Cache,
    device: torch.device,
    on_progress: OnProgress | None = None,
) -> tuple[Items, list[Skipped]]:
    """Every item that can be read, and the others; row i is the i-th readable one.

    Raises InputError if a worker is killed, or for a video without sound if that is an error.
    """
    if isinstance(config, VideoConfig):
        assert isinstance(source, ClipFiles), "settings of videos go with videos"
        return read_clips(source, config, workers, cache, device, on_progress)
    assert not isinstance(source, ClipFiles), "settings of images go with images"
    return read_images(source, config.px, config.channels, workers, cache, device, on_progress)


def bytes_when_kept(config: Config) -> int | None:
    """Memory that an item takes where it is kept decoded.

    None for videos without a set number of `places`, which are always decoded anew.
    """
    if not isinstance(config, VideoConfig):
        return config.channels * decode_side(config.px) ** 2
    if config.places is None:
        return None
    return len(kept_places(config)) * bytes_per_clip(clip_shape(config))


def clips_tried(config: Config) -> int:
    """How many clips of each item are decoded when it is read; 1 for images."""
    return len(tried_places(config)) if isinstance(config, VideoConfig) else 1
