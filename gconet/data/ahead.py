"""Reading ahead, in threads: Pillow decodes and resizes without holding Python's lock."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Iterator[Result]:
    """`read` of each item, in order; `workers` threads are at most `ahead` items ahead of the caller."""
    items, pool = iter(items), ThreadPoolExecutor(workers)
    try:
        waiting = deque(pool.submit(read, item) for item in islice(items, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(read, item) for item in islice(items, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # this may run in one of its threads, as garbage
