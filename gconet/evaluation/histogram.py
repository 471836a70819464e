"""Scores a thresholded map as co-segmentation papers do: P and J, from a joint histogram.

P, precision, is the share of all pixels that are labelled correctly; J, the Jaccard index, is the
intersection over the union of object pixels (Rubinstein et al., CVPR 2013; Faktor and Irani, ICCV
2013). Object pixels of a mask are those of at least half its range.
"""

import numpy as np
import numpy.typing as npt

from gconet.opencv import cv2

HALF = 128  # the lowest level of the upper half


def joint_histogram(
    map_u8: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], *, masks: int = 256
) -> npt.NDArray[np.int32]:
    """Count pixels (256, masks), map level by mask level, of two arrays (H, W); mask levels < `masks`."""
    counts = np.zeros((256, masks), np.int32)  # half the memory traffic of int64
    if map_u8.size == 0:
        return counts
    rows = max(1, 2**24 // map_u8.shape[1])  # OpenCV counts in float32, exact up to 2^24 pixels
    for top in range(0, len(map_u8), rows):
        pair = [map_u8[top : top + rows], mask[top : top + rows]]
        counts += cv2.calcHist(pair, [0, 1], None, [256, masks], [0, 256, 0, masks]).astype(np.int32)
    return counts


def adaptive_level(counts: npt.NDArray[np.int64]) -> int:
    """Return a map's lowest object level, from its histogram (256,): twice its mean, at most its maximum, at
    least 1 (Achanta et al., CVPR 2009)."""
    levels = np.arange(256)
    twice_mean = 2 * float(levels @ counts) / float(counts.sum())
    return max(1, min(int(np.ceil(twice_mean)), int(levels[counts > 0][-1])))


def precision_jaccard(joint: npt.NDArray[np.int32], level: int) -> tuple[float, float]:
    """P and J of a map cut at `level`, from the joint histogram (256, 256) of map and mask levels; J is 1 if
    neither holds an object."""
    hits = int(joint[level:, HALF:].sum())
    wrong = int(joint[level:, :HALF].sum()) + int(joint[:level, HALF:].sum())
    return 1 - wrong / int(joint.sum()), hits / (hits + wrong) if hits + wrong else 1.0
