"""Matting: turns a mask into a soft-edged opacity and removes the background's colour from its border.

Both are computed on a shrunken picture and applied to the full one, only in tiles near the border:
by the fast form (He and Sun, 2015) of the guided filter in colour (He et al., ECCV 2010), and a one-step
form of blurred foregrounds (Forte, ICIP 2021).
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from gconet.applications.imaging import RGB, Grey, Mask, fit
from gconet.opencv import cv2

Floats = npt.NDArray[Any]  # float32
Tile = tuple[slice, slice]

# Lengths are pixels of the shrunken picture. All but TILE were chosen by J and the boundary F on 126 training
# pictures of DUTS_class, and by the opacity's error on five composites of known opacity.
WORK = 480  # pixels of the longer side; 960 changed nothing
RADIUS, EDGE = 8, 1e-4  # of the guided filter, and the variance of colour that counts as an edge
SMOOTH = 3  # radius over which the filter's coefficients are averaged
INNER, OUTER = 3, 4  # how far the soft border may reach into the mask and beyond it
STEEP = 1.25  # the filter's ramps are a little wider than the picture's
REACH = 6  # radius over which the colours of the object and the background are averaged; 3 and 10 did worse
TILE = 256  # pixels of the full picture


def soften(picture: RGB, mask: Mask) -> Grey:
    """Return the mask's opacity (H,W) uint8, 0 to 255; its soft border follows the picture's edges."""
    guide = fit(picture, WORK).astype(np.float32) / 255
    target = (fit(mask.astype(np.float32), WORK) >= 0.5).astype(np.float32)
    unit = max(target.shape) / WORK
    radius, smooth, inner, outer = (max(1, round(r * unit)) for r in (RADIUS, SMOOTH, INNER, OUTER))
    low = mean(cv2.erode(target, disc(inner)), 1)  # the opacity stays between these two
    high = mean(cv2.dilate(target, disc(outer)), 1)
    planes, limits = mean(fit_colours(guide, target, radius), smooth), np.dstack([low, high])
    opacity = np.empty(mask.shape, np.uint8)
    for tile, near in tiles(mask.shape, target.shape):
        if low[near].min() == 1 or high[near].max() == 0:  # no border here
            opacity[tile] = 255 * low[near].max()
            continue
        plane, limit = enlarge(planes, tile, mask.shape), enlarge(limits, tile, mask.shape)
        share = (plane[..., :3] * picture[tile]).sum(2) / 255 + plane[..., 3]
        share = np.clip(0.5 + STEEP * (share - 0.5), limit[..., 0], limit[..., 1])
        opacity[tile] = 255 * share + 0.5
    return opacity


def fit_colours(guide: Floats, target: Floats, radius: int) -> Floats:
    """Fit `target` (h,w) by a linear function of the colour in each square window of `guide` (h,w,3);
    returns the factors of red, green and blue and the constant (h,w,4)."""
    colour, level = mean(guide, radius), mean(target, radius)
    rr, rg, rb, gg, gb, bb = (
        mean(guide[..., i] * guide[..., j], radius) - colour[..., i] * colour[..., j] + EDGE * (i == j)
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    r, g, b = cv2.split(mean(guide * target[..., None], radius) - colour * level[..., None])
    # the inverse of the covariance matrix, by cofactors
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    factors = (
        np.dstack(
            [c_rr * r + c_rg * g + c_rb * b, c_rg * r + c_gg * g + c_gb * b, c_rb * r + c_gb * g + c_bb * b]
        )
        / (rr * c_rr + rg * c_rg + rb * c_rb)[..., None]
    )
    return np.dstack([factors, level - (factors * colour).sum(2)])


def clean_colours(picture: RGB, opacity: Grey) -> RGB:
    """`picture` (H,W,3), but with the object's own colours if `opacity` is neither 0 nor 255. A soft pixel
    becomes the object's mean colour nearby, plus opacity × its residual from the mix of means."""
    colour, share = fit(picture, WORK).astype(np.float32), fit(opacity, WORK).astype(np.float32) / 255
    object_weight, weight = (x[..., None] ** 4 + 1e-6 for x in (share, 1 - share))  # clear pixels count most
    objects = mean(colour * object_weight, REACH) / mean(object_weight, REACH)[..., None]
    others = mean(colour * weight, REACH) / mean(weight, REACH)[..., None]
    cleaned = picture.copy()
    for tile, _ in tiles(opacity.shape, share.shape):
        soft = (opacity[tile] > 0) & (opacity[tile] < 255)
        if soft.any():
            own, other = (enlarge(x, tile, opacity.shape)[soft] for x in (objects, others))
            part = opacity[tile][soft, None] / np.float32(255)
            rest = picture[tile][soft] - part * own - (1 - part) * other
            cleaned[tile][soft] = np.clip(own + part * rest + 0.5, 0, 255)
    return cleaned


def tiles(full: tuple[int, ...], small: tuple[int, ...]) -> Iterator[tuple[Tile, Tile]]:
    """The tiles of a picture, each with the part of the shrunken picture that it depends on."""
    for corner in product(*(range(0, n, TILE) for n in full)):
        ends = [min(a + TILE, n) for a, n in zip(corner, full, strict=True)]
        y, x = (slice(a, b) for a, b in zip(corner, ends, strict=True))
        near_y, near_x = (
            slice(max(0, a * m // n - 1), b * m // n + 2)
            for a, b, n, m in zip(corner, ends, full, small, strict=True)
        )
        yield (y, x), (near_y, near_x)


def enlarge(small: Floats, tile: Tile, full: tuple[int, ...]) -> Floats:
    """The tile of `small` (h,w,C), C at most 4, as if all of it were resized to the shape `full`."""
    (y, x), (h, w) = tile, small.shape[:2]
    down, right = h / full[0], w / full[1]
    matrix = np.array([[right, 0, (x.start + 0.5) * right - 0.5], [0, down, (y.start + 0.5) * down - 0.5]])
    size, how = (x.stop - x.start, y.stop - y.start), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(small, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE))


def mean(x: npt.NDArray[Any], radius: int) -> npt.NDArray[Any]:
    """The mean over a square window."""
    return np.asarray(cv2.blur(x, (2 * radius + 1, 2 * radius + 1)))


def disc(radius: int) -> npt.NDArray[Any]:
    """A round window for erosion and dilation, (2r+1,2r+1)."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
