"""The network of Figure 1: f and h of each modality, eta, phi_l and phi_u."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from newfound.batch import Outputs, Seen
from newfound.config import Config, Method, VideoConfig
from newfound.models.encoders import R3D18, SMALL_STEM_PX, Encoder, ResNet18
from newfound.models.heads import NearestCentre, StudentHead
from newfound.models.weights import Weights
from newfound.objective.pairs import wta_windows

_ONE_THREAD = Lock()

NovelHead = nn.Linear | StudentHead | NearestCentre
"""phi_u: (M, d) features to (M, C_u) logits, with `out_features`."""


class Fusion(nn.Module):
    """Eta for several modalities: the concatenated features through one hidden layer.

    Forward: (M, sum of sizes) float -> (M, size) float32, >= 0.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, size)

    def forward(self, features: Tensor) -> Tensor:
        """In float32, whatever the autocast: rounding would make ties of unlike items for WTA."""
        with torch.autocast(features.device.type, enabled=False):
            return F.relu(self.linear(features.float()))


class Network(nn.Module):
    """Encoders and contrastive MLPs by modality, their fusion, the two linear heads on it.

    With the WTA windows that the fused features are read by. Forward: Seen -> Outputs in
    float32.
    """

    windows: Tensor

    def __init__(
        self,
        encoders: dict[str, Encoder],
        projections: dict[str, nn.Module],
        fusion: nn.Module,
        known: nn.Linear,
        novel: NovelHead,
        windows: Tensor,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        self.projections = nn.ModuleDict(projections)
        self.fusion = fusion
        self.known = known
        self.novel = novel
        self.register_buffer("windows", windows)

    @property
    def fused_size(self) -> int:
        """Size d of the fused representation."""
        return self.known.in_features

    def encoder(self, modality: str) -> Encoder:
        """The encoder f of "visual" or "audio"."""
        encoder: Encoder = self.encoders[modality]  # type: ignore[assignment]
        return encoder

    def represent(self, seen: Seen) -> tuple[Tensor, dict[str, Tensor]]:
        """The fused features z-bar, (M, d), and those of each modality."""
        inputs = {"visual": seen.pixels, "audio": seen.spectrogram}
        features = {name: encoder(inputs[name]) for name, encoder in self.encoders.items()}
        if "audio" in features and seen.heard is not None:
            # An item without sound has no audio features, rather than those of silence.
            features["audio"] = features["audio"].where(seen.heard[:, None], 0)
        return self.fusion(torch.cat(list(features.values()), dim=1)), features

    def forward(self, seen: Seen) -> Outputs:
        """One pass over both views, labelled and unlabelled alike, through both heads."""
        fused, features = self.represent(seen)
        contrast = {
            name: F.normalize(self.projections[name](of_modality).float(), dim=1)
            for name, of_modality in features.items()
        }
        # In bfloat16, logits of 8 to 16 would come in steps of 1/16.
        with torch.autocast(fused.device.type, enabled=False):
            known, novel = self.known(fused.float()), self.novel(fused.float())
        return Outputs(fused, contrast, known, novel, seen.heard)

    def channels_last(self) -> Self:
        """Lay out each encoder's weights in the order in which its convolutions are fastest."""
        for encoder in self.encoders.values():
            encoder.to(memory_format=encoder.memory_format)  # type: ignore[call-overload]
        return self

    @torch.no_grad()
    def order_novel(self, order: np.ndarray) -> None:
        """Reorder the outputs of phi_u: output j becomes what output `order[j]` was, (C_u,) int."""
        if not isinstance(self.novel, nn.Linear):
            self.novel.reorder(torch.from_numpy(order))
            return
        for parameter in (self.novel.weight, self.novel.bias):
            parameter.copy_(parameter[torch.from_numpy(order).to(parameter.device)])


@contextmanager
def weights_from(seed: int) -> Iterator[None]:
    """Within, modules draw their first weights from this seed, and no other drawing is changed.

    They draw from the one generator of the process: other threads that come here wait, but what
    draws from it otherwise at that moment is disturbed and disturbs.
    """
    with _ONE_THREAD, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def make_network(config: Config, known: int, novel: int, weights: Weights | None = None) -> Network:
    """A new network whose every random value comes from `config.seed`.

    known, novel: C_l and C_u.  Of images it sees pixels; of videos the modalities of the
    settings, by R3D-18 and by an audio encoder, and eta fuses two of them.  weights: what it
    starts from in place of random values, as far as they go; raises InputError as `Weights.fill`.
    """
    with weights_from(config.seed):
        encoders = {name: _encoder(name, config) for name in _modalities(config)}
        projections: dict[str, nn.Module] = {
            name: nn.Sequential(
                nn.Linear(encoder.size, config.projection_hidden),
                nn.ReLU(inplace=True),
                nn.Linear(config.projection_hidden, config.projection_size),
            )
            for name, encoder in encoders.items()
        }
        inputs, size = sum(encoder.size for encoder in encoders.values()), config.fused_size
        fusion = Fusion(inputs, size) if len(encoders) > 1 else nn.Identity()
        network = Network(
            encoders,
            projections,
            fusion,
            nn.Linear(size, known),
            _novel_head(config.method, size, novel),
            wta_windows(
                size, config.hashes, config.window, torch.Generator().manual_seed(config.seed)
            ),
        )
    if weights:
        weights.fill(network)
    return network


def _novel_head(method: Method, size: int, categories: int) -> NovelHead:
    if method == "dtc":
        return StudentHead(size, categories)
    return NearestCentre(size, categories) if method == "kmeans" else nn.Linear(size, categories)


def _modalities(config: Config) -> tuple[str, ...]:
    if not isinstance(config, VideoConfig):
        return ("visual",)
    return ("visual", "audio") if config.modalities == "both" else (config.modalities,)


def _encoder(modality: str, config: Config) -> Encoder:
    if modality == "audio":
        return ResNet18(config.width, channels=1)
    if isinstance(config, VideoConfig):
        return R3D18(config.width, config.channels)
    return ResNet18(config.width, config.channels, small_stem=config.px <= SMALL_STEM_PX)
