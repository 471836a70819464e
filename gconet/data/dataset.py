"""An episode → tensors, step by step of a whole run."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gconet.config import Config
from gconet.data.compose import draw_composition
from gconet.data.episodes import DrawnEpisodes, Episode, Episodes, RecordedEpisodes
from gconet.data.groups import Group
from gconet.data.images import load_with_mask
from gconet.data.transforms import resize_image, resize_mask
from gconet.errors import ConfigError, DataError, GCoNetError
from gconet.progress import progress

AHEAD = 4  # batches that each loader process prepares
PATIENCE = 1800  # seconds to wait for a batch from a loader process
SHM = Path("/dev/shm")  # shared memory, on Linux


class Batch(NamedTuple):
    """One episode of 2n images, the first group's before the second's, not yet augmented."""

    images: Tensor  # (2n,3,S,S) uint8, RGB
    masks: Tensor  # (2n,1,S,S) uint8, grey
    labels: Tensor  # (2n,) int64
    angles: Tensor  # (2n,) float32, degrees
    flips: Tensor  # (2n,) bool
    others: Tensor  # (2n,3,S,S) uint8, pictures of other classes; (0,…) if none are composed
    other_masks: Tensor  # (2n,1,S,S) uint8
    kinds: Tensor  # (2n,) int64, see gconet.data.compose
    numbers: Tensor  # (2n,·) float32

    @property
    def composition(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What `compose` takes beside the images and masks."""
        return self.others, self.other_masks, self.kinds, self.numbers


