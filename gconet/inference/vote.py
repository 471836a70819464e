"""Maps from a consensus closer to each picture, refined by what the object looks like.

The network often marks other objects too. The features of stage 5 tell them apart better once the object's
look is known: that of a reference, or of the parts that all pictures of the group share, by vote.
Without a reference, a picture that is like the others also keeps some of its own part of the consensus, which
makes its map bolder. `--consensus group` or `consensus="group"` leaves the network's maps as they are.
docs/experiments.md says how the method and its numbers were chosen.
"""

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gconet.inference.presence import Floats, average_under, cosine_to_others
from gconet.inference.reference import OBJECTS, PRESENT, Reference, read_references
from gconet.models.affinity import Consensus
from gconet.models.decoder import upsample

GRID = 56  # cells per side, on which parts are found
LEVEL, SHARE = 0.3, 0.01  # a part: connected cells of this level, more than this share of the picture
POWER = 4  # of a picture's votes
MOST, SURE = 40, 0.9  # strength of a change: 0 at a presence of SURE, MOST at PRESENT and below
OWN, UNSURE, CLEAR = 0.5, 0.5, 0.8  # own part's share: 0 up to a cosine of UNSURE, OWN from CLEAR
LEAST = 0.1  # similarity below which everything is darkened, for pictures that lack the object
Drawn = Sequence[tuple[Tensor, Tensor]]  # batches of a group: stage 5 (n,C,h,w) and maps (n,1,H,W)


def add_own_parts(consensus: Consensus, attended: Tensor, parts: Tensor) -> Consensus:
    """Mix E (1,C,1,1) with each picture's part of it: E for each picture, (N,C,1,1). The more alike its
    attended features and the others' are, the larger is the part's share. For both see `parts_of`."""
    if len(parts) == 1:
        return consensus
    alike = cosine_to_others(F.normalize(attended.flatten(1).float(), dim=1).cpu().numpy())
    share = torch.from_numpy(OWN * ((alike - UNSURE) / (CLEAR - UNSURE)).clip(0, 1)).to(parts)
    return consensus._replace(vector=torch.lerp(consensus.vector.to(parts), parts, share.view(-1, 1, 1, 1)))


def refine_group(drawn: Drawn, looks: Floats, weights: str) -> Iterator[Tensor]:
    """Refine the maps of a group by what its pictures share, batch by batch; a single picture keeps its map.

    `looks`: features averaged under the maps, (N,C), each of length 1. `weights`: `Predictor.digest`.
    """
    if len(looks) == 1:
        yield from (maps for _, maps in drawn)
        return
    presence, center = cosine_to_others(looks), mean_look(weights).to(drawn[0][1])
    shared = vote(drawn, center)
    for features, maps in drawn:
        own, presence = np.split(presence, [len(maps)])
        yield maps if shared is None else apply_look(maps, features, own, shared, center)


def refine(maps: Tensor, features: Tensor, looks: Floats, known: Reference) -> Tensor:
    """Refine the maps (n,1,H,W) of pictures by what a reference looks like; the other arguments: as above."""
    center = mean_look(known.weights).to(maps)
    look = F.normalize(torch.from_numpy(known.appearance).to(maps) - center, dim=0)
    return apply_look(maps, features, (looks * known.appearance).sum(1), look, center)


def vote(drawn: Drawn, center: Tensor) -> Tensor | None:
    """Return what the parts with the most votes look like, (C,) of length 1; None without votes.

    A part's vote from another picture is its best cosine with that picture's parts. Each picture keeps its
    part with the most votes, and counts by these votes to the power of `POWER`.
    """
    pairs = [pair for features, maps in drawn for pair in zip(features.split(1), maps.split(1), strict=True)]
    parts = [average_under(features, find_parts(m)) for features, m in pairs]
    owners = np.repeat(np.arange(len(parts)), [len(own) for own in parts])
    if not len(owners):
        return None
    unit = F.normalize(torch.cat(parts) - center, dim=1).cpu().numpy()  # no TF32 there
    alike = unit @ unit.T
    best = {k: alike[:, owners == k].max(1) for k in np.unique(owners)}
    votes = np.sum([*best.values()], 0) - 1  # without its own picture's best, which is itself
    kept = [max(np.flatnonzero(owners == k), key=votes.__getitem__) for k in best]
    weights = votes[kept].clip(0) ** POWER
    return F.normalize(torch.from_numpy(weights @ unit[kept]), dim=0).to(center) if weights.any() else None


