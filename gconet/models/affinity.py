"""The group affinity module (GAM): what do these images have in common?"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

BLOCK = 2**26  # most affinities held at a time; larger groups go block by block


class Consensus(NamedTuple):
    """What a group shares."""

    vector: Tensor  # E, (1,C,1,1): multiplied onto every image's features
    attention: Tensor  # (N,1,h,w): where each image's part of it was found


class GroupAffinityModule(nn.Module):
    """GAM, section 3.2 of the paper.

    S = θ(F)ᵀ φ(F) compares every position of the group with every other. A position's relevance is
    its best match in each image, averaged over the images; softmax turns relevance into attention A,
    and E is the mean of the attended features. Per image the release takes the softmax over its P
    positions; the paper's text reads as over all N·P.
    """

    def __init__(
        self, *, channels: int, kernel_size: int, softmax: Literal["image", "group"], output_conv: bool
    ) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.query = nn.Conv2d(channels, channels, kernel_size, padding=padding)
        self.key = nn.Conv2d(channels, channels, kernel_size, padding=padding)
        self.output = nn.Conv2d(channels, channels, 1) if output_conv else nn.Identity()
        self.softmax = softmax
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Consensus:
        """Stage-5 features of one group (N,C,h,w) → its consensus."""
        N, C, h, w = features.shape
        relevance = self.relevance(self.query(features), self.key(features)) * C**-0.5  # (N,P)
        if self.softmax == "group":
            attention = relevance.flatten().softmax(0).view(N, 1, h, w)
        else:
            attention = relevance.softmax(1).view(N, 1, h, w)
        attended = self.output(features * attention)  # (N,C,h,w)
        return Consensus(attended.mean((0, 2, 3), keepdim=True), attention)

    @staticmethod
    def relevance(query: Tensor, key: Tensor) -> Tensor:
        """Queries and keys (N,C,h,w) → (N,P): per position, the mean over images of its best match.

        The N·P × N·P affinities exist only `BLOCK` at a time, so memory stays linear in N.
        """
        N, C, h, w = query.shape
        P = h * w
        rows = query.flatten(2).transpose(1, 2).reshape(N * P, C)
        columns = key.flatten(2).transpose(0, 1).reshape(C, N * P)
        blocks = [
            (block @ columns).view(-1, N, P).max(2).values.mean(1)
            for block in rows.split(max(1, BLOCK // (N * P)))
        ]
        return torch.cat(blocks).view(N, P)


class MeanConsensus(nn.Module):
    """The baseline without GAM (Table 1, row 1): the plain mean of the features."""

    def forward(self, features: Tensor) -> Consensus:
        """Stage-5 features of one group (N,C,h,w) → their mean, with uniform attention."""
        return Consensus(features.mean((0, 2, 3), keepdim=True), torch.ones_like(features[:, :1]))
