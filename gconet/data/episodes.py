"""Episodes: which images of which two groups make a training step, and how each is turned.

Drawn ones are a pure function of (group sizes, seed, epoch), so a run can resume at any step;
recorded ones replay a list, such as the authors' own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gconet.data.groups import Group
from gconet.data.names import name_some
from gconet.errors import DataError

# The arrays of a recorded file, and the kinds of NumPy types that each may have.
KINDS = {
    "names": "U",
    "labels": "iu",
    "label_folder": "U",
    "sizes": "iu",
    "image": "iu",
    "angle": "f",
    "flip": "b",
}


@dataclass(frozen=True)
class Episode:
    """One step: n images of each of two groups, the first group's before the second's."""

    labels: tuple[int, int]  # places of the two groups in the sorted class names
    images: np.ndarray  # (2n,) int, places in the list of all groups' items, end to end
    angles: np.ndarray  # (2n,) float32, degrees, counter-clockwise
    flips: np.ndarray  # (2n,) bool, horizontal, before the rotation


class Episodes(Protocol):
    """A source of epochs."""

    @property
    def steps(self) -> int:
        """Episodes in every epoch."""
        ...

    def epoch(self, epoch: int) -> list[Episode]:
        """The steps of epoch 0, 1, …"""
        ...


@dataclass(frozen=True, kw_only=True)
class DrawnEpisodes:
    """Every class once as the first group, with a random other class as its partner.

    The order of first groups is fixed and shuffled, like the directory listing of the release's: by
    sorted names similar classes follow each other, and an epoch would end on one kind.
    """

    sizes: tuple[int, ...]  # images in each class
    seed: int
    group_size: int  # most images of one class
    flip: float  # probability
    rotation: float  # degrees, uniform in ±

    def __post_init__(self) -> None:
        if len(self.sizes) < 2:
            raise DataError(f"a pair needs two classes, and there is {len(self.sizes)}; add class folders")

    @property
    def steps(self) -> int:
        """As many episodes as there are classes."""
        return len(self.sizes)

    def epoch(self, epoch: int) -> list[Episode]:
        """Drawn afresh, the same at every call."""
        r = np.random.RandomState([self.seed, epoch])  # its streams never change between versions
        starts = np.cumsum((0, *self.sizes[:-1]))
        episodes = []
        for first in np.random.RandomState(0).permutation(len(self.sizes)).tolist():
            second = int(r.randint(len(self.sizes) - 1))
            second += second >= first  # any class but the first
            n = min(self.group_size, self.sizes[first], self.sizes[second])
            images = [starts[g] + r.permutation(self.sizes[g])[:n] for g in (first, second)]
            angles = r.uniform(-self.rotation, self.rotation, 2 * n).astype(np.float32)
            episodes.append(
                Episode((first, second), np.concatenate(images), angles, r.rand(2 * n) < self.flip)
            )
        return episodes


class RecordedEpisodes:
    """Replays a file made by scripts/tools/import_release_episodes.py; its docstring has the format."""

    def __init__(self, path: Path, groups: Sequence[Group]) -> None:
        """Raises DataError if the file cannot be read or names images that `groups` lack."""
        if not path.is_file():
            raise DataError(
                f"data.episodes: no file {path}; make it with scripts/tools/import_release_episodes.py"
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                self._record = {name: file[name] for name in KINDS}
        except Exception as error:  # of many unrelated types: zip, zlib and NumPy have their own
            raise DataError(f"data.episodes: {path} cannot be read as episodes ({error})") from None
        for name, kinds in KINDS.items():
            array = self._record[name]
            if array.dtype.kind not in kinds or (kinds == "U" and array.ndim != 1):
                raise DataError(f"data.episodes: {path} is damaged, {name} holds {array.dtype} {array.shape}")
        items = (f"{group.name}/{item.stem}" for group in groups for item in group.items)
        place = {name: i for i, name in enumerate(items)}
        if missing := [name for name in self._record["names"] if name not in place]:
            raise DataError(f"{path} names images that the data set lacks: {name_some(missing)}")
        label = {group.name: i for i, group in enumerate(groups)}
        if missing := [folder for folder in self._record["label_folder"] if folder not in label]:
            raise DataError(f"{path} names classes that the data set lacks: {name_some(missing)}")
        self._place = np.array([place[name] for name in self._record["names"]])
        self._label = [label[folder] for folder in self._record["label_folder"]]
        self._ends = np.cumsum(self._record["sizes"].astype(np.int64).ravel())
        if not self._is_whole():
            raise DataError(f"data.episodes: {path} is damaged, its images do not add up to its sizes")

    def _is_whole(self) -> bool:
        """Whether all arrays fit together and point to what exists."""
        sizes, labels, image = (self._record[name] for name in ("sizes", "labels", "image"))
        return bool(
            sizes.ndim == 2
            and sizes.size
            and labels.shape == (*sizes.shape, 2)
            and (sizes >= 2).all()
            and (sizes % 2 == 0).all()
            and all(self._record[name].shape == (self._ends[-1],) for name in ("image", "angle", "flip"))
            and ((image >= 0) & (image < len(self._place))).all()
            and np.isfinite(self._record["angle"]).all()
            and ((labels >= 0) & (labels < len(self._label))).all()
        )

    def __len__(self) -> int:
        """How many epochs were recorded."""
        return len(self._record["sizes"])

    @property
    def steps(self) -> int:
        """Episodes in every epoch."""
        return int(self._record["sizes"].shape[1])

    def epoch(self, epoch: int) -> list[Episode]:
        """Raises DataError past the last recorded epoch."""
        if epoch >= len(self):
            raise DataError(f"only {len(self)} epochs are recorded; lower train.epochs")
        return [self._episode(epoch, i, epoch * self.steps + i) for i in range(self.steps)]

    def _episode(self, epoch: int, i: int, step: int) -> Episode:
        end = int(self._ends[step])
        span = slice(end - int(self._record["sizes"][epoch, i]), end)
        first, second = (self._label[label] for label in self._record["labels"][epoch, i])
        return Episode(
            (first, second),
            self._place[self._record["image"][span]],
            self._record["angle"][span],
            self._record["flip"][span],
        )