def apply_look(maps: Tensor, features: Tensor, presence: Floats, look: Tensor, center: Tensor) -> Tensor:
    """Brighten the pixels whose features are more like `look` than the map's average is; darken the others.

    maps (n,1,H,W) in [0,1], stage 5 (n,C,h,w), presence (n,), look (C,) of length 1 → maps (n,1,H,W).
    `center` (C,): what all objects look like; similarity is the cosine without it, averaged under the map
    over 3 × 3 positions, and in a part half of it is the part's average, so that an object is not cut in two.
    The higher a picture's presence, the smaller is the change.
    """
    n, _, h, w = features.shape
    unit = F.normalize(F.normalize(features.float(), dim=1) - center.view(-1, 1, 1), dim=1)
    alike = (unit * look.view(-1, 1, 1)).sum(1, keepdim=True)
    weights = F.adaptive_avg_pool2d(maps, (h, w))
    average = mean_under(weights, alike).clamp_min(LEAST)
    near = F.avg_pool2d(alike * weights, 3, 1, 1) / F.avg_pool2d(weights, 3, 1, 1).clamp_min(1e-4)
    near, small = upsample(near, (GRID, GRID)), F.adaptive_avg_pool2d(maps, GRID)
    parts = label_parts(small)
    for number in parts[parts > 0].unique():
        inside = small * (parts == number)
        near = torch.where(inside > 0, (near + mean_under(inside, near)) / 2, near)
    strength = (MOST * (SURE - presence) / (SURE - PRESENT)).clip(0, MOST)
    shift = torch.from_numpy(strength).to(maps).view(n, 1, 1, 1) * (near - average)
    return (maps.logit(1e-4) + upsample(shift, (maps.shape[2], maps.shape[3]))).sigmoid()


def mean_under(weights: Tensor, values: Tensor) -> Tensor:
    """Weights and values (n,1,h,w) → each picture's weighted mean, (n,1,1,1)."""
    return (weights * values).sum((2, 3), keepdim=True) / weights.sum((2, 3), keepdim=True).clamp_min(1e-6)


@cache
def mean_look(weights: str) -> Tensor:
    """What the shipped objects look like on average, (C,), if they were made with `weights`; else 0, (1,)."""
    looks = [one.appearance for one in read_references(OBJECTS) if one.weights == weights]
    return torch.from_numpy(np.mean(looks, 0)) if looks else torch.zeros(1, dtype=torch.float32, device="cpu")


def find_parts(m: Tensor) -> Tensor:
    """A map (1,1,H,W) in [0,1] → masks of its K parts, (K,1,GRID,GRID) float32."""
    labels = label_parts(F.adaptive_avg_pool2d(m, GRID))
    numbers, areas = labels.unique(return_counts=True)
    large = numbers[(areas > SHARE * labels.numel()) & (numbers > 0)]
    return (labels == large.view(-1, 1, 1, 1)).float()


def label_parts(small: Tensor) -> Tensor:
    """Maps (n,1,GRID,GRID) → one number for each part of a map, 0 elsewhere, of the same shape; no OpenCV."""
    bright = (small >= LEVEL).float()
    labels = torch.arange(1, 1 + GRID**2, dtype=torch.float32, device=small.device)
    labels = labels.view(1, 1, GRID, GRID) * bright
    while not (grown := F.max_pool2d(labels, 3, 1, 1) * bright).equal(labels):  # the highest number spreads
        labels = grown
    return labels
