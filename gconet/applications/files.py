"""What goes in and where results go: checked before anything is computed, so that no file is lost."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from gconet.applications.page import check_page
from gconet.data.groups import SUFFIXES, Group, Item, list_groups, list_others, name_some
from gconet.data.images import load_image, load_mask
from gconet.errors import ConfigError, DataError, one_line

MOST = 20  # skipped pictures that are named one by one

Job = TypeVar("Job")
Result = TypeVar("Result")


def check_output(
    output: Path, sources: Mapping[str, Path | None], *, overwrite: bool = False, page: bool = True
) -> None:
    """Raise ConfigError where results in folder `output` would mix with inputs or replace files.

    `sources`: the folders that are read, by the names of their options. With `overwrite`, results
    may replace files of their own names. With `page`, also as `check_page`.
    """
    place = Path(os.path.realpath(output))  # unlike resolve(), not stopped by a loop of links
    if place.exists() and not place.is_dir():
        raise ConfigError(f"--output {output} is a file; name a folder")
    for option, folder in sources.items():
        if folder and place.is_relative_to(folder.resolve()):
            raise ConfigError(f"--output {output} lies in {option} {folder}; name another folder")
        if folder and folder.resolve().is_relative_to(place):
            raise ConfigError(f"{option} {folder} lies in --output {output}; name another folder")
    if page:
        check_page(place)
    if not overwrite and any(path.is_file() for path in place.rglob("*")):
        raise ConfigError(
            f"--output {output} holds files; name another folder, or pass --overwrite to replace those of "
            "the same names"
        )


def check_masks(gts: Path, groups: Sequence[Group]) -> None:
    """Raise ConfigError where `gts` holds masks of other images: their scores would lack maps."""
    masks, images = sum(map(len, list_groups(gts).values())), sum(len(group.items) for group in groups)
    if masks > images:
        raise ConfigError(f"--gts {gts} holds {masks} masks for {images} images; give just theirs")


def load_pair(item: Item) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A picture (H,W,3) RGB and its map (H,W), both uint8.

    Raises DataError where one cannot be read, or where they differ in size.
    """
    assert item.map is not None  # asked for
    picture, m = load_image(item.image), load_mask(item.map)
    if picture.size != m.size:
        raise DataError(
            f"{item.map} is {m.width}x{m.height} but {item.image} {picture.width}x{picture.height}; "
            "make the maps of these very pictures with test.py"
        )
    return np.asarray(picture), np.asarray(m)


def run_jobs(
    work: Callable[[Job], Result], jobs: Sequence[Job], *, desc: str, strict: bool
) -> list[Result | DataError]:
    """`work` of each job, in their order, by a thread for each processor.

    A DataError stands in the place of its result; if `strict`, the first one is raised.
    """

    def attempt(job: Job) -> Result | DataError:
        try:
            return work(job)
        except DataError as error:
            if strict:
                raise
            return error

    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        return list(tqdm(pool.map(attempt, jobs), desc=desc, total=len(jobs), unit="image", disable=None))
    finally:
        pool.shutdown(cancel_futures=True)


def report_skipped(images: Path, errors: Sequence[DataError]) -> int:
    """Say on stderr which files below `images` were left out, and why; returns the exit status.

    It is 1 where pictures could not be used, each with its error; files that are no pictures by
    their suffix are only named.
    """
    if others := list_others(images):
        names = one_line(name_some([str(path.relative_to(images)) for path in others]))
        known = ", ".join(SUFFIXES)
        print(f"note: {len(others)} files are no pictures: {names}; readable are {known}", file=sys.stderr)
    for error in errors[:MOST]:
        print(f"skipped: {one_line(error)}", file=sys.stderr)
    if errors:
        more = f", {len(errors) - MOST} of them not named here" if len(errors) > MOST else ""
        print(f"error: {len(errors)} pictures were skipped{more}; mend or remove them", file=sys.stderr)
    return 1 if errors else 0
