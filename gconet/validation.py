"""Scores of a network on a held-out set, while it trains."""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from gconet.config import Config
from gconet.data.groups import Group
from gconet.data.images import load_mask
from gconet.data.pictures import read_groups
from gconet.errors import DataError
from gconet.evaluation import score_arrays
from gconet.models import GCoNet
from gconet.predictor import Map, Predictor
from gconet.progress import progress


def validate(
    model: GCoNet, groups: Sequence[Group], config: Config, device: torch.device
) -> dict[str, float]:
    """The scorer's figures (mae, max_f, …, s_measure) of `model` on `groups` with their masks.

    The same functions as `scripts/evaluate.py`, on maps that are not written to disk. Raises
    DataError for a file that cannot be read and for a mask of another size than its image.
    """
    size, precision = config.data.image_size, config.train.precision
    predictor = Predictor(copy.deepcopy(model), size=size, device=str(device), precision=precision)
    return dict(score_arrays(_pairs(predictor, groups)).figures)


def _pairs(
    predictor: Predictor, groups: Sequence[Group]
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """(group, stem, map, mask) of every image, one at a time."""
    read = read_groups([[item.image for item in group.items] for group in groups], predictor.size)
    bar = progress(groups, "validate", len(groups), unit="group")
    for group, pictures in zip(bar, read, strict=True):
        maps: list[Map] = []
        predictor.predict(pictures, maps.append)
        for item, m in zip(group.items, maps, strict=True):
            assert item.mask is not None  # scan_set pairs every image with its mask
            mask = np.asarray(load_mask(item.mask))
            if mask.shape != m.shape:
                raise DataError(f"{item.mask} is not of its image's size; see scripts/check_data.py")
            yield group.name, item.stem, m, mask
