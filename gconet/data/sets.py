"""The data sets that this project knows."""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True)
class KnownSet:
    """A line of sets.yaml; it gives both counts or neither."""

    use: str  # training | test
    images: int | None = None  # of the whole set; None: unknown
    groups: int | None = None
    paper: bool = False  # in the paper's tables
    distractors: bool = False  # has masks of the other objects


@cache
def known_sets() -> dict[str, KnownSet]:
    """Name of a set → its line in sets.yaml."""
    text = (resources.files("gconet.data") / "sets.yaml").read_text("utf-8")
    return {name: KnownSet(**line) for name, line in yaml.safe_load(text).items()}
