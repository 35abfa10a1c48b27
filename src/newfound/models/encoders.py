"""Encoders: pixels of images or clips, or a spectrogram, to one feature vector."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models.video import resnet as video_resnet

SMALL_STEM_PX = 32
"""Images up to this side get the 3x3 stem without pooling that is usual for CIFAR."""


class ResNet18(nn.Module):
    """ResNet-18 (He et al., CVPR 2016) without its classifier, of any width.

    At width 64 its parameters have torchvision's names and, with the large stem, its shapes, so
    published weights load. With one channel and the large stem it is the audio encoder of
    section 4. Forward: (N, channels, H, W) float -> (N, 8 * width) float32, >= 0.
    """

    memory_format = torch.channels_last
    """The order in memory in which its convolutions are fastest."""

    def __init__(self, width: int = 64, channels: int = 3, small_stem: bool = False) -> None:
        super().__init__()
        self.size = 8 * width
        if small_stem:
            self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            self.maxpool: nn.Module = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _image_stage(width, width, stride=1)
        self.layer2 = _image_stage(width, 2 * width, stride=2)
        self.layer3 = _image_stage(2 * width, 4 * width, stride=2)
        self.layer4 = _image_stage(4 * width, 8 * width, stride=2)
        _draw_weights(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Average-pooled features of the last stage."""
        x: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(pixels))))
        return _pool(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


class R3D18(nn.Module):
    """R3D-18 (Tran et al., CVPR 2018) without its classifier, of any width.

    At width 64 and with 3 channels its parameters have torchvision's names and shapes, so
    published weights load. Forward: (N, channels, T, S, S) float, T frames ->
    (N, 8 * width) float32, >= 0.
    """

    memory_format = torch.channels_last_3d
    """The order in memory in which its convolutions are fastest."""

    def __init__(self, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.size = 8 * width
        self.stem = nn.Sequential(
            _ClipConv(channels, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
        self.layer1 = _clip_stage(width, width, stride=1)
        self.layer2 = _clip_stage(width, 2 * width, stride=2)
        self.layer3 = _clip_stage(2 * width, 4 * width, stride=2)
        self.layer4 = _clip_stage(4 * width, 8 * width, stride=2)
        _draw_weights(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Average-pooled features of the last stage."""
        x = self.layer1(self.stem(pixels))
        return _pool(self.layer4(self.layer3(self.layer2(x))))


Encoder = ResNet18 | R3D18


class _ClipConv(nn.Conv3d):
    """A convolution of clips whose weights get the right gradient on a CPU too.

    In bfloat16 oneDNN computes the gradient of the weights from uninitialised memory where a map of
    two frames is padded by one at either end (torch 2.14.1, AVX512-BF16): most often it is wrong
    unnoticed, now and then not finite. Padded beforehand it is right, and the same otherwise.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T', H', W')."""
        if x.device.type == "cpu" and x.shape[2] == 2 and torch.is_autocast_enabled("cpu"):
            assert not isinstance(self.padding, str) and self.bias is None, "as all are made here"
            frames, *sides = self.padding
            padded = F.pad(x, (0, 0, 0, 0, frames, frames))
            return F.conv3d(padded, self.weight, stride=self.stride, padding=(0, *sides))
        return super().forward(x)


class _Conv3x3x3(_ClipConv, video_resnet.Conv3DSimple):  # type: ignore[misc]
    """torchvision's, which its blocks are made of, with that gradient."""


def _image_stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return _two_blocks(resnet.BasicBlock, nn.Conv2d, nn.BatchNorm2d, inputs, outputs, stride)


def _clip_stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    block = partial(video_resnet.BasicBlock, conv_builder=_Conv3x3x3)
    return _two_blocks(block, nn.Conv3d, nn.BatchNorm3d, inputs, outputs, stride)


def _two_blocks(
    block: Callable[..., nn.Module],
    convolution: type[nn.Conv2d | nn.Conv3d],
    norm: type[nn.BatchNorm2d | nn.BatchNorm3d],
    inputs: int,
    outputs: int,
    stride: int,
) -> nn.Sequential:
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(
            convolution(inputs, outputs, 1, stride=stride, bias=False), norm(outputs)
        )
    return nn.Sequential(
        OrderedDict(
            [
                ("0", block(inputs, outputs, stride=stride, downsample=downsample)),
                ("1", block(outputs, outputs)),
            ]
        )
    )


def _draw_weights(encoder: nn.Module) -> None:
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _pool(features: Tensor) -> Tensor:
    """Average over time and place: (N, d, ...) -> (N, d) float32.

    In bfloat16 the mean would round features of unlike items to ties.
    """
    return features.mean(dim=tuple(range(2, features.ndim)), dtype=torch.float32)
