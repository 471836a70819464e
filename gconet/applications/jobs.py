"""Shared by the applications: a job for every picture, in threads; unusable ones are skipped and named."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from gconet.applications.crops import Found
from gconet.applications.desk import MAP, MASK, PICTURE, Desk
from gconet.applications.doubts import map_doubts
from gconet.applications.imaging import RGB, Grey
from gconet.applications.outputs import RESULTS
from gconet.data.groups import Group, Item
from gconet.data.images import load_mask
from gconet.errors import DataError
from gconet.evaluation import MapScore, Scores
from gconet.evaluation.scorer import score_picture
from gconet.evaluation.scores import summarise_groups
from gconet.files import save_picture
from gconet.machine import processors
from gconet.progress import progress

LONGEST = 65500  # most pixels along a side of a JPEG file

Input = TypeVar("Input")
Result = TypeVar("Result")


class Job(NamedTuple):
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


def save_jpeg(path: Path, picture: RGB, source: Path, quality: int = 90) -> None:
    """Save `picture` (H,W,3), made from `source`; raises DataError if a side is too long for a JPEG file."""
    if max(picture.shape) > LONGEST:
        raise DataError(f"{source}: a side exceeds the {LONGEST} pixels of a JPEG file; shrink it")
    save_picture(path, picture, quality=quality)


def run_jobs(
    work: Callable[[Input], Result], inputs: Sequence[Input], *, desc: str
) -> tuple[list[tuple[Input, Result]], list[DataError]]:
    """Run `work` on each input, in order, with a thread for each processor and a progress bar.

    Returns the inputs with their results, and the errors of inputs that cannot be used.
    """
    done, errors = list[tuple[Input, Result]](), list[DataError]()
    pool = ThreadPoolExecutor(processors())
    try:
        futures = [pool.submit(work, one) for one in inputs]
        for one, future in zip(inputs, progress(futures, desc, len(inputs), unit="image"), strict=True):
            try:
                done.append((one, future.result()))
            except DataError as error:
                errors.append(error)
    finally:
        pool.shutdown(cancel_futures=True)
    return done, errors


class Seen(NamedTuple):
    """What is known of a picture while it, its map and its mask are in memory."""

    files: dict[str, Path]  # to show on the page: kind → full-size file
    doubts: list[str]  # about its map
    scores: list[MapScore]  # of its map and its cut-out, by its mask
    error: DataError | None = None  # why the mask could not be used
    found: Found | None = None  # the object's box, for the thumbnail


def look_at(item: Item, m: Grey, *, desk: Desk, cut: Grey | None = None) -> Seen:
    """Judge the map (H,W) of an item and the mask `cut` (H,W) of its cut-out, and save small pictures. Both
    are scored by the item's mask, if it has one."""
    assert item.map is not None
    seen = Seen({PICTURE: item.image, MAP: item.map}, map_doubts(m), [])
    desk.save(item.image, MAP, m)
    if item.mask:
        try:
            mask = load_mask(item.mask)
            for levels in (m, cut):
                if levels is not None:
                    picture = Image.fromarray(levels)
                    seen.scores.append(score_picture(picture, item.map, mask, item.mask, item.distractors))
            desk.save(item.image, MASK, np.asarray(mask))
            seen.files[MASK] = item.mask
        except DataError as error:
            return seen._replace(error=error)
    return seen


def sum_up(
    groups: Sequence[Group], seen: Mapping[Path, Seen], methods: Sequence[str], dataset: str
) -> list[Scores]:
    """Return the scores of all pictures for each of `methods`, in the order of `Seen.scores`; none if no
    picture has any."""
    names = {item.image: (group.name, item.stem) for group in groups for item in group.items}
    scored = [(*names[i], seen[i].scores) for i in names if i in seen and seen[i].scores]
    how = {"convention": "toolbox", "dataset": dataset}
    return [
        summarise_groups([(name, stem, own[place]) for name, stem, own in scored], method=method, **how)
        for place, method in enumerate(methods if scored else ())
    ]
