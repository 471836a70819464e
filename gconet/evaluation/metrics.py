"""Scores one map against its mask: MAE and all threshold curves come from their joint histogram.

`J[m, g]` counts the pixels with map level m and mask level g. A threshold keeps the map levels from
some level up, so a sum over those rows of J replaces a pass over the pixels: exact for grey
masks too, and as cheap for 255 thresholds as for one.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gconet.evaluation.histogram import HALF, adaptive_level, joint_histogram, precision_jaccard
from gconet.evaluation.s_measure import s_measure

CONVENTIONS = ("toolbox", "pysodmetrics")
CURVES = ("f", "e", "precision", "recall", "fpr")
RESPONSES = ("on_object", "on_distractors")  # of `measure_response`
BETA2 = 0.3  # of the F-measure: weights precision more (Achanta et al., CVPR 2009)

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]


class MapScore(NamedTuple):
    """The scores of one map: mae and s_measure; precision and Jaccard index of the map cut at 0.5 (p_half,
    j_half) and at twice its mean (p_adaptive, j_adaptive); the figures of `measure_response`; the curves."""

    figures: dict[str, float]
    curves: F64  # `CURVES` over T rising thresholds (5, T), 255 (toolbox) or 256; E may slightly exceed 1


def score_map(
    map_u8: U8, gt_u8: U8, convention: str = "toolbox", *, distractors_u8: U8 | None = None
) -> MapScore:
    """Score one map (H, W) against its mask (H, W), both 8-bit grey, 255 for the object.

    `toolbox` follows eval-co-sod, the source of the published tables: MAE uses the map as it is, the rest
    the stretched map; the mask keeps its greys except for S. `pysodmetrics` stretches for MAE too and
    binarises the mask (> 128) first. `distractors_u8`: a mask of the other objects, for the figures on them.

    If the originals divide by zero, an empty precision, recall or quadrant counts as 0, and a constant map
    is all foreground at threshold 0 and empty above it. Raises ValueError for other arrays or conventions.
    """
    given = [(one.dtype, one.shape) for one in (map_u8, gt_u8)]
    sound = given == 2 * [(np.uint8, map_u8.shape)] and map_u8.ndim == 2 and map_u8.size > 0
    if not sound or convention not in CONVENTIONS:
        expected = f"an 8-bit map and mask of one (H, W), and one of {', '.join(CONVENTIONS)}"
        raise ValueError(f"expected {expected}; got {given} and {convention!r}")
    response = {} if distractors_u8 is None else measure_response(map_u8, gt_u8, distractors_u8)
    toolbox = convention == "toolbox"
    if not toolbox:
        gt_u8 = np.where(gt_u8 > 128, np.uint8(255), np.uint8(0))

    joint = joint_histogram(map_u8, gt_u8)
    figures = {}
    for name, level in ("half", HALF), ("adaptive", adaptive_level(joint.sum(axis=1))):
        figures[f"p_{name}"], figures[f"j_{name}"] = precision_jaccard(joint, level)
    levels = np.flatnonzero(joint.any(axis=1))  # present in the map
    greys = np.flatnonzero(joint.any(axis=0))  # present in the mask
    joint = joint.take(greys, axis=1)  # in rows: indexing would leave it in columns, slower below
    offset, scale, first = stretch(int(levels[0]), int(levels[-1]), toolbox=toolbox)
    # the toolbox takes MAE on the map as it is
    mae = mean_absolute_error(joint, greys / 255, *((0, 255) if toolbox else (offset, scale)))
    s = s_measure(map_u8, gt_u8 >= 128, offset, scale, toolbox=toolbox)
    figures = {"mae": mae, "s_measure": s, **figures}
    return MapScore(figures | response, threshold_curves(joint, greys / 255, first, toolbox=toolbox))


def measure_response(map_u8: U8, gt_u8: U8, distractors_u8: U8) -> dict[str, float]:
    """The mean of a map (H, W), in [0, 1], on the common object and on the distractors, given their masks.

    NaN without such pixels. A mask's pixels are those of at least 128; a pixel in both masks counts as the
    object's.
    """
    on = gt_u8 >= HALF
    levels = map_u8[on], map_u8[(distractors_u8 >= HALF) & ~on]
    means = (float(one.mean()) / 255 if one.size else math.nan for one in levels)
    return dict(zip(RESPONSES, means, strict=True))


def thresholds(convention: str) -> F64:
    """The T thresholds of a convention's curves, rising from 0 to 1.

    The toolbox's equal `torch.linspace(0, 1 - 1e-10, 255)` in float32 bit for bit. It counts down from the
    end in the second half, with a fused multiply-add, whose single rounding float64 reproduces.
    """
    if convention == "pysodmetrics":
        return np.arange(256) / 255
    i, step = np.arange(255), np.float64(np.float32(1) / np.float32(254))
    return np.where(i < 127, i * step, 1 - (254 - i) * step).astype(np.float32).astype(np.float64)


def stretch(low: int, high: int, *, toolbox: bool) -> tuple[int, int, I64]:
    """Return how a convention reads a map of levels `low` to `high`: (offset, scale, first).

    Level m stands for (m - offset) / scale. `first` (T,) is the lowest level that reaches each threshold,
    256 if none does. The toolbox's map is (v - min) / (max - min + 1e-20) of v = level / 255, in float32.
    Levels and thresholds often coincide, and then v >= t depends on float32 rounding, which is reproduced
    for each level. PySODMetrics' map is stretched in float64 unless constant, then truncated to 256 bins.
    """
    if toolbox:
        v32 = np.arange(256, dtype=np.float32) / np.float32(255)
        v32 = (v32 - v32[low]) / (v32[high] - v32[low] + np.float32(1e-20))
        return low, max(high - low, 1), np.searchsorted(v32, thresholds("toolbox"))
    if low == high:
        low, high = 0, 255
    v = np.arange(256) / 255
    v = (v - v[low]) / (v[high] - v[low])
    return low, high - low, np.searchsorted(np.trunc(v * 255), np.arange(256))


def mean_absolute_error(joint: I32, mask: F64, offset: int, scale: int) -> float:
    """Mean |map - mask| over the pixels counted in `joint` (256, G), whose columns are `mask` (G,)."""
    levels = (np.arange(256) - offset) / scale
    distance = np.subtract.outer(levels, mask)
    np.abs(distance, out=distance)
    return float(np.einsum("mg,mg->", distance, joint) / joint.sum())


def threshold_curves(joint: I32, mask: F64, first: I64, *, toolbox: bool) -> F64:
    """The curves (5, T), in the order of `CURVES`, of the map cut at the levels `first` (T,). `joint` (256,
    G) counts the pixels of each map level and each value in `mask` (G,), from 0 to 1."""
    count = joint.sum(axis=0)  # (G,) pixels of each mask value
    below = np.zeros((257, len(mask)), np.int32)
    np.cumsum(joint, axis=0, out=below[1:])
    kept = np.subtract(count, below[first], dtype=np.float64)  # (T, G) of them above the threshold

    true = kept @ mask
    precision = divide(true, kept.sum(axis=1))
    recall = divide(true, mask @ count)
    fpr = divide(kept @ (1 - mask), (1 - mask) @ count)
    f = divide((1 + BETA2) * precision * recall, BETA2 * precision + recall)
    e = enhanced_alignment(kept, count, mask, toolbox=toolbox)
    return np.stack([f, e, precision, recall, fpr])


def enhanced_alignment(kept: F64, count: I64, mask: F64, *, toolbox: bool) -> F64:
    """E-measure (T,), Fan et al., IJCAI 2018: the sum of (align + 1)^2 / 4 over pixels - 1.

    align = 2 g b / (g^2 + b^2) of mask and binary map, each minus its mean. All pixels of one mask value on
    one side of the threshold share it, so the sum has 2 G terms. PySODMetrics scores a mask of one value by
    the share of pixels that agree.
    """
    pixels = int(count.sum())
    per_pixel = 1 / max(pixels - 1, 1)
    if not toolbox and len(mask) == 1:
        agreeing = kept[:, 0] if mask[0] == 1 else pixels - kept[:, 0]
        return agreeing * per_pixel

    epsilon = 1e-20 if toolbox else float(np.spacing(1))
    mean = kept.sum(axis=1) / pixels  # (T,) of the binary map
    g = mask - mask @ count / pixels  # (G,)
    total = np.zeros(len(kept))
    for start in range(0, len(kept), 64):  # chunks that fit the cache: grey masks spend most time here
        part = slice(start, start + 64)
        for there, b in ((kept[part], 1 - mean[part]), (count - kept[part], -mean[part])):
            # align + 1 = ((g + b)^2 + epsilon) / (g^2 + b^2 + epsilon)
            aligned = g + b[:, None]  # (64, G)
            aligned *= aligned
            aligned += epsilon
            aligned /= g * g + (b * b + epsilon)[:, None]
            total[part] += np.einsum("tg,tg,tg->t", aligned, aligned, there)
    return total / 4 * per_pixel


def divide(numerator: F64, denominator: F64 | float) -> F64:
    """`numerator / denominator`, and 0 where the denominator is 0."""
    zero = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=zero, where=np.not_equal(denominator, 0))
