"""Progress reports: a bar on a terminal, one line a minute elsewhere."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

EVERY = 60.0  # seconds between lines
LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s, {remaining} left\n"


def progress(
    items: Iterable[Any] | None, desc: str, total: int | None = None, *, unit: str, hidden: bool = False
) -> Any:
    """Iterate over `items` with a progress report on stderr; without items, call `update`."""
    lines: dict[str, Any] = {"bar_format": LINE, "delay": EVERY, "mininterval": EVERY, "miniters": 1}
    elsewhere = {} if sys.stderr.isatty() else {**lines, "leave": False}
    return tqdm(items, desc, total, unit=unit, disable=hidden, **elsewhere)