class EpisodeDataset(Dataset[Batch]):
    """`dataset[step]` is the batch of that step of this rank, across epochs.

    With more than one rank (`world`), neighbouring episodes go to different ranks; if an epoch
    does not divide, its first episodes fill the last step.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        episodes: Episodes,
        *,
        size: int,
        distractors: float = 0.0,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """`distractors`: the share of composed pictures, which `seed` draws."""
        self.items = [item for group in groups for item in group.items]
        self.size, self.rank, self.world = size, rank, world
        self.distractors, self.seed = distractors, seed
        self.steps_per_epoch = -(-episodes.steps // world)
        self._sizes = [len(group.items) for group in groups]
        self._episodes = episodes
        self._epochs: dict[int, Sequence[Episode]] = {}
        self._cache: Tensor | None = None

    def fill_cache(self, device: torch.device, *, workers: int) -> None:
        """Read and resize all images now, by `workers` threads, and keep them on `device`.

        Batches then come from there. Raises DataError for a file that cannot be read.
        """
        cache = torch.empty(len(self.items), 4, self.size, self.size, dtype=torch.uint8, device=device)
        with ThreadPoolExecutor(max(1, workers)) as pool:
            loaded = pool.map(self._load, range(len(self.items)))
            shown = progress(loaded, "cache", len(self.items), unit="image", hidden=self.rank != 0)
            for i, pixels in enumerate(shown):
                cache[i] = pixels
        self._cache = cache

    @property
    def largest_batch(self) -> int:
        """Bytes of pixels in the largest batch of the first epoch."""
        images = max(len(episode.images) for episode in self._episodes.epoch(0))
        return images * 4 * self.size**2 * (2 if self.distractors else 1)

    @property
    def on_gpu(self) -> bool:
        """Whether batches come from a cache on a GPU."""
        return self._cache is not None and self._cache.device.type == "cuda"

    def episode(self, step: int) -> Episode:
        """The episode of this rank at `step`, counted from the start of the run."""
        epoch, i = divmod(step, self.steps_per_epoch)
        if epoch not in self._epochs:
            self._epochs = {epoch: self._episodes.epoch(epoch)}
        episodes = self._epochs[epoch]
        return episodes[(i * self.world + self.rank) % len(episodes)]

    def __getitem__(self, step: int) -> Batch:
        """Raises DataError for a file that cannot be read."""
        episode = self.episode(step)
        epoch, i = divmod(step, self.steps_per_epoch)
        drawn = draw_composition(
            self._sizes,
            episode.labels,
            len(episode.images) if self.distractors else 0,
            share=self.distractors,
            seed=(self.seed, epoch, i * self.world + self.rank),
        )
        pixels, others = self._pixels(episode.images), self._pixels(drawn.others)
        send = self._send
        return Batch(
            images=pixels[:, :3],
            masks=pixels[:, 3:],
            labels=send(np.repeat(np.asarray(episode.labels, np.int64), len(pixels) // 2)),
            angles=send(episode.angles),
            flips=send(episode.flips),
            others=others[:, :3],
            other_masks=others[:, 3:],
            kinds=send(drawn.kinds),
            numbers=send(drawn.numbers),
        )

    def _pixels(self, places: np.ndarray) -> Tensor:
        """(n,4,S,S) uint8 of the items at `places`: RGB and mask."""
        if self._cache is not None:
            return self._cache[self._send(places)]
        loaded = [self._load(i) for i in places]
        return torch.stack(loaded) if loaded else torch.empty(0, 4, self.size, self.size, dtype=torch.uint8)

    def _send(self, array: np.ndarray) -> Tensor:
        """`array` beside the cache; pinned on its way to a GPU, so that the host need not wait."""
        tensor = torch.from_numpy(array)
        if self._cache is None or not self.on_gpu:
            return tensor
        return tensor.pin_memory().to(self._cache.device, non_blocking=True)

    def _load(self, i: int) -> Tensor:
        """(4,S,S) uint8: RGB and mask."""
        item = self.items[i]
        if item.mask is None:
            raise DataError(f"{item.image} has no mask; training needs one for each image")
        image, mask = load_with_mask(item.image, item.mask)
        return torch.cat([resize_image(image, self.size), resize_mask(mask, self.size)])


def build_dataset(
    config: Config, groups: Sequence[Group], *, rank: int = 0, world: int = 1
) -> EpisodeDataset:
    """The dataset that `config` describes. Raises as its constructor and `make_episodes` do."""
    return EpisodeDataset(
        groups,
        make_episodes(config, groups),
        size=config.data.image_size,
        distractors=config.data.distractors,
        seed=config.seed,
        rank=rank,
        world=world,
    )


def make_episodes(config: Config, groups: Sequence[Group]) -> Episodes:
    """The recorded episodes that `config` names, or else drawn ones."""
    data = config.data
    if data.episodes is None:
        sizes = tuple(len(group.items) for group in groups)
        return DrawnEpisodes(
            sizes=sizes, seed=config.seed, group_size=data.group_size, flip=data.flip, rotation=data.rotation
        )
    recorded = RecordedEpisodes(Path(data.episodes), groups)
    if config.train.epochs > len(recorded):
        raise ConfigError(f"train.epochs: {config.train.epochs}, but data.episodes has {len(recorded)}")
    return recorded


def make_loader(
    dataset: EpisodeDataset, *, first: int, last: int, workers: int, pin: bool
) -> Iterator[Batch]:
    """The batches of steps first … last − 1, in order, read ahead by `workers` processes.

    At most one a CPU core, and as many as shared memory has room for; a cache on a GPU needs none. Raises
    DataError for a file that cannot be read, RuntimeError if a process dies, or if none gives a batch within
    `PATIENCE` seconds.
    """
    if dataset.on_gpu:
        yield from (dataset[step] for step in range(first, last))
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(workers, cores, shared_batches(dataset.largest_batch) // AHEAD)
    loader = DataLoader(
        dataset,
        sampler=range(first, last),
        batch_size=None,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=AHEAD if workers else None,
        timeout=PATIENCE if workers else 0,
        worker_init_fn=_outlive_signals,
    )
    try:
        yield from loader
    except GCoNetError as error:  # a loader process puts its whole traceback before the message
        kind = type(error)
        raise kind(str(error).rpartition(f"{kind.__module__}.{kind.__name__}: ")[2].strip()) from None


def shared_batches(size: int) -> int:
    """How many batches of `size` bytes half of the free shared memory holds; 0 if it cannot be written.

    Loader processes pass their batches through it. Containers often have 64 MB, and a batch that does not
    fit is lost without an error.
    """
    if not SHM.is_dir():  # not Linux
        return sys.maxsize
    if not os.access(SHM, os.W_OK):
        return 0
    room = os.statvfs(SHM)
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # of torchrun, which share it
    return room.f_bavail * room.f_frsize // 2 // size // processes


def _outlive_signals(worker: int) -> None:
    """Ctrl-C, or a scheduler's SIGTERM to the whole process group, is for the main process to handle;
    a loader process ends when that one does."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
