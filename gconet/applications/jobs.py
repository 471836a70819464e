"""Shared by the applications: a job for every picture, in threads; unusable ones are skipped and named."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from gconet.applications.crops import Found
from gconet.applications.doubts import map_doubts
from gconet.applications.imaging import RGB, Grey
from gconet.applications.outputs import RESULTS
from gconet.applications.page import MAP, MASK, PICTURE, Previews
from gconet.data.groups import Group, Item
from gconet.data.images import check_size, load_map, load_mask, load_with_opacity
from gconet.errors import DataError
from gconet.evaluation import MapScore, Scores
from gconet.evaluation.scorer import score_picture
from gconet.evaluation.scores import summarise_groups
from gconet.files import save_picture
from gconet.machine import processors
from gconet.progress import progress

LONGEST = 65500  # most pixels along a side of a JPEG file
ROOM = 2**27  # bytes of pictures and maps that one step keeps for the next

Input = TypeVar("Input")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Job:
    """One picture and its result files, by kind."""

    group: str
    item: Item
    files: Mapping[str, Path]


def make_jobs(groups: Sequence[Group], output: Path, kinds: Sequence[str]) -> list[Job]:
    """Return a job for every picture of `groups`, with files of these `kinds` of `RESULTS`."""
    return [
        Job(g.name, i, {kind: output / RESULTS[kind].format(group=g.name, stem=i.stem) for kind in kinds})
        for g in groups
        for i in g.items
    ]


class Shelf:
    """Decoded files on the way from one step to the next; what exceeds `ROOM` is read again."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[Any, ...]] = {}
        self._room, self._lock = ROOM, threading.Lock()

    def put(self, path: Path | None, *arrays: Any) -> None:
        """Keep what was read from `path`: arrays or None."""
        size = sum(array.nbytes for array in arrays if array is not None)
        with self._lock:
            if path and size <= self._room and path not in self._kept:
                self._kept[path], self._room = arrays, self._room - size

    def take(self, path: Path) -> tuple[Any, ...] | None:
        """Return what was kept of `path`, and keep it no longer; None if it was not."""
        with self._lock:
            arrays = self._kept.pop(path, None)
            self._room += sum(array.nbytes for array in arrays or () if array is not None)
        return arrays

    def load(self, path: Path) -> Image.Image:
        """Read a picture like `load_image`, and keep it."""
        picture, opacity = load_with_opacity(path)
        self.put(path, picture, opacity)
        return Image.fromarray(picture)

    def keep(self, item: Item, m: Grey) -> None:
        """Keep the map (H,W) of an item, which was just made."""
        self.put(item.map, m)


def load_pair(item: Item, shelf: Shelf) -> tuple[RGB, Grey | None, Grey]:
    """A picture (H,W,3), its alpha channel (H,W) if it has one, and its map (H,W); raises DataError if it has
    no map, if one cannot be read, or if they differ in size."""
    if item.map is None:
        raise DataError(f"{item.image} has no map; make one with test.py, or fix what stopped it")
    picture, opacity = shelf.take(item.image) or load_with_opacity(item.image)
    m: Grey = (shelf.take(item.map) or (np.asarray(load_map(item.map)),))[0]
    check_size(item.map, m.shape[::-1], item.image, picture.shape[1::-1])
    return picture, opacity, m


def save_jpeg(path: Path, picture: RGB, source: Path, quality: int = 90) -> None:
    """Save `picture` (H,W,3), made from `source`; raises DataError if a side is too long for a JPEG file."""
    if max(picture.shape) > LONGEST:
        raise DataError(f"{source}: a side exceeds the {LONGEST} pixels of a JPEG file; shrink it")
    save_picture(path, picture, quality=quality)


def run_jobs(
    work: Callable[[Input], Result], inputs: Sequence[Input], *, desc: str, strict: bool
) -> tuple[list[tuple[Input, Result]], list[DataError]]:
    """Run `work` on each input, in order, with a thread for each processor and a progress bar.

    Returns the inputs with their results, and the errors of inputs that cannot be used; if `strict`,
    the first error is raised.
    """
    done, errors = list[tuple[Input, Result]](), list[DataError]()
    pool = ThreadPoolExecutor(processors())
    try:
        futures = [pool.submit(work, one) for one in inputs]
        for one, future in zip(inputs, progress(futures, desc, len(inputs), unit="image"), strict=True):
            error = future.exception()
            if isinstance(error, DataError) and not strict:
                errors.append(error)
            else:
                done.append((one, future.result()))
    finally:
        pool.shutdown(cancel_futures=True)
    return done, errors


class Seen(NamedTuple):
    """What is known of a picture while it, its map and its mask are in memory."""

    files: dict[str, Path]  # to show on the page: kind → full-size file
    doubts: list[str]  # about its map or, if there are none, about its cut-out
    scores: list[MapScore]  # of its map and its cut-out, by its mask
    error: DataError | None = None  # why the mask could not be used
    found: Found | None = None  # where the object is, for a thumbnail


def look_at(item: Item, m: Grey, *, previews: Previews, cut: Grey | None = None) -> Seen:
    """Judge the map (H,W) of an item and the mask `cut` (H,W) of its cut-out, and save small pictures. Both
    are scored by the item's mask, if it has one."""
    assert item.map is not None
    seen = Seen({PICTURE: item.image, MAP: item.map}, map_doubts(m), [])
    previews.save(item.image, MAP, m)
    if item.mask:
        try:
            mask = load_mask(item.mask)
            for levels in (m, cut):
                if levels is not None:
                    picture = Image.fromarray(levels)
                    seen.scores.append(score_picture(picture, item.map, mask, item.mask, item.distractors))
            previews.save(item.image, MASK, np.asarray(mask))
            seen.files[MASK] = item.mask
        except DataError as error:
            return seen._replace(error=error)
    return seen


def sum_up(
    groups: Sequence[Group], seen: Mapping[Path, Seen], methods: Sequence[str], dataset: str
) -> list[Scores]:
    """Return the scores of all pictures for each of `methods`, in the order of `Seen.scores`; none if no
    picture has any."""
    found = [(group.name, item.stem, seen.get(item.image)) for group in groups for item in group.items]
    return [
        summarise_groups(
            [(name, stem, one.scores[place] if one and one.scores else None) for name, stem, one in found],
            **{"convention": "toolbox", "method": method, "dataset": dataset},
        )
        for place, method in enumerate(methods if any(one and one.scores for *_, one in found) else ())
    ]
