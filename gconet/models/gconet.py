"""The network for inference: one group in, co-saliency maps out."""

import torch
from torch import Tensor, nn

from gconet.models.affinity import Consensus
from gconet.models.decoder import FPNDecoder, SideOutput
from gconet.models.encoder import VGG16Encoder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class GCoNet(nn.Module):
    """Encoder → consensus → decoder (figure 2 of the paper, without the two training heads).

    `side4` … `side2` exist for training's side outputs and are not run here.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, encoder: VGG16Encoder, affinity: nn.Module, decoder: FPNDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.affinity = affinity
        self.decoder = decoder
        self.side4, self.side3 = SideOutput(), SideOutput()
        self.side2, self.side1 = SideOutput(), SideOutput()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """RGB images of one group, (N,3,H,W) in [0,1] → co-saliency maps (N,1,H,W) in [0,1]."""
        stages = self.encode(images)
        return self.decode(stages, self.consensus(stages[-1]).vector)

    def encode(self, images: Tensor) -> list[Tensor]:
        """RGB images (N,3,H,W) in [0,1], of any groups → the encoder's five stages."""
        stages: list[Tensor] = self.encoder((images - self.mean) / self.std)
        return stages

    def consensus(self, features: Tensor) -> Consensus:
        """Stage-5 features of one whole group (N,C,h,w) → what they have in common."""
        consensus: Consensus = self.affinity(features)
        return consensus

    def decode(self, stages: list[Tensor], vector: Tensor) -> Tensor:
        """Stages of any of the group's images and its consensus vector (1,C,1,1) → maps (N,1,H,W)."""
        H, W = stages[0].shape[-2:]
        pyramid = self.decoder(stages, stages[-1] * vector)
        maps: Tensor = self.side1(pyramid.p1, (H, W))
        return maps
