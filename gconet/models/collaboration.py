"""The group collaborating module (GCM): a consensus must not fit another group. Training only."""

import torch
from torch import Tensor, nn

from gconet.models.decoder import upsample


class GroupCollaboratingModule(nn.Module):
    """GCM, section 3.3 of the paper: tells a group's own consensus from the other group's."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 128, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(128, 1, 1)
        )

    def forward(
        self, features: tuple[Tensor, Tensor], consensus: tuple[Tensor, Tensor], size: tuple[int, int]
    ) -> Tensor:
        """Both groups' F (N,C,h,w) and E (see `Consensus`) → logits (4N,1,H,W) at the input size (H,W).

        The own half (F₁E₁, F₂E₂) comes first and is to be the ground truth; the crossed half
        (F₁E₂, F₂E₁) is to be zero.
        """
        (F1, F2), (E1, E2) = features, consensus
        products = torch.cat([F1 * E1, F2 * E2, F1 * E2, F2 * E1])  # (4N,C,h,w)
        return upsample(self.layers(products).float(), size)
