"""Scores of a network on a held-out set during training."""

import copy
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from gconet.config import Config
from gconet.data.ahead import read_ahead
from gconet.data.groups import Group
from gconet.data.images import check_size, load_mask, load_with_mask
from gconet.errors import DataError, note
from gconet.evaluation import score_arrays
from gconet.inference.predictor import Predictor
from gconet.machine import processors
from gconet.models import GCoNet
from gconet.progress import progress


def check_readable(groups: Sequence[Group]) -> None:
    """Raise DataError for the first picture or mask of `groups` that validation could not use."""
    pairs = [(item.image, item.mask) for group in groups for item in group.items if item.mask]
    workers = processors()
    deque(read_ahead(lambda pair: load_with_mask(*pair), pairs, workers=workers, ahead=2 * workers), maxlen=0)


def validate(
    model: GCoNet, groups: Sequence[Group], config: Config, device: torch.device
) -> dict[str, float] | None:
    """Return the scorer's figures (mae, max_f, …, s_measure) of `model` on `groups` with masks; None, after a
    note on stderr, if a file has become unreadable since `check_readable`."""
    size, precision = config.data.image_size, config.train.precision
    predictor = Predictor(copy.deepcopy(model), size=size, device=str(device), precision=precision)

    def pairs() -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
        for group in progress(groups, "validate", len(groups), unit="group"):
            for item, m in zip(group.items, predictor([item.image for item in group.items]), strict=True):
                mask = np.asarray(load_mask(item.mask))
                check_size(item.mask, mask.shape[::-1], item.image, m.shape[::-1])
                yield group.name, item.stem, m, mask

    try:
        return dict(score_arrays(pairs()).figures)
    except DataError as error:
        note(f"no validation: {error}")
        return None
