"""Ctrl-C and SIGTERM during training."""

import signal
import sys
from types import FrameType

import torch
import torch.distributed as dist

EVERY = 16  # steps between the questions of ranks on GPUs


class StopSignal:
    """SIGINT and SIGTERM ask the loop to save and exit after its step; a second one ends it at once."""

    def __init__(self, *, device: torch.device, world: int) -> None:
        self.signum = 0
        self._device, self._world = device, world
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._receive)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, signal.default_int_handler)
        self.signum = signum
        print("stopping after this step; press Ctrl-C again to quit immediately", file=sys.stderr)

    def agreed(self, step: int) -> int:
        """The signal's number or 0, the same on all ranks, so that none waits for one that has exited.

        Ranks on GPUs ask each other only every `EVERY` steps, as the host has to wait for the answer.
        """
        if self._world == 1:
            return self.signum
        if self._device.type == "cuda" and step % EVERY:
            return 0
        shared = torch.tensor(self.signum, device=self._device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return int(shared)
