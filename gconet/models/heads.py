"""The two heads that exist only in training: group collaborating (GCM) and auxiliary classification (ACM)."""

import torch
from torch import Tensor, nn

from gconet.models.affinity import apply_wide
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

        The own half (F₁E₁, F₂E₂) comes first, and its target is the ground truth; the target of the
        crossed half (F₁E₂, F₂E₁) is zero.
        """
        (F1, F2), (E1, E2) = features, consensus
        products = torch.cat([F1 * E1, F2 * E2, F1 * E2, F2 * E1])  # (4N,C,h,w)
        return upsample(apply_wide(self.layers, products).float(), size)


class AuxiliaryClassificationModule(nn.Module):
    """ACM, section 3.4 of the paper: trains the features to tell the classes apart, by a global average pool
    before the GAM and a linear layer."""

    def __init__(self, *, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)
        nn.init.kaiming_normal_(self.linear.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Stage-5 features (N,C,h,w) → class logits (N,classes), float32."""
        return apply_wide(self.linear, features.mean((2, 3))).float()
