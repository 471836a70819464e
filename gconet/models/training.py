"""The network for training: a pair of groups in, the inputs of the losses out."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gconet.models.decoder import upsample
from gconet.models.gconet import GCoNet


@dataclass(frozen=True)
class TrainingOutput:
    """The outputs for 2N images, the first group's N before the second's. None if a module is disabled."""

    side_maps: tuple[Tensor, ...]  # from p4, p3, p2, p1, or only p1: (2N,1,H,W) in [0,1]
    collaboration: Tensor | None  # GCM logits (4N,1,H,W): own half, then crossed half
    class_logits: Tensor | None  # ACM logits (2N,classes)
    attention: Tensor  # of GAM (2N,1,h,w), for display
    logits: Tensor  # of the finest map, before the sigmoid (2N,1,H,W)


class TrainingGCoNet(nn.Module):
    """A GCoNet (`net`) with the two heads that exist only in training."""

    def __init__(
        self, *, net: GCoNet, gcm: nn.Module | None, acm: nn.Module | None, outputs: str = "all"
    ) -> None:
        """`outputs`: the side outputs that are computed and trained, `all` or `finest`."""
        super().__init__()
        self.net, self.gcm, self.acm, self.outputs = net, gcm, acm, outputs
        for side in (net.side4, net.side3, net.side2):
            side.requires_grad_(outputs == "all")

    def forward(self, images: Tensor) -> TrainingOutput:
        """RGB images of two groups of N each, (2N,3,H,W) in [0,1]."""
        total, _, H, W = images.shape
        *stages, features = self.net.encode(images)
        first, second = features.split(total // 2)
        consensus1, consensus2 = self.net.consensus(first), self.net.consensus(second)
        E1, E2 = consensus1.vector, consensus2.vector
        pyramid = self.net.decoder(self.net.laterals(stages), torch.cat([first * E1, second * E2]))
        logits = self.net.side1.logits(pyramid.p1)
        finest = logits.sigmoid()
        if logits.shape[-2:] != (H, W):  # an encoder whose first stage has a stride
            logits, finest = upsample(logits, (H, W)), upsample(finest, (H, W))
        side_maps: tuple[Tensor, ...] = (finest,)
        if self.outputs == "all":
            coarse = (self.net.side4, pyramid.p4), (self.net.side3, pyramid.p3), (self.net.side2, pyramid.p2)
            side_maps = (*(side(level, (H, W)) for side, level in coarse), *side_maps)
        return TrainingOutput(
            side_maps=side_maps,
            collaboration=self.gcm((first, second), (E1, E2), (H, W)) if self.gcm else None,
            class_logits=self.acm(features) if self.acm else None,
            attention=torch.cat([consensus1.attention, consensus2.attention]),
            logits=logits,
        )
