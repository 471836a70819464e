"""The group affinity module (GAM): what do these images have in common?"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 2**28  # bytes of affinities held at a time; larger groups are processed in blocks


class Consensus(NamedTuple):
    """What a group has in common: the output of every consensus module, (features, block) → Consensus."""

    vector: Tensor  # E, the factor on the features: (1,C,1,1), or for each image (N,C,1,1) or (N,C,h,w)
    attention: Tensor  # (N,1,h,w): where each image's part of it was found

    def of(self, images: slice) -> Tensor:
        """E for some of the group's images."""
        return self.vector if len(self.vector) == 1 else self.vector[images]


class GroupAffinityModule(nn.Module):
    """GAM, section 3.2 of the paper.

    S = θ(F)ᵀ φ(F) / √C compares every position of the group with every other. A position's relevance is
    its best match in each image, averaged over the images; softmax turns relevance into attention A,
    and E is the mean of the attended features. The release takes the softmax over the P
    positions of each image; the paper's text suggests all N·P.
    """

    def __init__(self, *, channels: int, kernel_size: int, softmax: str, output_conv: bool) -> None:
        """`softmax`: over the positions of each `image` or of the whole `group`."""
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

    def forward(self, features: Tensor, block: int | None = BLOCK) -> Consensus:
        """Stage-5 features of one group (N,C,h,w) → its consensus; `block`: see `best_matches`."""
        N, C, h, w = features.shape
        relevance = best_matches(self.query(features), self.key(features), block) * C**-0.5  # (N,P)
        relevance = relevance.view(1, -1) if self.softmax == "group" else relevance
        attention = relevance.softmax(1).view(N, 1, h, w)
        attended = group_mean(features * attention)
        # a 1×1 convolution of the mean is the mean of the convolved features
        if isinstance(self.output, nn.Conv2d):
            attended = attended.to(self.output.weight.dtype)
        return Consensus(apply_wide(self.output, attended), attention)


def parts_of(affinity: nn.Module, features: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
    """Return each image's attended features, and its part of E, the mean of all; both (N,C,1,1)."""
    attended = (features * attention).mean((2, 3), keepdim=True)
    return attended, affinity.output(attended) if isinstance(affinity, GroupAffinityModule) else attended


def apply_wide(layer: nn.Module, x: Tensor) -> Tensor:
    """Return layer(x), computed as `layer` is stored if autocast would use float16: it cannot hold gradients
    that are summed over a whole group or picture."""
    kind = x.device.type
    mixed = kind != "meta" and torch.is_autocast_enabled(kind)
    if not mixed or torch.get_autocast_dtype(kind) != torch.float16:
        return layer(x)
    with torch.autocast(kind, enabled=False):
        return layer(x.to(next(layer.parameters(), x).dtype))


def best_matches(query: Tensor, key: Tensor, block: int | None = BLOCK) -> Tensor:
    """Queries and keys (N,C,h,w) → (N,P) float32: per position, the mean over images of its best match.

    The N·P × N·P affinity matrix is built in blocks of rows, of `block` bytes (None: whole), in the inputs'
    precision (float32 for float16) and only to find the best keys: the mean of a row's N best affinities is
    its affinity to the mean of the N best keys, which is computed in float32 and differentiable. So memory
    grows linearly with N, except for one index per row and image, which the gradient needs.
    """
    N, C, h, w = query.shape
    P = h * w
    if query.dtype == torch.float16:  # in which the sums of products would overflow
        query, key = query.float(), key.float()
    rows = query.flatten(2).transpose(1, 2).reshape(N * P, C)
    keys = key.flatten(2).transpose(1, 2).reshape(N * P, C)
    if block is None:
        return (rows @ keys.T).float().view(N, P, N, P).amax(3).mean(2)
    columns, values = keys.detach().T, keys.float()
    offsets = P * torch.arange(N, device=key.device)  # each image's first key
    R = max(1, block // (N * P * rows.element_size()))  # rows at a time
    affinities = rows.new_empty(min(R, N * P), N * P)  # reused by all blocks: allocation costs time
    matches = []
    for part in rows.split(R):
        with torch.no_grad():
            torch.mm(part, columns, out=affinities[: len(part)])
        best = affinities[: len(part)].view(-1, N, P).max(2).indices + offsets  # (R,N)
        try:
            mean = F.embedding_bag(best, values, mode="mean")
        except NotImplementedError:  # on MPS
            mean = values[best].mean(1)
        matches.append((part.float() * mean).sum(1))
    return torch.cat(matches).view(N, P)


def group_mean(x: Tensor) -> Tensor:
    """(N,C,h,w) → (1,C,1,1). Exported in two steps: OpenCV 5 gets the mean over axes 0, 2 and 3 wrong."""
    if torch.compiler.is_exporting():
        return x.mean((2, 3), keepdim=True).mean(0, keepdim=True)
    return x.mean((0, 2, 3), keepdim=True)


class MeanConsensus(nn.Module):
    """The baseline without GAM (Table 1, row 1): the plain mean of the features."""

    def forward(self, features: Tensor, block: int | None = None) -> Consensus:
        """Stage-5 features of one group (N,C,h,w) → their mean, with uniform attention."""
        return Consensus(group_mean(features), torch.ones_like(features[:, :1]))
