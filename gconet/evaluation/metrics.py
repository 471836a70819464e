"""One map against its mask: MAE and every threshold curve, all from their joint histogram.

`J[g, m]` counts the pixels with mask level g and map level m. A threshold keeps the map levels from
some level upwards, so a sum of J over those columns replaces a pass over the pixels: exact for grey
masks too, and as cheap for 255 thresholds as for one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gconet.evaluation.s_measure import s_measure

CONVENTIONS = ("toolbox", "pysodmetrics")
CURVES = ("f", "e", "precision", "recall", "fpr")
BETA2 = 0.3  # of the F-measure: precision counts for more (Achanta et al., CVPR 2009)

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MapScore:
    """The scores of one map: two numbers, and a row per name in `CURVES`, over rising thresholds."""

    mae: float
    s_measure: float
    curves: F64  # (5, T): T = 255 thresholds (toolbox) or 256 (pysodmetrics); E may pass 1 by 1 / pixels


@dataclass(frozen=True)
class Stretch:
    """How a convention reads the 256 levels of a map."""

    offset: int  # where real numbers are compared, level m stands for (m - offset) / scale
    scale: int
    first: I64  # (T,) the lowest level that reaches each threshold; 256 where none does


def score_map(map_u8: U8, gt_u8: U8, convention: str = "toolbox") -> MapScore:
    """Score one map (H, W) against its mask (H, W), both 8-bit grey, 255 the object.

    `toolbox` follows eval-co-sod, the source of the published tables: MAE on the map as it is, the
    rest on the stretched map, the mask's greys kept but for S. `pysodmetrics` stretches for MAE as
    well and binarises the mask (> 128) first. Raises ValueError for other arrays or conventions.

    Where the originals divide by zero, the result is still a number: an empty precision, recall or
    quadrant counts 0, and a constant map is all foreground at threshold 0 and nothing above it.
    """
    check_convention(convention)
    if map_u8.dtype != np.uint8 or gt_u8.dtype != np.uint8:
        raise ValueError(f"8-bit map and mask wanted, got {map_u8.dtype} and {gt_u8.dtype}")
    if map_u8.shape != gt_u8.shape or map_u8.ndim != 2 or map_u8.size == 0:
        raise ValueError(f"map and mask of one size (H, W) wanted, got {map_u8.shape} and {gt_u8.shape}")
    toolbox = convention == "toolbox"
    if not toolbox:
        gt_u8 = np.where(gt_u8 > 128, np.uint8(255), np.uint8(0))

    joint = joint_histogram(map_u8, gt_u8)
    levels = np.flatnonzero(joint.any(axis=0))  # present in the map
    greys = np.flatnonzero(joint.any(axis=1))  # present in the mask
    joint = joint[greys]
    stretch = (toolbox_stretch if toolbox else pysodmetrics_stretch)(int(levels[0]), int(levels[-1]))
    offset, scale = (0, 255) if toolbox else (stretch.offset, stretch.scale)
    return MapScore(
        mae=mean_absolute_error(joint, greys / 255, offset, scale),
        s_measure=s_measure(map_u8, gt_u8 >= 128, stretch.offset, stretch.scale, toolbox=toolbox),
        curves=threshold_curves(joint, greys / 255, stretch.first, toolbox=toolbox),
    )


def check_convention(convention: str) -> None:
    """Raise ValueError unless `convention` is one of `CONVENTIONS`."""
    if convention not in CONVENTIONS:
        raise ValueError(f"convention {convention!r} is none of {', '.join(CONVENTIONS)}")


def joint_histogram(map_u8: U8, gt_u8: U8) -> I64:
    """Pixel counts (256, 256), mask level by map level."""
    codes = gt_u8.astype(np.intp)
    codes <<= 8
    codes |= map_u8
    return np.bincount(codes.ravel(), minlength=1 << 16).reshape(256, 256)


def thresholds(convention: str) -> F64:
    """The T thresholds of a convention's curves, rising from 0 to 1."""
    check_convention(convention)
    if convention == "pysodmetrics":
        return np.arange(256) / 255
    return toolbox_thresholds().astype(np.float64)


