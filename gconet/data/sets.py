"""The data sets that this project knows."""

from functools import cache
from importlib import resources
from typing import Any

import yaml


@cache
def known_sets() -> dict[str, dict[str, Any]]:
    """Name of a set → its line in sets.yaml, which explains the keys."""
    return dict(yaml.safe_load((resources.files("gconet.data") / "sets.yaml").read_text("utf-8")))
