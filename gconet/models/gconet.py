"""The network for inference: one group in, co-saliency maps out."""

from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor, nn

from gconet.errors import ConfigError
from gconet.models.affinity import BLOCK, Consensus
from gconet.models.decoder import FPNDecoder, SideOutput
from gconet.models.encoder import Encoder

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


class GCoNet(nn.Module):
    """Encoder → consensus → decoder (figure 2 of the paper, without the two training heads). `affinity` is
    any consensus module. `side1` makes the map; `side4` to `side2` are used only in training."""

    mean: Tensor
    std: Tensor

    def __init__(self, *, encoder: Encoder, affinity: nn.Module, decoder: FPNDecoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.affinity = affinity
        self.decoder = decoder
        self.side4, self.side3 = SideOutput(), SideOutput()
        self.side2, self.side1 = SideOutput(), SideOutput()
        mean, std = torch.tensor((MEAN, STD), dtype=torch.float32, device="cpu").view(2, 1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """RGB images of one group, (N,3,H,W) in [0,1] → co-saliency maps (N,1,H,W) in [0,1]."""
        *stages, features = self.encode(images)
        H, W = images.shape[-2:]
        block = None if torch.compiler.is_exporting() else BLOCK  # a loop over blocks would be unrolled
        vector = self.consensus(features, block).vector
        return self.decode(self.laterals(stages), features, vector, (H, W))

    def encode(self, images: Tensor, depth: int = 5) -> list[Tensor]:
        """RGB images (N,3,H,W) in [0,1], from any groups → the first `depth` of the encoder's five stages."""
        return self.encoder((images - self.mean) / self.std, depth)

    def laterals(self, stages: Sequence[Tensor], first: int = 1) -> list[Tensor]:
        """The encoder's stages from number `first` up to 4 → their lateral features (N,64,·,·) each."""
        return [getattr(self.decoder, f"lateral{k}")(stage) for k, stage in enumerate(stages, first)]

    def consensus(self, features: Tensor, block: int | None = BLOCK) -> Consensus:
        """Stage-5 features of one whole group (N,C,h,w) → what they have in common; `block`: see GAM."""
        return self.affinity(features, block)

    def decode(
        self, laterals: Sequence[Tensor], features: Tensor, vector: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Laterals 1 to 4, stage 5 and E of some of a group's images → maps (N,1,H,W) at `size`."""
        pyramid = self.decoder(laterals, (features * vector).to(features.dtype))
        return self.side1(pyramid.p1, size)

    def __prepare_scriptable__(self) -> NoReturn:
        raise ConfigError("GCoNet cannot be compiled by torch.jit.script; use torch.export or gconet export")
