"""Thumbnails of a collection: crops of one shape with the common object at a similar scale and position.

A map gives three boxes: that of the common object, an enlarged one with a margin, and the crop, which
contains the enlarged box, stays inside the picture and shows the object about as large as the
collection's other crops do (after Jacobs et al., "Cosaliency: Where People Look When Comparing Images",
UIST 2010). Boxes are (left, top, right, bottom) in pixels, right and bottom exclusive.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gconet.applications.cosegmentation import keep_large, threshold_map
from gconet.applications.imaging import Grey
from gconet.opencv import cv2

AIR = 0.1  # margin of the enlarged box on every side, as a share of the object's longer side
SCALE = 0.25  # quantile of the objects' tight scales that all crops aim for: few must be tighter
PLACES = 25  # positions tried in each direction for a crop
OFF = 0.5  # weight of the object's squared distance from the centre, in sides of the crop

Places = npt.NDArray[np.int64]


class Box(NamedTuple):
    """A rectangle of pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


class Found(NamedTuple):
    """Where the common object of a picture is."""

    width: int  # of the picture
    height: int
    box: Box  # the object's
    enlarged: Box  # with a margin of `AIR`, inside the picture


def find_boxes(m: Grey) -> Found:
    """Find the common object's box in a map (H,W) uint8; an all-zero map gives the whole picture."""
    height, width = m.shape
    left, top, w, h = cv2.boundingRect(keep_large(threshold_map(m)).astype(np.uint8))
    box = Box(left, top, left + w, top + h) if w else Box(0, 0, width, height)
    margin = round(AIR * max(box.size))
    starts = max(0, box.left - margin), max(0, box.top - margin)
    enlarged = Box(*starts, min(width, box.right + margin), min(height, box.bottom + margin))
    return Found(width, height, box, enlarged)


def choose_sizes(
    collection: Sequence[Found], aspect: tuple[int, int] = (1, 1), least: int = 1
) -> list[tuple[int, int]]:
    """Choose each picture's crop (width, height) so that objects appear at a similar scale.

    Width : height is `aspect` to the nearest pixel, unless the picture is too narrow for any such
    crop. A crop can contain the enlarged box if any crop of this shape can, and is at least `least`
    pixels high if the picture is.
    """
    ratio = aspect[0] / aspect[1]
    places = [(f.width, f.height, *f.enlarged.size, *f.box.size) for f in collection]
    W, H, near_w, near_h, w, h = np.array(places, float).T
    high = np.clip(np.floor((W + 0.5) / ratio), 1, H)
    low = np.minimum(high, np.maximum(np.maximum(near_h, np.ceil((near_w - 0.5) / ratio)), least))
    share = np.quantile(w * h / (ratio * low**2), SCALE)  # of a crop, taken by the object's box
    height = np.clip(np.round(np.sqrt(w * h / (ratio * share))), low, high)
    width = np.minimum(W, np.maximum(1, np.floor(height * ratio + 0.5)))
    return [(int(w), int(h)) for w, h in zip(width, height, strict=True)]


def place_crop(m: Grey, found: Found, size: tuple[int, int]) -> Box:
    """Place a crop of `size` (width, height), no larger than the picture, to show the object best.

    It contains the enlarged box if possible, else the object's box if possible. Of these places, the best
    has the object near its centre, much of the map `m` inside, and little of it cut by the sides.
    """
    width, height = size
    box, red = found.box, found.enlarged
    across, down = (red if own <= side else box for own, side in zip(red.size, size, strict=True))
    x = candidates(across.left, across.right, width, found.width)[None, :]
    y = candidates(down.top, down.bottom, height, found.height)[:, None]
    total = np.asarray(cv2.integral(m, sdepth=cv2.CV_64F), np.int64)  # (H+1,W+1); 32 bits would overflow

    def mass(top: Places, left: Places, bottom: Places, right: Places) -> Places:
        return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]

    cut = (
        mass(y, x, y + height, x + 1) * (x > 0)
        + mass(y, x + width - 1, y + height, x + width) * (x + width < found.width)
        + mass(y, x, y + 1, x + width) * (y > 0)
        + mass(y + height - 1, x, y + height, x + width) * (y + height < found.height)
    ) / (2 * 255 * (width + height))
    lost = 1 - mass(y, x, y + height, x + width) / max(1, int(total[-1, -1]))
    off = ((box.left + box.right) / 2 - x - width / 2) ** 2 / width**2 + (
        (box.top + box.bottom) / 2 - y - height / 2
    ) ** 2 / height**2
    row, column = np.unravel_index(np.argmin(cut + lost + OFF * off), cut.shape)
    left, top = int(x[0, column]), int(y[row, 0])
    return Box(left, top, left + width, top + height)


def candidates(start: int, end: int, length: int, limit: int) -> Places:
    """Starts of an interval of `length` within [0, limit] that contains [start, end] or lies inside it."""
    one, other = sorted((start, end - length))
    first, last = max(0, one), min(limit - length, other)
    return np.unique(np.linspace(first, last, PLACES).round().astype(np.int64))
