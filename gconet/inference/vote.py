"""A consensus by vote, for cluttered groups: what do its pictures share? docs/experiments.md"""

from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gconet.inference.presence import Floats, average_under, cosine_to_others
from gconet.models import GCoNet
from gconet.models.affinity import Consensus, GroupAffinityModule
from gconet.opencv import cv2

LEVEL, SHARE = 0.3, 0.01  # a part: connected pixels of this level, more than this share of the picture
CLEAR, POWER = 0.8, 4  # a group of this median presence keeps its E; the power of a picture's votes in E
Batches = Iterable[tuple[list[Tensor], Tensor]]


def vote(model: GCoNet, batches: Batches, group: Consensus, size: int) -> Tensor:
    """Laterals and stage 5 (n,C,h,w) of a group's pictures, and its own consensus → E (1,C,1,1).

    Parts come from the maps (size × size) with the group's E and with that of each picture alone. A clear
    group, a single picture, and pictures without parts keep the group's own E.
    """
    means, parts, attended = list[Tensor](), list[Tensor](), list[Tensor]()
    looks, owners = list[Floats](), list[int]()
    for laterals, features in batches:
        alone = torch.cat([model.consensus(picture[None]).vector for picture in features])
        both = [model.decode(laterals, features, E, (size, size)) for E in (group.vector, alone)]
        looks.append(average_under(features, both[0]).cpu().numpy())
        for picture, *maps in zip(features.float(), *both, strict=True):
            attention = group.attention[len(means)].float()
            for mask in (part for m in maps for part in find_parts(m[0].float().cpu().numpy())):
                weight = F.adaptive_avg_pool2d(mask.to(picture.device), picture.shape[1:])
                parts.append(weighted_mean(picture, weight))
                attended.append(weighted_mean(picture, weight * attention))
                owners.append(len(means))
            means.append(picture.mean((1, 2)))
    if not owners or not np.median(cosine_to_others(np.concatenate(looks))) < CLEAR:
        return group.vector
    unit = F.normalize(torch.stack(parts) - torch.stack(means).mean(0), dim=1).cpu().numpy()
    alike, own = unit @ unit.T, np.array(owners)
    best = {k: alike[:, own == k].max(1) for k in np.unique(own)}  # with each picture's most similar part
    votes = np.sum([*best.values()], 0) - [best[k][i] for i, k in enumerate(own)]  # of the other pictures
    kept = [max(np.flatnonzero(own == k), key=votes.__getitem__) for k in best]
    weights = torch.from_numpy(votes[kept].clip(0) ** POWER).to(parts[0])[:, None]
    mean = (weights * torch.stack(attended)[kept]).sum(0) / weights.sum() / attention.numel()  # as in GAM
    E = cast(GroupAffinityModule, model.affinity).output(mean.view(1, -1, 1, 1).to(features.dtype))
    return E if E.isfinite().all() else group.vector  # no votes at all


def weighted_mean(picture: Tensor, weight: Tensor) -> Tensor:
    """Features (C,h,w) and weights (1,h,w) → (C,)."""
    return (picture * weight).sum((1, 2)) / weight.sum().clamp_min(1e-9)


def find_parts(m: np.ndarray) -> list[Tensor]:
    """A map (H,W) in [0,1] → the mask of each part, (1,H,W) float32."""
    count, labels, figures, _ = cv2.connectedComponentsWithStats((m >= LEVEL).astype(np.uint8))
    large = [i for i in range(1, count) if figures[i, cv2.CC_STAT_AREA] > SHARE * m.size]
    return [torch.from_numpy((labels == i).astype(np.float32))[None] for i in large]
