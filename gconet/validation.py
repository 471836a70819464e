"""Scores of a network on a held-out set, while it trains."""

from collections.abc import Sequence

import numpy as np
import torch

from gconet.data.groups import Group
from gconet.data.images import load_mask
from gconet.errors import DataError
from gconet.evaluation import score_arrays
from gconet.inference import predict_group
from gconet.models import GCoNet


def validate(
    model: GCoNet, groups: Sequence[Group], *, size: int, precision: torch.dtype
) -> dict[str, float]:
    """The scorer's figures (mae, max_f, …, s_measure) of `model` on `groups` with their masks.

    The same functions as `scripts/evaluate.py`, on maps that are not written to disk. Raises
    DataError for a file that cannot be read and for a mask of another size than its image.
    """
    scored: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for group in groups:
        maps = predict_group(model, [item.image for item in group.items], size=size, precision=precision)
        scored[group.name] = {}
        for item, m in zip(group.items, maps, strict=True):
            assert item.mask is not None  # scan_set pairs every image with its mask
            mask = np.asarray(load_mask(item.mask))
            if mask.shape != m.shape:
                raise DataError(f"{item.mask} is not of its image's size; see scripts/check_data.py")
            scored[group.name][item.stem] = (m, mask)
    return score_arrays(scored).figures()
