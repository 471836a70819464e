"""The auxiliary classification module (ACM): features must tell the classes apart. Training only."""

from torch import Tensor, nn


class AuxiliaryClassificationModule(nn.Module):
    """ACM, section 3.4 of the paper: global average pool of the features before the GAM, linear."""

    def __init__(self, *, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)
        nn.init.kaiming_normal_(self.linear.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Stage-5 features (N,C,h,w) → class logits (N,classes), float32."""
        return self.linear(features.mean((2, 3))).float()
