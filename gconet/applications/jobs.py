"""Shared by the applications: a job for every picture, in threads; unusable ones are skipped and named."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from gconet.applications.doubts import map_doubts
from gconet.applications.imaging import RGB, Grey
from gconet.applications.page import MAP, MASK, PICTURE, Previews
from gconet.data.groups import Group, Item
from gconet.data.images import check_size, load_map, load_mask, load_with_opacity
from gconet.errors import DataError
from gconet.evaluation import Scores
from gconet.evaluation.metrics import MapScore
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


def make_jobs(groups: Sequence[Group], output: Path, patterns: Mapping[str, str]) -> list[Job]:
    """Return a job for every picture of `groups`. `patterns`: like `outputs.RESULTS`."""
    return [
        Job(g.name, i, {k: output / p.format(group=g.name, stem=i.stem) for k, p in patterns.items()})
        for g in groups
        for i in g.items
    ]


class Shelf:
    """Decoded files on the way from one step to the next; what exceeds `ROOM` is read again."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[Any, ...]] = {}
        self._room, self._lock = ROOM, threading.Lock()

    def put(self, path: Path, *arrays: Any) -> None:
        """Keep what was read from `path`: arrays or None."""
        size = sum(array.nbytes for array in arrays if array is not None)
        with self._lock:
            if size <= self._room and path not in self._kept:
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


def load_pair(item: Item, shelf: Shelf) -> tuple[RGB, Grey | None, Grey]:
    """A picture (H,W,3) RGB, its alpha channel if it has one, and its map (H,W), all uint8.

    Raises DataError if there is no map, if one cannot be read, or if they differ in size.
    """
    if item.map is None:
        raise DataError(f"{item.image} has no map; make one with test.py, or fix what stopped it")
    picture, opacity = shelf.take(item.image) or load_with_opacity(item.image)
    m: Grey = (shelf.take(item.map) or (np.asarray(load_map(item.map)),))[0]
    check_size(item.map, m.shape[::-1], item.image, picture.shape[1::-1])
    return picture, opacity, m


def keep_map(item: Item, m: Grey, *, shelf: Shelf) -> list[str]:
    """Keep the map (H,W) of an item for the next step; returns the doubts about it."""
    if item.map:
        shelf.put(item.map, m)
    return map_doubts(m)


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
    done: list[tuple[Input, Result]] = []
    errors: list[DataError] = []
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
    """What a map gives while it is in memory."""

    doubts: list[str]
    score: MapScore | DataError | None  # None without a mask


def look_at(item: Item, m: Grey, *, previews: Previews) -> Seen:
    """Judge the map (H,W) of an item, score it by the item's mask, and save small versions for the page."""
    previews.save(item.image, MAP, m)
    score: MapScore | DataError | None = None
    if item.mask and item.map:
        try:
            mask = load_mask(item.mask)
            score = score_picture(Image.fromarray(m), item.map, mask, item.mask, item.distractors)
            previews.save(item.image, MASK, np.asarray(mask))
        except DataError as error:
            score = error
    return Seen(map_doubts(m), score)


def page_files(item: Item, seen: Seen) -> dict[str, Path]:
    """Return the `Card.files` of a picture that `look_at` has seen."""
    files = {
        PICTURE: item.image,
        MAP: item.map,
        MASK: item.mask if isinstance(seen.score, MapScore) else None,
    }
    return {kind: file for kind, file in files.items() if file}


def sum_up(
    groups: Sequence[Group], found: Mapping[Path, MapScore | DataError | None], *, method: str, gts: Path
) -> tuple[Scores | None, list[DataError]]:
    """Return the scores of all pictures of `groups` and the errors of those without, from what was `found`
    for each picture; None if none could be scored."""
    errors = [error for error in found.values() if isinstance(error, DataError)]
    measured, missing = dict[str, dict[str, MapScore]](), list[str]()
    for group in groups:
        for item in group.items:
            if isinstance(score := found.get(item.image), MapScore):
                measured.setdefault(group.name, {})[item.stem] = score
            else:
                missing.append(f"{group.name}/{item.stem}")
    if not measured:
        return None, errors
    labels = {"method": method, "dataset": gts.resolve().name, "missing": tuple(missing)}
    return summarise_groups(measured, convention="toolbox", **labels), errors
