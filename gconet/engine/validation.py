"""Scores of a network on a held-out set during training."""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from gconet.config import Config
from gconet.data.groups import Group
from gconet.data.images import load_mask
from gconet.errors import DataError
from gconet.evaluation import score_arrays
from gconet.inference.predictor import Predictor
from gconet.models import GCoNet
from gconet.progress import progress


def validate(
    model: GCoNet, groups: Sequence[Group], config: Config, device: torch.device
) -> dict[str, float]:
    """Return the scorer's figures (mae, max_f, …, s_measure) of `model` on `groups` with masks.

    Uses the functions of `scripts/evaluate.py`, on maps that are not written to disk. Raises
    DataError for an unreadable file or a mask that differs in size from its image.
    """
    size, precision = config.data.image_size, config.train.precision
    predictor = Predictor(copy.deepcopy(model), size=size, device=str(device), precision=precision)

    def pairs() -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
        for group in progress(groups, "validate", len(groups), unit="group"):
            for item, m in zip(group.items, predictor([item.image for item in group.items]), strict=True):
                mask = np.asarray(load_mask(item.mask))
                if mask.shape != m.shape:
                    raise DataError(f"{item.mask} differs in size from its image; see scripts/check_data.py")
                yield group.name, item.stem, m, mask

    return dict(score_arrays(pairs()).figures)
