"""Heads phi_u that are no linear layer: those of DTC and of k-means.

Both compute in float32, whatever the autocast: rounding would swallow small distances.
"""

import torch
from torch import Tensor, nn


class StudentHead(nn.Module):
    """phi_u of DTC: a linear layer to z and the categories' centres in its space, all trained.

    Forward: (M, d) float -> (M, K) float32 logits, <= 0, whose softmax is q. The centres are zero,
    and q is uniform, until they are set to those of `initial_centres`.
    """

    def __init__(self, size: int, categories: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, categories)
        self.centres = nn.Parameter(torch.zeros(categories, categories))

    @property
    def out_features(self) -> int:
        """K, the number of categories, as `nn.Linear` has it."""
        return self.linear.out_features

    def forward(self, features: Tensor) -> Tensor:
        """The logits of q."""
        with torch.autocast(features.device.type, enabled=False):
            return student_logits(self.linear(features.float()), self.centres)

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Category j becomes what category `order[j]` was, (K,) int64; z stays as it is."""
        self.centres.copy_(self.centres[order.to(self.centres.device)])


def student_logits(z: Tensor, centres: Tensor) -> Tensor:
    """Logits whose softmax is the soft assignment q, by Student's t with alpha = 1.

    z: (M, D) and centres: (K, D) floating.  Returns (M, K), <= 0.
    """
    return -(z[:, None] - centres).square().sum(dim=2).log1p()


class NearestCentre(nn.Module):
    """phi_u of k-means: the arg max is the nearest of K centres.

    Forward: (M, d) float -> (M, K) float32 logits -||x - c_k||^2 / (2 variance), whose softmax is
    the posterior of round Gaussians of equal size and weight. All centres are zero, and the
    softmax is uniform, until they are `place`d.
    """

    centres: Tensor
    variance: Tensor

    def __init__(self, size: int, categories: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(categories, size))
        self.register_buffer("variance", torch.ones(()))

    @property
    def out_features(self) -> int:
        """K, the number of categories, as `nn.Linear` has it."""
        return len(self.centres)

    def place(self, centres: Tensor, variance: float) -> None:
        """Set the (K, d) centres, and the mean variance along one feature within clusters, > 0."""
        self.centres.copy_(centres)
        self.variance.fill_(variance)

    def forward(self, features: Tensor) -> Tensor:
        """The logits."""
        with torch.autocast(features.device.type, enabled=False):
            return -torch.cdist(features.float(), self.centres).square() / (2 * self.variance)

    def reorder(self, order: Tensor) -> None:
        """Category j becomes what category `order[j]` was, (K,) int64."""
        self.centres.copy_(self.centres[order.to(self.centres.device)])
