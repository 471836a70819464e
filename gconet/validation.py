"""Scores of a network on a held-out set, while it trains."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from tqdm import tqdm

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
    return score_arrays(_pairs(model, groups, size, precision)).figures()


def _pairs(
    model: GCoNet, groups: Sequence[Group], size: int, precision: torch.dtype
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """(group, stem, map, mask) of every image, one at a time."""
    for group in tqdm(groups, desc="validate", unit="group", leave=False, disable=None):
        images = [item.image for item in group.items]
        for item, m in zip(
            group.items, predict_group(model, images, size=size, precision=precision), strict=True
        ):
            assert item.mask is not None  # scan_set pairs every image with its mask
            mask = np.asarray(load_mask(item.mask))
            if mask.shape != m.shape:
                raise DataError(f"{item.mask} is not of its image's size; see scripts/check_data.py")
            yield group.name, item.stem, m, mask
