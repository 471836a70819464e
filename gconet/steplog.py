"""What the steps of a run computed: the log, the progress bar, the epoch's means."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from gconet.data.dataset import EpisodeDataset
from gconet.device import peak_memory
from gconet.errors import GCoNetError
from gconet.models.training import TrainingOutput
from gconet.readings import Readings
from gconet.run import Run


class Step(NamedTuple):
    """What one training step leaves on the device."""

    names: tuple[str, ...]  # of the values
    values: Tensor  # (k,): each loss, their weighted total, the gradient's norm
    images: Tensor  # (2n,3,S,S) in [0,1], as the network saw them
    masks: Tensor  # (2n,1,S,S)
    output: TrainingOutput


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
        self._readings = Readings(device)
        self._steps = 0  # of the epoch that were read
        self._bar = tqdm(
            total=last, initial=first, desc=run.config.name, unit="step", disable=None if run.main else True
        )

    def add(self, step: int, result: Step, rates: dict[str, float]) -> None:
        """Queue a step's numbers for `read`; the tensors may then be overwritten."""
        images = len(result.images) * self._dataset.world
        self._readings.put(step, result.values, (result.names, images, rates))

    def read(self, *, everything: bool = False) -> None:
        """Log the steps whose numbers have arrived; `everything`: wait for all of them.

        Raises GCoNetError that names the losses and the episode of a step that was not finite.
        """
        for step, values, (names, images, rates), seconds in self._readings.take(everything=everything):
            named = dict(zip(names, values, strict=True))
            if not all(map(math.isfinite, values)):
                files = [self._dataset.items[i].image for i in self._dataset.episode(step).images]
                raise GCoNetError(
                    f"the loss is not finite at step {step}: {named}; episode: " + " ".join(map(str, files))
                )
            epoch, i = divmod(step, self._dataset.steps_per_epoch)
            self.sums = {name: self.sums.get(name, 0.0) * (i > 0) + value for name, value in named.items()}
            self._steps = i + 1
            speed = images / seconds
            memory = peak_memory(self._device)
            self._run.step(step, epoch, named, rates, images_per_second=speed, memory_gib=memory)
            shown = " ".join(f"{n[:3]} {v:.3g}" for n, v in named.items() if n != "gradient_norm")
            self._bar.set_postfix_str(f"{shown} {speed:.1f} img/s", refresh=False)
            self._bar.update()

    def means(self) -> dict[str, float]:
        """The epoch's mean of each number, over the steps read so far."""
        return {name: value / self._steps for name, value in self.sums.items()}

    def restart_clock(self) -> None:
        """Do not count the time since the last step, for example that of validation."""
        self._readings.restart_clock()

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()
