"""Numbers that the device computes, read a few steps later so that the host never waits for them."""

import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

AHEAD = 8  # steps that the host may be ahead of a GPU


class Reading(NamedTuple):
    """One step's numbers, and how long the step took as far as the host can see."""

    step: int
    values: list[float]
    seconds: float


class Readings:
    """A queue of small tensors on their way to the host, in the order of their steps.

    A GPU works on steps that were queued earlier while the host prepares the next ones. To read a
    number at once would empty that queue. Here a copy is queued behind the step, and is read when it
    has arrived, or when the host is `ahead` steps ahead.
    """

    def __init__(self, device: torch.device, *, ahead: int | None = None) -> None:
        """`ahead`: by default 0 on a CPU, which computes each step before it returns."""
        self._ahead = (AHEAD if device.type == "cuda" else 0) if ahead is None else ahead
        self._waiting: deque[tuple[int, Tensor, torch.cuda.Event | None]] = deque()
        self._clock = time.monotonic()

    def put(self, step: int, values: Tensor) -> None:
        """Queue the numbers (k,) of a step; their tensor may be overwritten by the next one."""
        if values.device.type != "cuda":
            self._waiting.append((step, values.clone(), None))
            return
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        arrived = torch.cuda.Event()
        host.copy_(values, non_blocking=True)
        arrived.record()
        self._waiting.append((step, host, arrived))

    def take(self, *, everything: bool = False) -> Iterator[Reading]:
        """What has arrived; with `everything`, wait for all that was put."""
        while self._waiting and (everything or self._has_arrived()):
            step, values, arrived = self._waiting.popleft()
            if arrived is not None:
                arrived.synchronize()
            now = time.monotonic()
            seconds, self._clock = now - self._clock, now
            yield Reading(step, values.tolist(), seconds)

    def restart_clock(self) -> None:
        """Leave what happened since the last step, as validation, out of the next one's time."""
        self._clock = time.monotonic()

    def _has_arrived(self) -> bool:
        arrived = self._waiting[0][2]
        return len(self._waiting) > self._ahead or (arrived is not None and arrived.query())
