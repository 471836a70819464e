"""S-measure (Fan et al., ICCV 2017): how similar map and mask are as objects and in four quadrants.

Everything is computed from integer sums over each quadrant's background and object, so variances and
covariances are exactly zero when they should be, which `ssim` tests for.
"""

from operator import add
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gconet.evaluation.histogram import joint_histogram
from gconet.opencv import cv2

ALPHA = 0.5  # weight of the object part


class Moments(NamedTuple):
    """A set of pixels: their number n, and integer sums of x = (level - offset) / scale."""

    scale: int
    n: int
    m: int  # sum of (level - offset)
    mm: int  # sum of its square

    @property
    def mean(self) -> float:
        return self.m / (self.n * self.scale)

    @property
    def variance(self) -> float:
        """Unbiased; 0 for a single pixel, for which the toolbox gives NaN."""
        return (self.n * self.mm - self.m**2) / (self.n * max(self.n - 1, 1) * self.scale**2)


def s_measure(
    map_u8: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], offset: int, scale: int, *, toolbox: bool
) -> float:
    """S-measure, at least 0, of the map (H, W), read as (level - offset) / scale, with a binary mask (H, W).

    A mask without an object scores 1 - mean(map), one that is all object mean(map). `toolbox` selects the
    toolbox's epsilon and centroid, else PySODMetrics'.
    """
    row, column = split_at_centroid(mask, toolbox=toolbox)
    levels = np.arange(256) - offset
    powers = np.stack([np.ones_like(levels), levels, levels**2], axis=1)  # (256, 3)
    sums = np.stack([
        joint_histogram(map_u8[rows, columns], mask[rows, columns].view(np.uint8), masks=2).T @ powers
        for rows in (slice(row), slice(row, None))
        for columns in (slice(column), slice(column, None))
    ])  # (4, 2, 3): quadrants, background and object, moments  # fmt: skip
    # Python integers from here on: their products cannot overflow
    back, front = (Moments(scale, *own) for own in sums.sum(axis=0).tolist())
    if front.n == 0:
        return 1 - back.mean
    if back.n == 0:
        return front.mean

    share = front.n / mask.size
    objects = share * object_score(front.mean, front.variance)
    objects += (1 - share) * object_score(1 - back.mean, back.variance)
    epsilon = 1e-20 if toolbox else float(np.spacing(1))
    quadrants = [(Moments(scale, *map(add, b, f)), Moments(scale, *f)) for b, f in sums.tolist()]
    regions = sum(whole.n / mask.size * ssim(whole, f, epsilon) for whole, f in quadrants if whole.n)
    return max(0.0, ALPHA * objects + (1 - ALPHA) * regions)


def object_score(mean: float, variance: float) -> float:
    """2 x / (x^2 + 1 + sigma) over object or background; a perfect map has mean x = 1."""
    return float(2 * mean / (mean**2 + 1 + variance**0.5))


def split_at_centroid(mask: npt.NDArray[np.bool_], *, toolbox: bool) -> tuple[int, int]:
    """Rows and columns of the upper left quadrant, which ends at the object's centroid, rounded half to even.

    The toolbox divides in float32 and puts the centroid's row and column into the lower right quadrant;
    PySODMetrics, like MATLAB, puts them into the upper left.
    """
    sums = cv2.moments(mask.view(np.uint8))
    if sums["m00"] == 0:
        return 0, 0
    total, rows, columns = (sums[name] for name in ("m00", "m01", "m10"))
    if toolbox:
        total = np.float32(total)
        return round(np.float32(rows) / total), round(np.float32(columns) / total)
    return round(rows / total) + 1, round(columns / total) + 1


def ssim(whole: Moments, front: Moments, epsilon: float) -> float:
    """Similarity of map x and mask y over the pixels of one quadrant, `front` those where y = 1."""
    x, y = whole.mean, front.n / whole.n
    pairs = whole.n * max(whole.n - 1, 1)
    variance_y = (whole.n * front.n - front.n**2) / pairs
    covariance = (whole.n * front.m - whole.m * front.n) / (pairs * whole.scale)
    alpha = 4 * x * y * covariance
    beta = (x * x + y * y) * (whole.variance + variance_y)
    if alpha != 0:
        return alpha / (beta + epsilon)
    return 1.0 if beta == 0 else 0.0
