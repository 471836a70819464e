"""Numbers that the device computes, read a few steps later so that the host never waits for them."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

AHEAD = 8  # steps that the host may be ahead of a GPU


class Reading(NamedTuple):
    """One step's numbers."""

    step: int
    values: list[float]
    about: Any  # what was put with them
    seconds: float  # since the step before


class _Waiting(NamedTuple):
    step: int
    values: Tensor  # on the host, once `arrived`
    about: Any
    arrived: torch.cuda.Event | None  # None on a CPU


class Readings:
    """A queue of small tensors on their way to the host, in the order of their steps.

    A GPU works on steps that were queued earlier while the host prepares the next ones. Reading a
    number at once would empty that queue. Here a copy is queued behind the step, and is read when it
    has arrived, or when the host is `ahead` steps ahead.
    """

    def __init__(self, device: torch.device, *, ahead: int | None = None) -> None:
        """`ahead`: by default 0 on a CPU, which computes each step before it returns."""
        self._ahead = (AHEAD if device.type == "cuda" else 0) if ahead is None else ahead
        self._waiting: deque[_Waiting] = deque()
        self.restart_clock()

    def put(self, step: int, values: Tensor, about: Any = None) -> None:
        """Queue the numbers (k,) of a step; their tensor may then be overwritten."""
        if values.device.type != "cuda":
            self._waiting.append(_Waiting(step, values.clone(), about, None))
            return
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        arrived = torch.cuda.Event(enable_timing=True)
        host.copy_(values, non_blocking=True)
        arrived.record()
        self._waiting.append(_Waiting(step, host, about, arrived))

    def take(self, *, everything: bool = False) -> Iterator[Reading]:
        """What has arrived; with `everything`, wait for all that was put."""
        while self._waiting and (everything or self._has_arrived()):
            step, values, about, arrived = self._waiting.popleft()
            if arrived is not None:
                arrived.synchronize()
            yield Reading(step, values.tolist(), about, self._seconds(arrived))

    def restart_clock(self) -> None:
        """Do not count the time since the last step, for example that of validation."""
        self._clock = time.perf_counter()
        self._previous: torch.cuda.Event | None = None

    def _seconds(self, arrived: torch.cuda.Event | None) -> float:
        """The GPU's own time between two steps; the host's on a CPU and for a first step."""
        now = time.perf_counter()
        seconds = now - self._clock
        if arrived is not None and self._previous is not None:
            seconds = self._previous.elapsed_time(arrived) / 1e3
        self._clock, self._previous = now, arrived
        return seconds

    def _has_arrived(self) -> bool:
        arrived = self._waiting[0].arrived
        return len(self._waiting) > self._ahead or (arrived is not None and arrived.query())
