"""Turns the episodes of a run into tensors, step by step."""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gconet.data.ahead import read_ahead
from gconet.data.compose import draw_composition
from gconet.data.episodes import Episode, Episodes, class_ranges
from gconet.data.groups import Group
from gconet.data.images import load_with_mask
from gconet.data.transforms import resize_image, resize_mask
from gconet.device import put, runs_ahead
from gconet.machine import processors
from gconet.progress import progress


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
        """The arguments of `compose` after the images and masks."""
        return self.others, self.other_masks, self.kinds, self.numbers


class EpisodeDataset:
    """`dataset[step]` is this rank's batch for that step, counted across epochs. Threads may share it.

    With more than one rank (`world`), neighbouring episodes go to different ranks; if an epoch
    does not divide evenly, its first episodes fill the last step.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        episodes: Episodes,
        *,
        size: int,
        counts: Sequence[int] = (),
        distractors: float = 0.0,
        absent: float = 0.0,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """`counts`: the number of groups in each of several sets. `distractors`: the share of pictures to
        compose; `absent`: the share to replace by another class's, with an empty mask; `seed`: of both."""
        self.items = [item for group in groups for item in group.items]
        self.size, self.rank, self.world = size, rank, world
        self.distractors, self.absent, self.seed = distractors, absent, seed
        self.steps_per_epoch = -(-episodes.steps // world)
        self._sizes = [len(group.items) for group in groups]
        self._sets = class_ranges(counts or [len(groups)])
        self._epoch = lru_cache(2)(episodes.epoch)
        self._cache: Tensor | None = None

    def fill_cache(self, device: torch.device, *, workers: int) -> None:
        """Read and resize all images now in `workers` threads; keep them on `device`. Raises DataError."""
        cache = torch.empty(len(self.items), 4, self.size, self.size, dtype=torch.uint8, device=device)
        workers = max(1, workers)
        loaded = read_ahead(self._load, range(len(self.items)), workers=workers, ahead=4 * workers)
        shown = progress(loaded, "cache", len(self.items), unit="image", hidden=self.rank != 0)
        for i, pixels in enumerate(shown):
            cache[i] = pixels
        self._cache = cache

    def loader(self, *, first: int, last: int, workers: int, pin: bool) -> Iterator[Batch]:
        """Return the batches of steps first … last − 1, in order, read ahead by `workers` threads, at most
        one per core. A cache needs none, unless `pin` copies its batches to pinned memory."""
        steps = range(first, last)
        workers = min(workers, processors())
        if not workers or (self._cache is not None and (runs_ahead(self._cache.device) or not pin)):
            return map(self.__getitem__, steps)

        def read(step: int) -> Batch:
            return Batch(*(t.pin_memory() for t in self[step])) if pin else self[step]

        return read_ahead(read, steps, workers=workers, ahead=2 * workers)

    def episode(self, step: int) -> Episode:
        """The episode of this rank at `step`, counted from the start of the run."""
        epoch, i = divmod(step, self.steps_per_epoch)
        episodes = self._epoch(epoch)
        return episodes[(i * self.world + self.rank) % len(episodes)]

    def __getitem__(self, step: int) -> Batch:
        """Raises DataError for a file that cannot be read."""
        episode = self.episode(step)
        epoch, i = divmod(step, self.steps_per_epoch)
        composes = self.distractors > 0 or self.absent > 0
        drawn = draw_composition(
            self._sizes,
            episode.labels,
            len(episode.images) if composes else 0,
            share=self.distractors,
            seed=(self.seed, epoch, i * self.world + self.rank),
            classes=next(own for own in self._sets if episode.labels[0] in own),
            absent=self.absent,
            showing=[self._showing[label] if composes else () for label in episode.labels],
        )
        pixels, others = self._pixels(episode.images), self._pixels(drawn.others)
        return Batch(
            images=pixels[:, :3],
            masks=pixels[:, 3:],
            labels=self._send(np.repeat(np.asarray(episode.labels, np.int64), len(pixels) // 2)),
            angles=self._send(episode.angles),
            flips=self._send(episode.flips),
            others=others[:, :3],
            other_masks=others[:, 3:],
            kinds=self._send(drawn.kinds),
            numbers=self._send(drawn.numbers),
        )

    @cached_property
    def _showing(self) -> list[set[int]]:
        """For each class, the pictures whose photograph is in it, also as a copy in another class."""
        alike: dict[tuple[str, int], list[int]] = {}
        for i, item in enumerate(self.items):
            alike.setdefault((item.stem, item.image.stat().st_size), []).append(i)
        labels = np.repeat(np.arange(len(self._sizes)), self._sizes)
        showing: list[set[int]] = [set() for _ in self._sizes]
        for places in (places for places in alike.values() if len(places) > 1):
            copies: dict[bytes, list[int]] = {}
            for i in places:
                copies.setdefault(self.items[i].image.read_bytes(), []).append(i)
            for own in copies.values():
                for i in own:
                    showing[labels[i]].update(own)
        return showing

    def _pixels(self, places: np.ndarray) -> Tensor:
        """(n,4,S,S) uint8 of the items at `places`: RGB and mask."""
        if self._cache is not None:
            return self._cache[self._send(places)]
        loaded = [self._load(i) for i in places]
        return torch.stack(loaded) if loaded else torch.empty(0, 4, self.size, self.size, dtype=torch.uint8)

    def _send(self, array: np.ndarray) -> Tensor:
        """`array` on the cache's device."""
        tensor = torch.from_numpy(array)
        return tensor if self._cache is None else put(tensor, self._cache.device)

    def _load(self, i: int) -> Tensor:
        """(4,S,S) uint8: RGB and mask."""
        item = self.items[i]
        assert item.mask is not None  # `scan_set` pairs every image
        image, mask = load_with_mask(item.image, item.mask)
        return torch.cat([resize_image(image, self.size), resize_mask(mask, self.size)])
