"""The network of Figure 1 for images: f, h, phi_l and phi_u; eta is the identity."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from newfound.batch import Outputs
from newfound.config import Config
from newfound.models.encoders import SMALL_STEM_PX, ResNet18
from newfound.objective.pairs import wta_windows


class Network(nn.Module):
    """Encoder, contrastive MLP and the two linear heads, with the WTA windows they are read by.

    Forward: (2N, channels, px, px) float -> Outputs in float32.
    """

    windows: Tensor

    def __init__(
        self, encoder: ResNet18, known: int, novel: int, projection: nn.Module, windows: Tensor
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = projection
        self.known = nn.Linear(encoder.size, known)
        self.novel = nn.Linear(encoder.size, novel)
        self.register_buffer("windows", windows)

    def forward(self, views: Tensor) -> Outputs:
        """One pass over both views, labelled and unlabelled alike, through both heads."""
        fused = self.encoder(views)
        contrast = F.normalize(self.projection(fused).float(), dim=1)
        return Outputs(fused, contrast, self.known(fused).float(), self.novel(fused).float())

    @torch.no_grad()
    def order_novel(self, order: np.ndarray) -> None:
        """Reorder the outputs of phi_u: output j becomes what output `order[j]` was, (C_u,) int."""
        for parameter in (self.novel.weight, self.novel.bias):
            parameter.copy_(parameter[torch.from_numpy(order).to(parameter.device)])


def make_network(config: Config, known: int, novel: int) -> Network:
    """A new network whose every random value comes from `config.seed`.

    known, novel: C_l and C_u.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.seed)
        encoder = ResNet18(config.width, config.channels, small_stem=config.px <= SMALL_STEM_PX)
        projection = nn.Sequential(
            nn.Linear(encoder.size, config.projection_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.projection_hidden, config.projection_size),
        )
        windows = wta_windows(
            encoder.size, config.hashes, config.window, torch.Generator().manual_seed(config.seed)
        )
        return Network(encoder, known, novel, projection, windows)
