"""The joint histogram of a map and its mask, from which every score follows."""

import numpy as np
import numpy.typing as npt

from gconet.opencv import cv2


def joint_histogram(
    map_u8: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], *, masks: int = 256
) -> npt.NDArray[np.int32]:
    """Pixel counts (256, masks), map level by mask level, of two arrays (H, W); mask levels < `masks`."""
    counts = np.zeros((256, masks), np.int32)  # half the memory traffic of int64
    if map_u8.size == 0:
        return counts
    rows = max(1, 2**24 // map_u8.shape[1])  # OpenCV counts in float32, exact up to 2^24 pixels
    for top in range(0, len(map_u8), rows):
        pair = [map_u8[top : top + rows], mask[top : top + rows]]
        counts += cv2.calcHist(pair, [0, 1], None, [256, masks], [0, 256, 0, masks]).astype(np.int32)
    return counts
