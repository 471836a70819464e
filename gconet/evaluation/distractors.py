"""How strongly a map responds to the common object and to the distractors, the other objects of its image.

A method that marks every salient object scores high on both; one that finds the common object scores
high on that alone. For one image, the figures are the mean of the map (levels / 255, not stretched)
over the pixels of the object, and over those of the distractors. For a group or a set, both are averaged
over images, leaving out those without such pixels, and the ratio is that of the two averages.
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gconet.evaluation.segmentation import HALF

U8 = npt.NDArray[np.uint8]
RESPONSES = ("on_object", "on_distractors")  # the figures of one map


def measure_response(map_u8: U8, gt_u8: U8, distractors_u8: U8) -> dict[str, float]:
    """`RESPONSES` of one map (H, W), given the masks (H, W) of the common object and of the distractors.

    All are 8-bit grey. The pixels of a mask are those of at least 128; a pixel in both is the object's.
    The means lie in [0, 1]; NaN if there are no such pixels.
    """
    on = gt_u8 >= HALF
    levels = map_u8[on], map_u8[(distractors_u8 >= HALF) & ~on]
    means = (float(one.mean()) / 255 if one.size else math.nan for one in levels)
    return dict(zip(RESPONSES, means, strict=True))


def mean_known(values: Iterable[float]) -> float:
    """The mean of what is not NaN; NaN if nothing is left."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
