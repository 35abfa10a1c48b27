"""BatchNorm whose statistics are of the whole batch that several processes share."""

import torch
from torch import Tensor, nn
from torch.autograd.function import Function, FunctionCtx, once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from newfound.machine import distributed


class SharedBatchNorm(_BatchNorm):
    """What `nn.SyncBatchNorm` is, which torch has for accelerators alone, on a CPU.

    It costs one exchange forward and one backward, and keeps no more than `nn.BatchNorm2d` does.

    Forward: (N, C, ...) floating -> the same. Every process has as many rows.
    """

    def forward(self, x: Tensor) -> Tensor:
        """In training by the statistics of all processes' rows, else by the running ones."""
        if not self.training:
            return super().forward(x)
        mean, variance = self._shared_statistics(x.detach())
        self._follow(mean, variance, x.numel() // x.shape[1] * distributed.count())
        normalised: Tensor = _Normalised.apply(x, self.weight, self.bias, mean, variance, self.eps)
        return normalised

    def _shared_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the variance of each channel over all processes' rows, two of (C,)."""
        # Statistics of bfloat16 are float32 where running ones are given: copies, as of a single
        # row they become NaN.
        assert self.running_mean is not None and self.running_var is not None, "as torch makes it"
        running = self.running_mean.clone(), self.running_var.clone()
        own = torch.batch_norm_update_stats(x, *running, 0.0)
        means, variances = distributed.of_all(torch.stack(own)).unbind(1)
        mean = means.mean(0)
        return mean, variances.mean(0) + (means - mean).square().mean(0)

    def _follow(self, mean: Tensor, variance: Tensor, numbers: int) -> None:
        assert self.running_mean is not None and self.running_var is not None, "as torch makes it"
        assert self.num_batches_tracked is not None and self.momentum is not None, "the same"
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (numbers / max(numbers - 1, 1)), self.momentum)
        self.num_batches_tracked.add_(1)

    def _check_input_dim(self, x: Tensor) -> None:
        assert x.ndim >= 2, "rows of channels"


class _Normalised(Function):
    """BatchNorm by given statistics, of which the gradient knows that they are of all rows."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps = eps  # type: ignore[attr-defined]
        return torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        x, weight, mean, variance = ctx.saved_tensors  # type: ignore[attr-defined]
        eps = ctx.eps  # type: ignore[attr-defined]
        _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, eps, [False, True, True]
        )
        numbers = x.numel() // x.shape[1] * distributed.count()
        of_weight, of_bias = distributed.total(torch.stack([by_weight, by_bias])) / numbers
        # By x: scale (gradient - of_bias - of_weight x'), where x' = (x - mean) / deviation.
        deviation = (variance + eps).sqrt()
        scale = weight / deviation
        slope = -scale * of_weight / deviation
        shift = -scale * of_bias - slope * mean
        by_channel = [1, -1, *[1] * (x.ndim - 2)]
        scale, slope, shift = (each.view(by_channel) for each in (scale, slope, shift))
        by_x = torch.addcmul(torch.addcmul(shift, x, slope), gradient, scale)
        return by_x.to(x.dtype), by_weight, by_bias, None, None, None


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
