"""The maps of a group, and whether a picture holds its object."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from gconet.inference.reference import PRESENT
from gconet.models.decoder import upsample

Map = npt.NDArray[np.uint8]
Take = Callable[[Map], None]
Floats = npt.NDArray[np.float32]
UNLIKE = 0.5  # two pictures whose cosine is lower have little in common


class Maps(list[Map]):
    """The co-saliency maps of a group, in the order of its pictures: (H,W) uint8, each the size of
    its picture after EXIF rotation. Slices and copies are plain lists.

    `names`: file stems (whole file names if two share a stem); "0", "1", … for pictures in memory.
    `presence`: (N,) float32 in [0,1], higher if a picture holds the group's object; NaN for a single picture.
    It is the cosine similarity of the picture's stage-5 features, averaged under its map, to the sum of the
    others', each of length 1; docs/results.md measures it. With a reference, see `presence_of`.
    """

    names: Sequence[str]
    presence: Floats


def give(maps: Tensor, sizes: Iterator[tuple[int, int]], take: Take) -> None:
    """Call `take` with each of the maps (n,1,S,S), resized to the next of `sizes` (H,W), to the last."""
    with torch.inference_mode():
        scaled = [upsample(m[None], size)[0, 0] for m, size in zip(maps, sizes, strict=False)]
        grey = [(m * 255).to(torch.uint8) for m in scaled]
    for m in grey:
        take(m.cpu().numpy())


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


def presence_of(vectors: Floats, appearance: Floats) -> Floats:
    """Whether pictures show a reference's object: their vectors (N,C) and its appearance (C,), all of length
    1 → (N,) in [0,1].

    It is the cosine with the appearance, c. But if most pictures, at least eight, are below `PRESENT` and so
    lack the object, it is PRESENT + (c − d) / 2, where d is the mean cosine with the eighth of them that are
    most like the picture: it shows the object if it is more like the reference than like them. d is at least
    `UNLIKE`, for pictures that are like neither. docs/references.md measures it. A picture of an empty map (a
    vector of 0) has 0 and counts for no other.
    """
    cosines = (vectors * appearance).sum(1).clip(0, 1)  # not @, which may round by the number of pictures
    marked = np.linalg.norm(vectors, axis=1) > 0.5  # 0 is no look to compare with
    without = np.flatnonzero(marked & (cosines < PRESENT))
    if len(without) < max(8, marked.sum() / 2):
        return np.asarray(cosines, np.float32)
    strangers, nearest, presence = vectors[without], -(-len(without) // 8), np.empty_like(cosines)
    for i, vector in enumerate(vectors):  # one by one: all pairs of a large folder would fill the memory
        alike = strangers @ vector
        alike[without == i] = -1  # itself
        presence[i] = PRESENT + (cosines[i] - max(UNLIKE, np.sort(alike)[-nearest:].mean())) / 2
    return np.asarray(np.where(marked, presence, cosines).clip(0, 1), np.float32)
