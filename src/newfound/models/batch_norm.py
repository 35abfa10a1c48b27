"""BatchNorm whose statistics are of the whole batch that several processes share."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from newfound.machine import distributed


class SharedBatchNorm(_BatchNorm):
    """What `nn.SyncBatchNorm` is, which torch has for accelerators alone, on a CPU.

    Forward: (N, C, ...) floating -> the same. Every process has as many rows.
    """

    def forward(self, x: Tensor) -> Tensor:
        """In training by the statistics of all processes' rows, else by the running ones."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        others = [axis for axis in range(x.ndim) if axis != 1]
        by_channel = [1, -1, *[1] * (x.ndim - 2)]
        numbers = x.numel() // x.shape[1] * distributed.count()
        mean = distributed.summed(values.sum(dim=others)) / numbers
        centred = values - mean.view(by_channel)
        variance = distributed.summed(centred.square().sum(dim=others)) / numbers
        self._follow(mean.detach(), variance.detach() * (numbers / max(numbers - 1, 1)))
        scale = self.weight / (variance + self.eps).sqrt()
        normalised: Tensor = centred * scale.view(by_channel) + self.bias.view(by_channel)
        return normalised.to(x.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None, "as torch makes it"
        assert self.num_batches_tracked is not None and self.momentum is not None, "the same"
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)

    def _check_input_dim(self, x: Tensor) -> None:
        assert x.ndim >= 2, "rows of channels"


def share_statistics(network: nn.Module, device: torch.device) -> None:
    """Give every BatchNorm below the network the statistics of all processes' rows.

    In place: names of modules, parameters and buffers stay, and what was learnt.
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm) and not isinstance(child, SharedBatchNorm):
                setattr(module, name, _shared(child))


def _shared(norm: _BatchNorm) -> SharedBatchNorm:
    shared = SharedBatchNorm(norm.num_features, norm.eps, norm.momentum)
    shared.weight, shared.bias = norm.weight, norm.bias
    shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
    shared.num_batches_tracked = norm.num_batches_tracked
    return shared.train(norm.training)
