"""Report the results of a run's steps: the log, the progress bar, the epoch's means."""

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from gconet.data.dataset import EpisodeDataset
from gconet.device import AHEAD, copy_to_host, peak_memory
from gconet.engine.run import Run
from gconet.errors import GCoNetError
from gconet.models.training import TrainingOutput


class Step(NamedTuple):
    """What one training step leaves on the device."""

    names: tuple[str, ...]  # of `values`
    values: Tensor  # (k,): each loss, their weighted total, the gradient's norm; in fp16 if skipped
    images: Tensor  # (2n,3,S,S) in [0,1], as the network saw them
    masks: Tensor  # (2n,1,S,S)
    output: TrainingOutput


class StepLog:
    """Logs each step as soon as its numbers have reached the host."""

    def __init__(
        self, run: Run, dataset: EpisodeDataset, device: torch.device, *, progress: dict[str, Any], last: int
    ) -> None:
        """`progress`: the run's, with its first `step` and the `sums` over the epoch's steps before it."""
        self.sums: dict[str, float] = progress["sums"]
        self._run, self._dataset, self._device = run, dataset, device
        self._waiting: deque[tuple[Any, ...]] = deque()  # the arguments of `_log`, oldest first
        self._clock = time.perf_counter()
        self._previous: Any = None  # the event of the last step
        hidden, first = None if run.main else True, progress["step"]
        self.bar = tqdm(total=last, initial=first, desc=run.folder.name, unit="step", disable=hidden)

    def add(self, step: int, result: Step, rates: dict[str, float], *, wait: bool) -> None:
        """Copy a step's numbers, so that its tensors may be overwritten; log the steps more than `AHEAD`
        back, or with `wait` all. Raises GCoNetError with the losses and the episode of a non-finite step."""
        values, arrived = copy_to_host(result.values)
        self._waiting.append((step, result.names, values, arrived, len(result.images), rates))
        while len(self._waiting) > (0 if wait else AHEAD.get(self._device.type, 0)):
            self._log(*self._waiting.popleft())

    def _log(
        self, step: int, names: Sequence[str], values: Tensor, arrived: Any, images: int, rates: dict
    ) -> None:
        if arrived:
            arrived.synchronize()
        now, before, previous = time.perf_counter(), self._clock, self._previous
        self._clock, self._previous = now, arrived
        seconds = previous.elapsed_time(arrived) / 1e3 if arrived and previous else now - before  # of the GPU
        named = dict(zip(names, values.tolist(), strict=True))
        if not all(map(math.isfinite, named.values())):
            files = [str(self._dataset.items[i].image) for i in self._dataset.episode(step).images]
            raise GCoNetError(f"the loss is not finite at step {step}: {named}; episode: {' '.join(files)}")
        epoch, i = divmod(step, self._dataset.steps_per_epoch)
        self.sums = {name: self.sums.get(name, 0.0) * (i > 0) + value for name, value in named.items()}
        rate = images * self._dataset.world / seconds
        speed = {"images_per_second": rate, "memory_gib": peak_memory(self._device)}
        self._run.log(event="step", step=step, epoch=epoch, **named, **rates, **speed)
        self._run.scalars(step, "train", {**named, **rates, **speed})
        shown = " ".join(f"{n[:3]} {v:.3g}" for n, v in named.items() if n != "gradient_norm")
        self.bar.set_postfix_str(f"{shown} {rate:.1f} img/s", refresh=False)
        self.bar.update()

    def means(self) -> dict[str, float]:
        """Return each number's mean over the epoch that has just ended, and how many steps were skipped."""
        steps = self._dataset.steps_per_epoch
        return {name: value / (1 if name == "skipped" else steps) for name, value in self.sums.items()}

    def restart_clock(self) -> None:
        """Exclude the time since the last step, for example that of validation."""
        self._clock, self._previous = time.perf_counter(), None
