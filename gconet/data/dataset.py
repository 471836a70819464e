"""An episode → tensors, step by step of a whole run."""

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from gconet.data.episodes import Episode, Episodes
from gconet.data.groups import Group
from gconet.data.images import load_with_mask
from gconet.data.transforms import resize_image, resize_mask
from gconet.errors import DataError


class Batch(NamedTuple):
    """One episode of 2n images, the first group's before the second's, not yet augmented."""

    images: Tensor  # (2n,3,S,S) uint8, RGB
    masks: Tensor  # (2n,1,S,S) uint8, grey
    labels: Tensor  # (2n,) int64
    angles: Tensor  # (2n,) float32, degrees
    flips: Tensor  # (2n,) bool


class EpisodeDataset(Dataset[Batch | DataError]):
    """`dataset[step]` is the batch of that step of this rank, across epochs.

    With more than one rank (`world`), neighbouring episodes go to different ranks; where an epoch
    does not divide, its first episodes fill the last step.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        episodes: Episodes,
        *,
        size: int,
        cache_workers: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """`cache_workers`: read and resize all images now, by so many threads; None reads them as
        they come. Raises DataError for a file that cannot be read."""
        self.items = [item for group in groups for item in group.items]
        self.size, self.rank, self.world = size, rank, world
        self.steps_per_epoch = -(-episodes.steps // world)
        self._episodes = episodes
        self._epochs: dict[int, Sequence[Episode]] = {}
        self._cache: Tensor | None = None
        if cache_workers is not None:
            self._cache = torch.empty(len(self.items), 4, size, size, dtype=torch.uint8)
            with ThreadPoolExecutor(max(1, cache_workers)) as pool:
                loaded = pool.map(self._load, range(len(self.items)))
                for i, pixels in enumerate(tqdm(loaded, "cache", len(self.items), disable=None)):
                    self._cache[i] = pixels

    def episode(self, step: int) -> Episode:
        """The episode of this rank at `step`, counted from the start of the run."""
        epoch, i = divmod(step, self.steps_per_epoch)
        if epoch not in self._epochs:
            self._epochs = {epoch: self._episodes.epoch(epoch)}
        episodes = self._epochs[epoch]
        return episodes[(i * self.world + self.rank) % len(episodes)]

    def __getitem__(self, step: int) -> Batch | DataError:
        """A bad file is returned as its error: raised in a loader process, its one line would be
        buried in a traceback."""
        episode = self.episode(step)
        try:
            pixels = (
                torch.stack([self._load(i) for i in episode.images])
                if self._cache is None
                else self._cache[torch.from_numpy(episode.images)]
            )
        except DataError as error:
            return error
        return Batch(
            pixels[:, :3],
            pixels[:, 3:],
            torch.tensor(episode.labels).repeat_interleave(len(pixels) // 2),
            torch.from_numpy(episode.angles),
            torch.from_numpy(episode.flips),
        )

    def _load(self, i: int) -> Tensor:
        """(4,S,S) uint8: RGB and mask."""
        item = self.items[i]
        if item.mask is None:
            raise DataError(f"{item.image} has no mask; training needs one for each image")
        image, mask = load_with_mask(item.image, item.mask)
        return torch.cat([resize_image(image, self.size), resize_mask(mask, self.size)])


def make_loader(
    dataset: EpisodeDataset, *, first: int, last: int, workers: int, pin: bool
) -> DataLoader[Batch | DataError]:
    """The batches of steps first … last − 1, in order, read ahead by `workers` processes, at most one
    a CPU core."""
    workers = min(workers, os.cpu_count() or 1)
    return DataLoader(
        dataset,
        sampler=range(first, last),
        batch_size=None,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_outlive_signals,
    )


def _outlive_signals(worker: int) -> None:
    """Ctrl-C, or a scheduler's SIGTERM to the whole process group, is for the main process to handle;
    a loader process ends when that one does."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
