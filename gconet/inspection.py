"""The network's inside, for looking at: where GAM attends, and what a group's consensus is made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from gconet.device import autocast
from gconet.inference import load_images
from gconet.memory import plan_group
from gconet.models import GCoNet
from gconet.models.affinity import GroupAffinityModule

Array = npt.NDArray[np.float32]


class Inspection(NamedTuple):
    """What a group of N images has in common, and from where in each it comes."""

    attention: (
        Array  # (N,h,w); sums to 1 over an image, or over the group if GAM's softmax does; 1 without GAM
    )
    parts: Array  # (N,C): each image's part of the consensus, which is their mean


def inspect_group(
    model: GCoNet, images: Sequence[Path], *, size: int = 224, precision: torch.dtype = torch.float32
) -> Inspection:
    """The attention and the parts of the consensus of one whole group (sections 3.2 and 4.3).

    Arguments as of `predict_group`; raises DataError for a picture that cannot be read.
    """
    device = model.mean.device
    plan = plan_group(len(images), size, device=device, precision=precision)
    with torch.inference_mode(), autocast(device, precision):
        batches = [images[i : i + plan.batch] for i in range(0, len(images), plan.batch)]
        features = torch.cat(
            [model.encode(load_images(batch, size, device, precision))[-1] for batch in batches]
        )
        attention = model.consensus(features, plan.block).attention
        parts = (features * attention).mean((2, 3), keepdim=True)
        if isinstance(model.affinity, GroupAffinityModule):
            parts = model.affinity.output(parts)
    return Inspection(attention[:, 0].float().cpu().numpy(), parts[..., 0, 0].float().cpu().numpy())


def cosine_similarity(vectors: Array) -> Array:
    """(N,C) → (N,N), in [-1,1]."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    return np.asarray(unit @ unit.T, np.float32)


def group_distances(parts: Sequence[Array]) -> tuple[Array, Array]:
    """Mean cosine distance, 1 - similarity, of each group's images to each other and to all others.

    `parts`: (N,C) of each of G groups. Returns (G,) within, NaN for a single image, and (G,)
    between, NaN for a single group; both in [0,2].
    """
    numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    distances = 1 - cosine_similarity(np.concatenate(list(parts)))
    within, between = [], []
    for group, part in enumerate(parts):
        own = distances[numbers == group]
        mine = own[:, numbers == group]
        pairs = ~np.eye(len(part), dtype=bool)
        within.append(mine[pairs].mean() if len(part) > 1 else np.nan)
        between.append(own[:, numbers != group].mean() if len(parts) > 1 else np.nan)
    return np.asarray(within, np.float32), np.asarray(between, np.float32)
