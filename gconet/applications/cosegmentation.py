"""Co-segmentation: a co-saliency map becomes a mask, a cut-out, or a picture with another background.

The map cut at 0.5 or, if it is weaker, at twice its mean (Achanta et al., CVPR 2009) shows roughly where
the object is. Where the map is uncertain, GrabCut (Rother et al., SIGGRAPH 2004) finds the outline from the
picture's colours, and `matting` softens it along the picture's edges. `cutting` applies this to files.
Pictures are (H,W,3) uint8 RGB, maps (H,W) uint8.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from gconet.applications.imaging import RGB, Grey, Mask, fit
from gconet.applications.matting import clean_colours, soften
from gconet.evaluation.histogram import adaptive_level
from gconet.opencv import cv2

# chosen on training pictures of DUTS_class, 118 and later 126, by the Jaccard index
SIDE = 320  # pixels of the longer side for GrabCut, the size of those pictures; 240 scored .004 lower
ROUNDS = 2  # of GrabCut
SURELY_NOT = 0.05  # share of the threshold: lower levels are background
SURELY = 0.7  # share of the way from the threshold to 255: higher levels are object
SPECK = 0.2  # of the largest part's area: smaller parts are dropped


def threshold_map(m: Grey) -> Mask:
    """Return the map's pixels of at least twice its mean, or its maximum if that is less; (H,W) bool."""
    return m >= adaptive_level(np.bincount(m.ravel(), minlength=256))


def keep_large(mask: Mask, share: float = SPECK) -> Mask:
    """Return `mask` without connected parts smaller than `share` of the largest one's area."""
    _, labels, figures, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = figures[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the background
    keep = (areas >= share * areas.max()) & (areas > 0)
    return np.asarray(keep[labels])


def segment(picture: RGB, m: Grey) -> Grey:
    """Return the object's opacity (H,W) uint8, 0 to 255 with a soft border; its mask is `opacity >= 128`.

    A pure function of its arguments. An all-zero map gives opacity 0, a constant one 255. Raises
    ValueError if the map does not have the picture's size.
    """
    if picture.shape[:2] != m.shape:
        raise ValueError(f"the map is {m.shape} but the picture {picture.shape[:2]}")
    mask = find_object(picture, m)
    opacity = soften(picture, mask)
    return opacity if (opacity >= 128).any() else 255 * mask.astype(np.uint8)  # too small to soften


def find_object(picture: RGB, m: Grey) -> Mask:
    """The object's mask (H,W) bool by GrabCut, without small parts; by the threshold if GrabCut
    has nothing to work with."""
    rough = m >= 128
    if not rough.any():
        rough = threshold_map(m)
    if not rough.any() or rough.all():
        return rough
    level = min(128, int(m[rough].min()))
    small, seeds = fit(picture, SIDE), fit(m, SIDE)
    labels = np.full(seeds.shape, cv2.GC_PR_BGD, np.uint8)
    labels[seeds < SURELY_NOT * level] = cv2.GC_BGD
    labels[seeds >= level] = cv2.GC_PR_FGD
    labels[seeds > level + SURELY * (255 - level)] = cv2.GC_FGD
    objects = labels & 1  # GC_FGD and GC_PR_FGD are odd
    if not objects.any() or objects.all():  # shrinking lost a tiny object, or a tiny background
        return rough
    cv2.setRNGSeed(0)  # for this thread; GrabCut starts its colour models with k-means
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small[..., ::-1].copy(), labels, (0, 0, 1, 1), *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    size = m.shape[1], m.shape[0]
    share = cv2.resize((labels & 1).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    found = np.asarray(share) >= 0.5
    return keep_large(found) if found.any() else rough


def cut_out(picture: RGB, opacity: Grey) -> npt.NDArray[np.uint8]:
    """Only the object, its border cleaned of the background's colours: (H,W,4) RGBA, not premultiplied;
    black where fully transparent."""
    visible = clean_colours(picture, opacity) * (opacity > 0)[..., None]
    return np.dstack([visible, opacity])


def blend(picture: RGB, opacity: Grey, background: RGB) -> RGB:
    """The object, its border cleaned of the background's colours, in front of `background` (H,W,3)."""
    share = opacity[..., None].astype(np.float32) / 255
    return np.asarray(share * clean_colours(picture, opacity) + (1 - share) * background + 0.5, np.uint8)


def blur_background(picture: RGB, opacity: Grey) -> RGB:
    """The background, strongly blurred, without the object's colours bleeding into it; (H,W,3)."""
    behind = 1 - opacity[..., None].astype(np.float32) / 255
    small, weight = fit(picture * behind, SIDE), fit(behind, SIDE)
    sigma = max(small.shape[:2]) / 30
    colours = cv2.GaussianBlur(small, (0, 0), sigma)
    weights = cv2.GaussianBlur(weight, (0, 0), sigma)
    mean = small.reshape(-1, 3).sum(0) / max(float(weight.sum()), 1.0)  # where no background is near
    blurred = (colours + 1e-3 * mean) / (weights[..., None] + 1e-3)
    size = picture.shape[1], picture.shape[0]
    return np.asarray(np.clip(cv2.resize(blurred, size, interpolation=cv2.INTER_LINEAR), 0, 255), np.uint8)


def cover(background: RGB, width: int, height: int) -> RGB:
    """The largest centred part of `background` with that aspect ratio, resized to (height,width,3)."""
    size = width, height
    return np.asarray(ImageOps.fit(Image.fromarray(background), size, Image.Resampling.BILINEAR))
