"""How strongly a map responds to the common object and to the distractors, the other objects of its image.

A method that marks every salient object scores high on both; one that finds the common object scores
high on that alone. For one image, the figures are the mean of the map (levels / 255, not stretched)
over the pixels of the object, and over those of the distractors. For a group or a set, both are averaged
over images, leaving out those without such pixels, and the ratio is that of the two averages.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gconet.evaluation.segmentation import HALF

U8 = npt.NDArray[np.uint8]
DISTRACTORS = ("on_object", "on_distractors", "object_ratio")  # the figures' names


class Response(NamedTuple):
    """Means of one map in [0, 1]; NaN if there are no such pixels."""

    on_object: float
    on_distractors: float


def measure_response(map_u8: U8, gt_u8: U8, distractors_u8: U8) -> Response:
    """The response of one map (H, W), given the masks (H, W) of the common object and of the distractors.

    All are 8-bit grey. The pixels of a mask are those of at least 128; a pixel in both is the object's.
    """
    on = gt_u8 >= HALF
    levels = map_u8[on], map_u8[(distractors_u8 >= HALF) & ~on]
    return Response(*(float(one.mean()) / 255 if one.size else math.nan for one in levels))


def average_responses(responses: Sequence[Response]) -> dict[str, float]:
    """The figures of `DISTRACTORS` over the images; empty for no responses.

    The means lie in [0, 1], NaN if no image has such pixels; the ratio is NaN if it divides by NaN or 0.
    """
    if not responses:
        return {}
    on, off = (mean_known(values) for values in zip(*responses, strict=True))
    return dict(zip(DISTRACTORS, (on, off, on / off if off else math.nan), strict=True))


def mean_known(values: Iterable[float]) -> float:
    """The mean of what is not NaN; NaN if nothing is left."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
