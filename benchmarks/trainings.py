"""A training of ours as a run begins it, and batches of noise of the shapes that a run decodes."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from benchmarks.results import Size
from newfound.batch import Batch, Media
from newfound.config import Config, VideoConfig
from newfound.data.clip_loader import clip_shape
from newfound.data.images import decode_side
from newfound.data.sound import SAMPLE_RATE
from newfound.ground import Ground
from newfound.machine.device import uses_bfloat16
from newfound.models.network import Network, make_network
from newfound.ours import JointObjective
from newfound.settings import make_config
from newfound.stages import begin_ours
from newfound.training.pseudo_labels import fixed_threshold
from newfound.training.train import Training

Modalities = Literal["both", "visual", "audio"]
Precision = Literal["float32", "bfloat16"]

KNOWN, NOVEL = 5, 5


@dataclass(frozen=True)
class Setting:
    """A preset; batch, width: None = the preset's.  modalities: of videos."""

    preset: str
    modalities: Modalities = "both"
    batch: int | None = None
    width: int | None = None

    def config(self, precision: Precision) -> Config:
        """The preset's settings; a single modality is contrasted within itself."""
        sizes = {"batch": self.batch, "width": self.width}
        given: dict[str, object] = {name: n for name, n in sizes.items() if n is not None}
        if self.preset.endswith("videos") and self.modalities != "both":
            given |= {"modalities": self.modalities}
            given |= {"instance_pairs": "within", "category_pairs": "within"}
        return make_config(self.preset, precision=precision, **given)

    def of_size(self, size: Size) -> "Setting":
        """Of so few items and channels, where the suite itself is tried, that it is quick."""
        return replace(self, batch=4, width=8) if size == "tiny" else self

    def named(self, precision: Precision, device: torch.device) -> str:
        """For a row: "quick-videos audio, bfloat16, cpu"."""
        of_videos = f" {self.modalities}" if self.preset.endswith("videos") else ""
        return f"{self.preset}{of_videos}, {precision}, {device.type}"

    @property
    def unit(self) -> str:
        """What a second's worth of items is counted in."""
        return "clips/s" if self.preset.endswith("videos") else "images/s"


def own_precision(device: torch.device, size: Size) -> Precision:
    """What a run chooses there; float32 for maps so small that a CPU may give NaN in bfloat16."""
    if size == "tiny":
        return "float32"
    return "bfloat16" if uses_bfloat16("auto", device) else "float32"


def begin(config: Config, device: torch.device) -> Training:
    """Of half labelled, half unlabelled items, four batches of them."""
    random = np.random.default_rng(0)
    items = 4 * config.batch
    labels = np.where(np.arange(items) % 2, -1, random.integers(0, KNOWN, items))
    network = make_network(config, KNOWN, NOVEL)
    ground = Ground(network, config, labels, np.arange(items), fixed_threshold(config), device)
    training = begin_ours(ground)
    training.network.train()
    return training


def objective_of(training: Training) -> JointObjective:
    """Of a training of `begin`."""
    assert isinstance(training.objective, JointObjective), "as begin_ours makes it"
    return training.objective


def batch_of_noise(training: Training) -> Batch:
    """The first items, on the training's device."""
    index = torch.arange(training.config.batch, device=training.device)
    media = noise(training.config, training.config.batch).to(training.device)
    return Batch(media, training.labels[index], index)


def noise(config: Config, count: int) -> Media:
    """So many items, or clips, as they come from decoding."""
    random = np.random.default_rng(0)
    if not isinstance(config, VideoConfig):
        side = decode_side(config.px)
        shape = (count, config.channels, side, side)
        return Media(torch.from_numpy(random.integers(0, 256, shape, dtype=np.uint8)))
    clip = clip_shape(config)
    pixels = sound = heard = None
    if clip.modalities != "audio":
        frames = (count, 3, clip.frames, clip.side, clip.side)
        pixels = torch.from_numpy(random.integers(0, 256, frames, dtype=np.uint8))
    if clip.modalities != "visual":
        samples = (count, round(clip.heard_seconds * SAMPLE_RATE))
        sound = torch.from_numpy(random.integers(-(2**15), 2**15, samples, dtype=np.int16))
        heard = torch.ones(count, dtype=torch.bool)
    return Media(pixels, sound, heard)


def network_of(config: Config, device: torch.device) -> Network:
    """A network as after training, on its device."""
    return make_network(config, KNOWN, NOVEL).to(device).channels_last()
