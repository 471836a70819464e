"""What the steps of a run computed: the log, the progress bar, the epoch's means."""

import math
import time
from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from gconet.data.dataset import EpisodeDataset
from gconet.device import peak_memory
from gconet.errors import GCoNetError
from gconet.models.training import TrainingOutput
from gconet.run import Run

# Steps whose numbers may be on their way to the host. A GPU works on steps that were queued earlier;
# reading a number at once would empty that queue. A CPU computes each step before it returns.
AHEAD = {"cuda": 8, "cpu": 0}


class Step(NamedTuple):
    """What one training step leaves on the device."""

    names: tuple[str, ...]  # of the values
    values: Tensor  # (k,): each loss, their weighted total, the gradient's norm
    images: Tensor  # (2n,3,S,S) in [0,1], as the network saw them
    masks: Tensor  # (2n,1,S,S)
    output: TrainingOutput


class _Waiting(NamedTuple):
    step: int
    names: tuple[str, ...]
    values: Tensor  # on the host, once `arrived`
    arrived: torch.cuda.Event | None  # None on a CPU
    images: int
    rates: dict[str, float]


class StepLog:
    """Logs every step, as soon as its numbers have reached the host."""

    def __init__(
        self,
        run: Run,
        dataset: EpisodeDataset,
        *,
        sums: dict[str, float],
        device: torch.device,
        first: int,
        last: int,
    ) -> None:
        """`sums`: of the epoch's steps before `first`."""
        self.sums = sums
        self._run, self._dataset, self._device = run, dataset, device
        self._steps = 0  # of the epoch that were read
        self._waiting: deque[_Waiting] = deque()
        self._clock = 0.0
        self._previous: torch.cuda.Event | None = None
        self._bar = tqdm(
            total=last, initial=first, desc=run.config.name, unit="step", disable=None if run.main else True
        )
        self.restart_clock()

    def add(self, step: int, result: Step, rates: dict[str, float], *, wait: bool) -> None:
        """Take a step's numbers, whose tensors may then be overwritten; log the steps whose numbers have
        arrived, or with `wait` all of them.

        Raises GCoNetError that names the losses and the episode of a step that was not finite.
        """
        arrived = torch.cuda.Event(enable_timing=True) if result.values.is_cuda else None
        values = result.values.to("cpu", non_blocking=True, copy=True)
        if arrived:
            arrived.record()
        images = len(result.images) * self._dataset.world
        self._waiting.append(_Waiting(step, result.names, values, arrived, images, rates))
        while self._waiting and (
            wait
            or len(self._waiting) > AHEAD[self._device.type]
            or ((oldest := self._waiting[0].arrived) is not None and oldest.query())
        ):
            self._log(self._waiting.popleft())

    def _log(self, done: _Waiting) -> None:
        if done.arrived:
            done.arrived.synchronize()
        now = time.perf_counter()
        seconds = now - self._clock
        if done.arrived and self._previous:  # the GPU's own time between two steps
            seconds = self._previous.elapsed_time(done.arrived) / 1e3
        self._clock, self._previous = now, done.arrived
        named = dict(zip(done.names, done.values.tolist(), strict=True))
        if not all(map(math.isfinite, named.values())):
            files = [self._dataset.items[i].image for i in self._dataset.episode(done.step).images]
            raise GCoNetError(
                f"the loss is not finite at step {done.step}: {named}; episode: " + " ".join(map(str, files))
            )
        epoch, i = divmod(done.step, self._dataset.steps_per_epoch)
        self.sums = {name: self.sums.get(name, 0.0) * (i > 0) + value for name, value in named.items()}
        self._steps = i + 1
        speed = {"images_per_second": done.images / seconds, "memory_gib": peak_memory(self._device)}
        self._run.log(event="step", step=done.step, epoch=epoch, **named, **speed)
        self._run.scalars(done.step, "train", {**named, **done.rates, **speed})
        shown = " ".join(f"{n[:3]} {v:.3g}" for n, v in named.items() if n != "gradient_norm")
        self._bar.set_postfix_str(f"{shown} {speed['images_per_second']:.1f} img/s", refresh=False)
        self._bar.update()

    def means(self) -> dict[str, float]:
        """The epoch's mean of each number, over the steps read so far."""
        return {name: value / self._steps for name, value in self.sums.items()}

    def restart_clock(self) -> None:
        """Do not count the time since the last step, for example that of validation."""
        self._clock, self._previous = time.perf_counter(), None

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()
