"""Progress reports: a bar on a terminal, one line a minute elsewhere."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from gconet.errors import one_line

EVERY = 60.0  # seconds between lines
LINE = "{desc}: {n_fmt} of {total_fmt} {unit}s, {remaining} left\n"


def progress(
    items: Iterable[Any] | None, desc: str, total: int | None = None, *, unit: str, hidden: bool = False
) -> Any:
    """Iterate over `items` with a report on stderr, if there is one; without items, call `update`."""
    hidden = hidden or getattr(sys.stderr, "closed", sys.stderr is None)  # pythonw, a service
    lines: dict[str, Any] = {"bar_format": LINE, "delay": EVERY, "mininterval": EVERY, "miniters": 1}
    terminal = not hidden and getattr(sys.stderr, "isatty", bool)()
    elsewhere = {} if terminal else {**lines, "leave": False}
    return tqdm(items, one_line(desc), total, unit=unit, disable=hidden, **elsewhere)
