"""The arrays that the applications pass around, and how they are shrunk."""

from typing import Any

import numpy as np
import numpy.typing as npt

from gconet.opencv import cv2

RGB = npt.NDArray[np.uint8]  # (H,W,3)
Grey = npt.NDArray[np.uint8]  # (H,W): a map, a mask or an opacity
Mask = npt.NDArray[np.bool_]  # (H,W)


def fit(picture: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """`picture` (H,W) or (H,W,C), shrunk so that its longer side is at most `side`."""
    h, w = picture.shape[:2]
    scale = min(side / h, side / w, 1)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
