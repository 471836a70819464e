"""Reads ahead in threads: Pillow releases Python's global lock while it decodes and resizes."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_locks: dict[tuple[str, int], Any] = {}


def lock(name: str) -> Any:
    """Return this process's lock `name`, reentrant. A forked process gets new locks: another thread may have
    held the earlier ones, and would never release them there."""
    return _locks.setdefault((name, os.getpid()), threading.RLock())


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Iterator[Result]:
    """Yield `read(item)` in order; `workers` threads stay at most `ahead` items ahead of the caller."""
    items, pool = iter(items), ThreadPoolExecutor(workers)
    try:
        waiting = deque(pool.submit(read, item) for item in islice(items, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(read, item) for item in islice(items, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # the garbage collector may call this in a worker
