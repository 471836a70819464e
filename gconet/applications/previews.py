"""Makes the pictures that a page shows: a strip of panels for its list, a larger one for its light-box.

Together they take 60 kB for a photograph of 500 pixels and 150 kB for one from a camera, so 3,000
photographs take 0.2 to 0.5 GB.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gconet.applications.imaging import RGB, fit
from gconet.data.images import load_image, load_map, load_mask
from gconet.evaluation.histogram import HALF, joint_histogram, precision_jaccard
from gconet.opencv import cv2

HEIGHT = 150  # CSS pixels of a panel
WIDEST = 300
DENSITY = 2  # file pixels per CSS pixel, so that panels are sharp on high-density screens
PANEL = DENSITY * HEIGHT, DENSITY * WIDEST  # largest height and width of a panel's file, in pixels
LARGE = 900  # pixels of the longer side of a picture in the light-box
LEVELS = range(8, 256, 8)  # the light-box's thresholds, in the map's levels; HALF is one of them
WHITE, CYAN = (255, 255, 255), (0, 255, 255)  # outlines
MAGENTA = (255, 0, 170)  # the object; page.html has the same
DIM, STRONG = 0.6, 0.6  # brightness of the grey picture, most opacity of the colour; as in page.css


@dataclass(frozen=True)
class Strip:
    """A saved row of panels, or two rows."""

    width: int  # pixels of the file
    height: int
    scale: float  # CSS pixels per file pixel
    rows: tuple[tuple[int, ...], ...]  # the panels' widths in file pixels


def highlight(picture: RGB, m: npt.NDArray[np.uint8]) -> RGB:
    """`picture` (H,W,3) in dim grey, in magenta where `m` (H,W) is high.

    No other colour is left, so the magenta stands out on any picture.
    """
    grey = DIM * cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    share = STRONG * m[..., None].astype(np.float32) / 255
    return np.ascontiguousarray((share * np.array(MAGENTA, np.float32) + (1 - share) * grey).astype(np.uint8))


def map_panels(
    image: Path, map_file: Path, mask: Path | None = None, distractors: Path | None = None
) -> list[RGB]:
    """Return a picture, its map, and the picture with the object in colour.

    In the last one, the mask's outline is white, that of the distractors cyan. The picture is as large as
    the light-box shows it; the others have the size of panels.
    """
    picture = fit(np.asarray(load_image(image)), LARGE)
    panel = fit(picture, *PANEL)
    size = panel.shape[1], panel.shape[0]
    m = np.asarray(cv2.resize(np.asarray(load_map(map_file)), size, interpolation=cv2.INTER_AREA), np.uint8)
    coloured = highlight(panel, m)
    for path, colour in ((distractors, CYAN), (mask, WHITE)):
        if path is None:
            continue
        truth = cv2.resize(np.asarray(load_mask(path)), size, interpolation=cv2.INTER_AREA)
        outlines, _ = cv2.findContours(
            np.where(truth > 127, 255, 0).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(coloured, outlines, -1, colour, DENSITY)
    return [picture, np.repeat(m[..., None], 3, 2), coloured]


def jaccard_curve(m: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> list[float]:
    """The Jaccard index of a map (H,W), cut at each of `LEVELS`, with its mask (H,W)."""
    joint = joint_histogram(m, np.where(mask >= HALF, np.uint8(HALF), np.uint8(0)))
    return [precision_jaccard(joint, level)[1] for level in LEVELS]


def write_strip(path: Path, panels: Sequence[RGB]) -> Strip:
    """Save the panels side by side as a small JPEG, more than three in two rows.

    All panels in a row get the height of the lowest one, but at least half of the highest one's.
    """
    small = [fit(panel, *PANEL) for panel in panels]
    half = -(-len(small) // 2) if len(small) > 3 else len(small)
    rows = [_level(row) for row in (small[:half], small[half:]) if row]
    heights = [max(panel.shape[0] for panel in row) for row in rows]
    widths = tuple(tuple(panel.shape[1] for panel in row) for row in rows)
    strip = np.zeros((sum(heights), max(map(sum, widths)), 3), np.uint8)
    for row, top in zip(rows, (0, heights[0]), strict=False):
        left = 0
        for panel in row:
            strip[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
            left += panel.shape[1]
    Image.fromarray(strip).save(path, quality=75)
    scale = min(1, HEIGHT / max(heights), WIDEST / max(map(max, widths)))
    return Strip(strip.shape[1], strip.shape[0], scale, widths)


def _level(row: Sequence[RGB]) -> list[RGB]:
    heights = [panel.shape[0] for panel in row]
    return [fit(panel, max(min(heights), -(-max(heights) // 2)), PANEL[1]) for panel in row]


def write_large(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Save a picture (H,W,3), or a map (H,W), as the light-box shows it, in the format of `path`'s suffix."""
    Image.fromarray(fit(picture, LARGE)).save(path, quality=75)
