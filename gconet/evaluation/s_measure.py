"""S-measure (Fan et al., ICCV 2017): how alike map and mask are as objects and in four quadrants.

All of it follows from integer sums over each quadrant's background and object, so variances and
covariances are zero exactly when they should be, which `ssim` asks for.
"""

from functools import reduce
from operator import or_
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gconet.evaluation.histogram import joint_histogram
from gconet.opencv import cv2

ALPHA = 0.5  # weight of the object part


class Moments(NamedTuple):
    """Some pixels: their number n, and integer sums of their x = (level - offset) / scale."""

    n: int
    m: int  # sum of (level - offset)
    mm: int  # sum of its square
    scale: int

    @property
    def mean(self) -> float:
        """Mean of x."""
        return self.m / (self.n * self.scale)

    @property
    def variance(self) -> float:
        """Unbiased variance of x; 0 for a single pixel, where the toolbox has NaN."""
        return (self.n * self.mm - self.m**2) / (self.n * max(self.n - 1, 1) * self.scale**2)

    def __or__(self, other: "Moments") -> "Moments":
        """The moments of both sets of pixels together."""
        return Moments(self.n + other.n, self.m + other.m, self.mm + other.mm, self.scale)


def s_measure(
    map_u8: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], offset: int, scale: int, *, toolbox: bool
) -> float:
    """S-measure of the map (H, W), read as (level - offset) / scale, with a binary mask (H, W).

    A mask without object scores 1 - mean(map), one that is all object mean(map); a negative result
    becomes 0. `toolbox` selects its epsilon and centroid, else PySODMetrics'.
    """
    row, column = split_at_centroid(mask, toolbox=toolbox)
    quadrants = quadrant_moments(map_u8, mask, row, column, offset, scale)
    back, front = (reduce(or_, own) for own in zip(*quadrants, strict=True))
    if front.n == 0:
        return 1 - back.mean
    if back.n == 0:
        return front.mean

    share = front.n / mask.size
    objects = share * object_score(front.mean, front.variance)
    objects += (1 - share) * object_score(1 - back.mean, back.variance)
    epsilon = 1e-20 if toolbox else float(np.spacing(1))
    regions = sum((b.n + f.n) / mask.size * ssim(b, f, epsilon) for b, f in quadrants if b.n + f.n)
    return max(0.0, ALPHA * objects + (1 - ALPHA) * regions)


def object_score(mean: float, variance: float) -> float:
    """2 x / (x^2 + 1 + sigma) over object or background, where a perfect map has mean x = 1."""
    return float(2 * mean / (mean**2 + 1 + variance**0.5))


def split_at_centroid(mask: npt.NDArray[np.bool_], *, toolbox: bool) -> tuple[int, int]:
    """Rows and columns of the upper left quadrant, which ends at the object's centroid.

    Centroids halfway between pixels are common, and round to even. The toolbox divides in float32
    and leaves the centroid's own row and column to the lower right quadrant; PySODMetrics, like
    MATLAB, to the upper left.
    """
    sums = cv2.moments(mask.view(np.uint8))
    if sums["m00"] == 0:
        return 0, 0
    total, rows, columns = (sums[name] for name in ("m00", "m01", "m10"))
    if toolbox:
        total = np.float32(total)
        return round(np.float32(rows) / total), round(np.float32(columns) / total)
    return round(rows / total) + 1, round(columns / total) + 1


def quadrant_moments(
    map_u8: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], row: int, column: int, offset: int, scale: int
) -> list[tuple[Moments, Moments]]:
    """Background's and object's moments in the four quadrants; those that are empty have n = 0."""
    halves = ((map_u8[:row], mask[:row]), (map_u8[row:], mask[row:]))
    counts = np.stack(
        [
            joint_histogram(m[:, columns], y[:, columns].view(np.uint8), masks=2).T
            for m, y in halves
            for columns in (slice(column), slice(column, None))
        ]
    )  # (4, 2, 256)
    levels = np.arange(256) - offset
    powers = np.stack([np.ones_like(levels), levels, levels**2], axis=1)  # (256, 3)
    # Python's integers: their products cannot overflow
    sums: list[list[tuple[int, int, int]]] = (counts @ powers).tolist()
    return [(Moments(*back, scale), Moments(*front, scale)) for back, front in sums]


def ssim(back: Moments, front: Moments, epsilon: float) -> float:
    """Similarity of map x and mask y over the pixels of one quadrant."""
    both = back | front
    x, y = both.mean, front.n / both.n
    pairs = both.n * max(both.n - 1, 1)
    variance_y = (both.n * front.n - front.n**2) / pairs
    covariance = (both.n * front.m - both.m * front.n) / (pairs * both.scale)
    alpha = 4 * x * y * covariance
    beta = (x * x + y * y) * (both.variance + variance_y)
    if alpha != 0:
        return alpha / (beta + epsilon)
    return 1.0 if beta == 0 else 0.0
