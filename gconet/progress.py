"""Progress reports: a bar on a terminal, one line per minute elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm

EVERY = 60.0  # seconds between lines


def progress(
    items: Iterable[Any] | None, desc: str, total: int | None = None, *, unit: str, hidden: bool = False
) -> Any:
    """Iterate over `items` with a progress report on stderr, like tqdm; without items, call `update`."""
    if hidden or sys.stderr.isatty():
        return tqdm(items, desc, total, unit=unit, disable=hidden)
    return Lines(items or (), desc, total, unit)


class Lines:
    """The part of tqdm's interface that is used here, for pipes and log files."""

    def __init__(self, items: Iterable[Any], desc: str, total: int | None, unit: str) -> None:
        self._items, self._desc, self._total, self._unit = items, desc, total, unit
        self._done, self._began = 0, time.monotonic()
        self._said = self._began

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            yield item
            self.update()

    def update(self, count: int = 1) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._said < EVERY:
            return
        self._said = now
        of, left = "", ""
        if self._total:
            seconds = round((now - self._began) / max(1, self._done) * (self._total - self._done))
            of, left = f" of {self._total}", f", {seconds // 60}:{seconds % 60:02d} left"
        print(f"{self._desc}: {self._done}{of} {self._unit}s{left}", file=sys.stderr, flush=True)

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: Any) -> None:
        pass
