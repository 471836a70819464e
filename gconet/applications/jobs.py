"""Shared by the applications: a job for every picture and its map; unusable ones are skipped and named."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from gconet.applications.imaging import RGB, Grey
from gconet.data.groups import Group, Item
from gconet.data.images import load_map, load_with_mask
from gconet.errors import DataError
from gconet.evaluation import Scores, score_folders
from gconet.machine import processors
from gconet.progress import progress

LONGEST = 65500  # most pixels along a side of a JPEG file

Input = TypeVar("Input")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Job:
    """One picture and its result files, by kind."""

    group: str
    item: Item
    files: Mapping[str, Path]


def make_jobs(groups: Sequence[Group], output: Path, patterns: Mapping[str, str]) -> list[Job]:
    """Return a job for every picture of `groups`; creates the folders. `patterns`: like `outputs.MAPS`."""
    jobs = []
    for group in groups:
        for item in group.items:
            files = {k: output / p.format(group=group.name, stem=item.stem) for k, p in patterns.items()}
            jobs.append(Job(group.name, item, files))
    for folder in {path.parent for job in jobs for path in job.files.values()}:
        folder.mkdir(parents=True, exist_ok=True)
    return jobs


def load_pair(item: Item) -> tuple[RGB, Grey]:
    """A picture (H,W,3) RGB and its map (H,W), both uint8.

    Raises DataError if there is no map, if one cannot be read, or if they differ in size.
    """
    if item.map is None:
        raise DataError(f"{item.image} has no map; make one with test.py, or fix what stopped it")
    picture, m = load_with_mask(item.image, item.map, load_map)
    return np.asarray(picture), np.asarray(m)


def save_jpeg(path: Path, picture: RGB, source: Path, quality: int = 90) -> None:
    """Save `picture` (H,W,3), made from `source`; raises DataError if a side is too long for a JPEG file."""
    if max(picture.shape) > LONGEST:
        raise DataError(f"{source}: a side exceeds the {LONGEST} pixels of a JPEG file; shrink it")
    Image.fromarray(picture).save(path, quality=quality)


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


def score_results(
    results: Path, gts: Path | None, groups: Sequence[Group], distractors: Path | None = None
) -> tuple[Scores | None, list[DataError]]:
    """Score the maps or masks of `groups` in `results`; also return errors for those that cannot be scored.

    None without `gts`, or if nothing can be scored. Ignores other groups from an earlier run.
    """
    if not gts:
        return None, []
    names = [group.name for group in groups]
    try:
        scores = score_folders(results, gts, distractors=distractors, allow_missing=True, groups=names)
    except DataError as error:
        return None, [error]
    return scores, [DataError(reason) for reason in scores.unreadable]
