"""Image encoders: pixels to one feature vector."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

SMALL_STEM_PX = 32
"""Images up to this side get the 3x3 stem without pooling that is usual for CIFAR."""


class ResNet18(nn.Module):
    """ResNet-18 (He et al., CVPR 2016) without its classifier, of any width.

    At width 64 its parameters have torchvision's names and, with the large stem, its shapes, so
    published weights load. Forward: (N, channels, S, S) float -> (N, 8 * width) float32, >= 0.
    """

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
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pixels: Tensor) -> Tensor:
        """Average-pooled features of the last stage."""
        x: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(pixels))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        # In bfloat16 the mean would round features of unlike images to ties.
        return x.mean(dim=(2, 3), dtype=torch.float32)


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
        )
    return nn.Sequential(
        OrderedDict(
            [
                ("0", BasicBlock(inputs, outputs, stride, downsample)),
                ("1", BasicBlock(outputs, outputs)),
            ]
        )
    )
