"""The maps of a group, and whether a picture holds its object."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from torch import Tensor

Map = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Maps(list[Map]):
    """The co-saliency maps of a group, in the order of its pictures: (H,W) uint8, each the size of
    its picture after EXIF rotation. Slices and copies are plain lists.

    `names`: file stems (whole file names if two share a stem); "0", "1", … for pictures in memory.
    `presence`: (N,) float32 in [0,1], higher if a picture holds the group's object; NaN for a single picture.
    It is the cosine similarity of the picture's stage-5 features, averaged under its map, to the sum of the
    others', or of the reference's pictures', each of length 1. docs/results.md measures it.
    """

    names: Sequence[str]
    presence: Floats


def average_under(features: Tensor, maps: Tensor) -> Tensor:
    """Average features (n,C,h,w) with the maps (n,1,H,W) as weights: (n,C) float32, each of length 1."""
    h, w = features.shape[-2:]
    weights = F.adaptive_avg_pool2d(maps.float(), (h, w))
    return F.normalize((features.float() * weights).mean((2, 3)), dim=1)


def cosine_to_others(vectors: Floats) -> Floats:
    """Vectors (N,C) of length 1 → (N,), the cosine similarity of each to the sum of the others."""
    if len(vectors) < 2:
        return np.full(len(vectors), np.nan, np.float32)
    others = vectors.sum(0) - vectors
    length = np.linalg.norm(others, axis=1).clip(1e-12)
    return np.asarray(((vectors * others).sum(1) / length).clip(0, 1), np.float32)