def toolbox_thresholds() -> npt.NDArray[np.float32]:
    """`torch.linspace(0, 1 - 1e-10, 255)` in float32 (255,), to the bit and without torch.

    torch counts up from the start in the first half and down from the end in the second, there with
    a fused multiply-add: one rounding, which float64 reproduces. The end itself rounds to 1.
    """
    i = np.arange(255)
    step = np.float64(np.float32(1) / np.float32(254))
    return np.where(i < 127, i * step, 1 - (254 - i) * step).astype(np.float32)


def toolbox_stretch(low: int, high: int) -> Stretch:
    """The toolbox's map: (v - min) / (max - min + 1e-20) of v = level / 255, in float32 throughout.

    Levels and thresholds often coincide (in a map of levels 0 to 254, say), and then whether v >= t
    holds hangs on float32 rounding, which is reproduced for each of the 256 levels.
    """
    v = np.arange(256, dtype=np.float32) / np.float32(255)
    v = (v - v[low]) / (v[high] - v[low] + np.float32(1e-20))
    first = np.searchsorted(v, toolbox_thresholds())
    return Stretch(offset=low, scale=max(high - low, 1), first=first)


def pysodmetrics_stretch(low: int, high: int) -> Stretch:
    """PySODMetrics' map: stretched in float64 unless it is constant, then cut down to 256 bins."""
    v = np.arange(256) / 255
    if low < high:
        v = (v - v[low]) / (v[high] - v[low])
    first = np.searchsorted(np.trunc(v * 255), np.arange(256))
    return Stretch(low, high - low, first) if low < high else Stretch(0, 255, first)


def mean_absolute_error(joint: I64, mask: F64, offset: int, scale: int) -> float:
    """Mean |map - mask| over the pixels counted in `joint` (G, 256), whose rows are `mask` (G,)."""
    levels = (np.arange(256) - offset) / scale
    return float((np.abs(levels - mask[:, None]) * joint).sum() / joint.sum())


def threshold_curves(joint: I64, mask: F64, first: I64, *, toolbox: bool) -> F64:
    """The curves (5, T), in the order of `CURVES`, of the map cut at the levels `first` (T,).

    `joint` (G, 256) counts the pixels of each mask value in `mask` (G,), values in [0, 1].
    """
    count = joint.sum(axis=1)  # (G,) pixels of each mask value
    at_least = np.zeros((len(mask), 257), np.int64)
    at_least[:, :256] = joint[:, ::-1].cumsum(axis=1)[:, ::-1]
    kept = at_least[:, first]  # (G, T) those of them that the threshold keeps

    true = mask @ kept
    precision = true / np.maximum(kept.sum(axis=0), 1)
    recall = divide(true, mask @ count)
    fpr = divide((1 - mask) @ kept, (1 - mask) @ count)
    f = divide((1 + BETA2) * precision * recall, BETA2 * precision + recall)
    e = enhanced_alignment(kept, count, mask, toolbox=toolbox)
    return np.stack([f, e, precision, recall, fpr])


def enhanced_alignment(kept: I64, count: I64, mask: F64, *, toolbox: bool) -> F64:
    """E-measure (T,): mean of (align + 1)^2 / 4, align = 2 g b / (g^2 + b^2), both less their means.

    Fan et al., IJCAI 2018. All pixels of one mask value on one side of the threshold share one
    `align`, so the sum has 2 G terms instead of one per pixel. PySODMetrics scores a mask that is all
    background or all object by the share of pixels that agree; the toolbox has no such case.
    """
    pixels = int(count.sum())
    per_pixel = 1 / max(pixels - 1, 1)
    if not toolbox and len(mask) == 1:
        agreeing = kept[0] if mask[0] == 1 else pixels - kept[0]
        return agreeing * per_pixel

    mean = kept.sum(axis=0) / pixels  # (T,) of the binary map
    g = (mask - mask @ count / pixels)[:, None]  # (G, 1)
    total = np.zeros(kept.shape[1])
    for pixels_there, b in ((kept, 1 - mean), (count[:, None] - kept, -mean)):
        align = 2 * g * b / (g * g + b * b + (1e-20 if toolbox else np.spacing(1)))
        total += (pixels_there * (align + 1) ** 2 / 4).sum(axis=0)
    return total * per_pixel


def divide(numerator: F64, denominator: F64 | float) -> F64:
    """`numerator / denominator`, and 0 where the denominator is 0."""
    zero = np.zeros_like(numerator)
    return np.divide(numerator, denominator, out=zero, where=np.not_equal(denominator, 0))
