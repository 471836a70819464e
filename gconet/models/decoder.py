"""The decoder: a feature pyramid (Lin et al. 2017), top down from the coarse co-saliency features."""

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 64


class Pyramid(NamedTuple):
    """The decoder's levels, (N,64,·,·) each, at the strides of the encoder's stages 5 to 1."""

    p5: Tensor
    p4: Tensor
    p3: Tensor
    p2: Tensor
    p1: Tensor


class FPNDecoder(nn.Module):
    """p5 = top(F·E); p_k = smooth_k(upsample(p_{k+1}) + lateral_k(stage_k)) for k = 4 … 1."""

    def __init__(self, *, channels: Sequence[int]) -> None:
        """`channels`: those of the encoder's five stages."""
        super().__init__()
        C1, C2, C3, C4, C5 = channels
        self.top = nn.Sequential(nn.Conv2d(C5, WIDTH, 1), nn.ReLU(inplace=True), nn.Conv2d(WIDTH, WIDTH, 1))
        self.lateral4, self.smooth4 = _double_conv(C4), _double_conv(WIDTH)
        self.lateral3, self.smooth3 = _double_conv(C3), _double_conv(WIDTH)
        self.lateral2, self.smooth2 = _double_conv(C2), _double_conv(WIDTH)
        self.lateral1, self.smooth1 = _double_conv(C1), _double_conv(WIDTH)

    def forward(self, laterals: Sequence[Tensor], coarse: Tensor) -> Pyramid:
        """The lateral features of stages 1 to 4 and F·E (N,C,h,w) → the pyramid."""
        levels = [self.top(coarse)]
        smooths = self.smooth4, self.smooth3, self.smooth2, self.smooth1
        for smooth, lateral in zip(smooths, reversed(laterals), strict=True):
            levels.append(smooth(upsample(levels[-1], lateral.shape[-2:]) + lateral))
        return Pyramid(*levels)


class SideOutput(nn.Module):
    """A level of the pyramid → a map in [0,1] at the network's input size."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_double_conv(WIDTH), nn.ReLU(inplace=True), nn.Conv2d(WIDTH, 1, 1))

    def forward(self, level: Tensor, size: tuple[int, int]) -> Tensor:
        """(N,64,·,·) and the input's (H,W) → (N,1,H,W), float32 whatever the autocast precision."""
        return upsample(self.logits(level).sigmoid(), size)

    def logits(self, level: Tensor) -> Tensor:
        """(N,64,·,·) → (N,1,·,·), float32, before sigmoid and upsampling."""
        return self.layers(level).float()


def upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize to (H,W) bilinearly with aligned corners, as everywhere in this network."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


def _double_conv(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, WIDTH, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
    )
