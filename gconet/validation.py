"""Scores of a network on a held-out set, while it trains."""

from collections.abc import Sequence

import torch

from gconet.data.groups import Group
from gconet.models import GCoNet


def validate(
    model: GCoNet, groups: Sequence[Group], *, size: int, precision: torch.dtype
) -> dict[str, float]:
    """The scorer's summary (mae, max_f, …, s_measure) of `model` on `groups`."""
    raise NotImplementedError
