"""Episodes: which images of which two groups make a training step, and how each is flipped and rotated.

Drawn episodes are a pure function of (group sizes, seed, epoch), so a run can resume at any step;
recorded episodes replay a list, such as the authors'.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gconet.config import Config
from gconet.data.groups import Group
from gconet.data.names import name_some
from gconet.errors import ConfigError, DataError


@dataclass(frozen=True)
class Episode:
    """One step: n images of each of two groups, the first group's before the second's."""

    labels: tuple[int, int]  # indices of the two groups in the sorted class names
    images: np.ndarray  # (2n,) int, indices into the items of all groups, concatenated
    angles: np.ndarray  # (2n,) float32, degrees, counter-clockwise
    flips: np.ndarray  # (2n,) bool, horizontal, before the rotation


@dataclass(frozen=True, kw_only=True)
class DrawnEpisodes:
    """Takes every class once as the first group, with a random other class as its partner.

    The order of first groups is shuffled but fixed, like the directory listing in the release: sorted
    by name, similar classes would follow each other and an epoch would end on one kind.

    With several sets, both classes of an episode are from one set, whose classes take turns, also across
    epochs, in its share of the episodes.
    """

    sizes: tuple[int, ...]  # images in each class
    counts: tuple[int, ...] = ()  # classes of each set, whose classes follow each other; (): one set
    shares: tuple[float, ...] = ()  # each set's share of the episodes, up to a factor; (): `counts`
    seed: int
    group_size: int  # most images of one class
    flip: float  # probability
    rotation: float  # degrees, uniform in ±

    def __post_init__(self) -> None:
        if (least := min(self.counts or [len(self.sizes)])) < 2:
            raise DataError(f"a pair needs two classes of a set, found {least}; add class folders")

    @property
    def steps(self) -> int:
        """Number of episodes in every epoch."""
        return len(self.sizes)

    def epoch(self, epoch: int) -> list[Episode]:
        """The steps of epoch 0, 1, …; the same at every call."""
        r = np.random.RandomState([self.seed, epoch])  # its streams stay the same in all NumPy versions
        starts = np.cumsum((0, *self.sizes[:-1]))
        episodes = []
        for first, own in self._first_classes(epoch):
            second = own[int(r.randint(len(own) - 1))]
            second += second >= first  # any class of the set but the first
            n = min(self.group_size, self.sizes[first], self.sizes[second])
            images = [starts[g] + r.permutation(self.sizes[g])[:n] for g in (first, second)]
            angles = r.uniform(-self.rotation, self.rotation, 2 * n).astype(np.float32)
            flips = r.rand(2 * n) < self.flip
            episodes.append(Episode((first, second), np.concatenate(images), angles, flips))
        return episodes

    def _first_classes(self, epoch: int) -> Iterator[tuple[int, range]]:
        """Yield the first class of each step, and all classes of its set."""
        sets = class_ranges(self.counts or [len(self.sizes)])
        ends = np.cumsum(self.shares or [len(own) for own in sets])
        steps = np.diff(np.rint(ends / ends[-1] * self.steps).astype(int), prepend=0)
        orders = [np.random.RandomState(0).permutation(own).tolist() for own in sets]
        done = (epoch * steps).tolist()
        for k in np.random.RandomState(0).permutation(np.repeat(np.arange(len(sets)), steps)).tolist():
            yield orders[k][done[k] % len(sets[k])], sets[k]
            done[k] += 1


def class_ranges(counts: Sequence[int]) -> list[range]:
    """Number of classes in each set → the indices of its classes."""
    ends = np.cumsum(counts).tolist()
    return [range(end - count, end) for count, end in zip(counts, ends, strict=True)]


FORMAT = "gconet-episodes-1"


class RecordedEpisodes:
    """Replays a file made by scripts/tools/import_release_episodes.py, which describes the format."""

    def __init__(self, path: Path, groups: Sequence[Group]) -> None:
        """Raises DataError if the file cannot be read or names images that `groups` lack."""
        try:
            with np.load(path, allow_pickle=False) as file:
                record = dict(file)
            sizes, flips = record["sizes"], record["flip"].astype(bool)
            names, angles = record["names"][record["image"]].astype(str), record["angle"].astype(np.float32)
            first, second = record["label_folder"][record["labels"].reshape(-1, 2)].T.astype(str).tolist()
            fits = len(first) == sizes.size and len(names) == len(angles) == len(flips) == sizes.sum()
            if not fits or str(record.get("format", FORMAT)) != FORMAT:  # older files have no format
                raise ValueError("another format, or its arrays do not add up")
            self.steps, cuts = sizes.shape[1], np.cumsum(sizes)[:-1]
        except Exception as error:  # zip, zlib and NumPy raise many unrelated types
            raise DataError(f"data.episodes: {path} cannot be read as episodes ({error})") from None
        items = [f"{group.name}/{item.stem}" for group in groups for item in group.items]
        place = _places(names, items, f"{path} names images")
        label = _places([*first, *second], [group.name for group in groups], f"{path} names classes")
        parts = (np.split(array, cuts) for array in (place, angles, flips))
        pairs = label.reshape(2, -1).T.tolist()
        episodes = [Episode((a, b), *part) for (a, b), *part in zip(pairs, *parts, strict=True)]
        self._epochs = [episodes[i : i + self.steps] for i in range(0, len(episodes), self.steps)]

    def __len__(self) -> int:
        """Number of recorded epochs."""
        return len(self._epochs)

    def epoch(self, epoch: int) -> list[Episode]:
        """Raises DataError past the last recorded epoch."""
        if epoch >= len(self):
            raise DataError(f"only {len(self)} epochs are recorded; lower train.epochs")
        return self._epochs[epoch]


Episodes: TypeAlias = DrawnEpisodes | RecordedEpisodes


def make_episodes(config: Config, groups: Sequence[Group], counts: tuple[int, ...] = ()) -> Episodes:
    """Return the recorded episodes that `config` names, or drawn ones if it names none; `groups` and `counts`
    are as `scan_sets` returns them, () for one set."""
    data = config.data
    if data.episodes is None:
        sizes = tuple(len(group.items) for group in groups)
        own: dict[str, Any] = {k: getattr(data, k) for k in ("shares", "group_size", "flip", "rotation")}
        return DrawnEpisodes(sizes=sizes, counts=counts, seed=config.seed, **own)
    recorded = RecordedEpisodes(Path(data.episodes), groups)
    if config.train.epochs > len(recorded):
        raise ConfigError(f"train.epochs: {config.train.epochs}, but data.episodes has {len(recorded)}")
    return recorded


def _places(wanted: Sequence[str] | np.ndarray, known: list[str], what: str) -> np.ndarray:
    """Return the index in `known` of each name in `wanted`."""
    place = {name: i for i, name in enumerate(known)}
    if missing := list(dict.fromkeys(name for name in wanted if name not in place)):
        raise DataError(f"{what} that the data set lacks: {name_some(missing)}")
    return np.array([place[name] for name in wanted], np.int64)
