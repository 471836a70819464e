"""Shared by the applications: a job for every picture and its map, unusable ones left out and named."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gconet.applications.figures import RGB
from gconet.applications.outputs import check_masks, check_output
from gconet.applications.page import Entry
from gconet.data.groups import SUFFIXES, Group, Item, list_others, scan_groups
from gconet.data.images import load_map, load_with_mask
from gconet.data.names import name_some
from gconet.errors import DataError, counted, one_line
from gconet.progress import progress

CALLED = {  # kinds of results → what the page calls one
    "masks": "mask", "cutouts": "cut-out", "backgrounds": "new background", "crops": "thumbnail",
    "explained": "explained", "overlay": "overlay",
}  # fmt: skip
LONGEST = 65500  # pixels of a picture's side, in the JPEG files that are written
MOST = 20  # skipped files that are named one by one

Input = TypeVar("Input")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Job:
    """One picture and its result files, by kind."""

    group: str
    item: Item
    files: Mapping[str, Path]


def add_options(parser: argparse.ArgumentParser, *, gts: str, maps: str | None = None) -> None:
    """The options that `plan_jobs` reads, and --page; `gts` says what masks are used for.

    `maps`: what happens without --maps; None: it is required, and so is --images.
    """
    add, required = parser.add_argument, maps is None
    add("--images", type=Path, required=required, metavar="DIR", help="one group, or a folder of groups")
    given = "their maps, in the same tree" + (f" ({maps})" if maps else "")
    add("--maps", type=Path, required=required, metavar="DIR", help=given)
    add("--output", type=Path, required=True, metavar="DIR", help="where the results go")
    add("--gts", type=Path, metavar="DIR", help=f"masks in the same tree: {gts}")
    add("--page", action=argparse.BooleanOptionalAction, default=True, help="index.html (default: yes)")
    add("--strict", action="store_true", help="stop at the first file that cannot be used (default: skip it)")
    add("--overwrite", action="store_true", help="replace files of the same names")


def plan_jobs(args: argparse.Namespace, kinds: Mapping[str, str]) -> list[Job]:
    """A job for every picture, once all is checked and the folders made; `kinds`: kind → suffix.

    Results go to <output>/<kind>/<group>/<stem>.<suffix>. Raises ConfigError and DataError.
    """
    groups = scan_groups(args.images, args.gts, args.maps)
    sources = {"--images": args.images, "--maps": args.maps, "--gts": args.gts}
    check_output(args.output, sources, overwrite=args.overwrite, page=args.page)
    if args.gts:
        check_masks(args.gts, groups)
    return make_jobs(groups, args.output, kinds)


def make_jobs(groups: Sequence[Group], output: Path, kinds: Mapping[str, str]) -> list[Job]:
    """A job for every picture of `groups`, whose items have maps; makes the folders."""
    jobs = []
    for group in groups:
        for kind in kinds:
            (output / kind / group.name).mkdir(parents=True, exist_ok=True)
        for item in group.items:
            files = {k: output / k / group.name / f"{item.stem}.{end}" for k, end in kinds.items()}
            jobs.append(Job(group.name, item, files))
    return jobs


def load_pair(item: Item) -> tuple[RGB, npt.NDArray[np.uint8]]:
    """A picture (H,W,3) RGB and its map (H,W), both uint8.

    Raises DataError if there is no map, if one cannot be read, or if they differ in size.
    """
    if item.map is None:
        raise DataError(f"{item.image} has no map; make one with test.py, or fix what stopped it")
    picture, m = load_with_mask(item.image, item.map, load_map)
    return np.asarray(picture), np.asarray(m)


def check_sides(path: Path, picture: RGB) -> None:
    """Raise DataError if `picture` (H,W,3), read from `path`, is too long for a JPEG file."""
    if max(picture.shape) > LONGEST:
        raise DataError(f"{path}: a side is above the {LONGEST} pixels that a JPEG file can have; shrink it")


def run_jobs(
    work: Callable[[Input], Result], inputs: Sequence[Input], *, desc: str, strict: bool
) -> tuple[list[tuple[Input, Result]], list[DataError]]:
    """`work` of each input, in their order, by a thread for each processor, with a progress bar.

    Returns the inputs with their results, and the errors of inputs that cannot be used; if `strict`,
    the first error is raised.
    """

    def attempt(one: Input) -> tuple[list[tuple[Input, Result]], list[DataError]]:
        try:
            return [(one, work(one))], []
        except DataError as error:
            if strict:
                raise
            return [], [error]

    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        outcomes = list(progress(pool.map(attempt, inputs), desc, len(inputs), unit="image"))
        done, errors = zip(*outcomes, strict=True) if outcomes else ((), ())
        return list(chain(*done)), list(chain(*errors))
    finally:
        pool.shutdown(cancel_futures=True)


def report_skipped(images: Path | Sequence[Path], errors: Sequence[DataError]) -> int:
    """Say on stderr which pictures, maps or masks were left out, and why; returns the exit status.

    It is 1 if pictures, maps or masks could not be used, each with its error; files that are not
    pictures by their suffix are only named.
    """
    folders = [images] if isinstance(images, Path) else [path for path in images if path.is_dir()]
    if others := [path.relative_to(folder) for folder in folders for path in list_others(folder)]:
        names = one_line(name_some([str(path) for path in others]))
        known = ", ".join(SUFFIXES)
        print(
            f"note: {counted(len(others), 'file')} of another suffix: {names}; readable are {known}",
            file=sys.stderr,
        )
    for error in errors[:MOST]:
        print(f"skipped: {one_line(error)}", file=sys.stderr)
    if errors:
        more = f", {len(errors) - MOST} of them not named here" if len(errors) > MOST else ""
        print(
            f"error: {counted(len(errors), 'file')} skipped{more}; fix or remove such files", file=sys.stderr
        )
    return 1 if errors else 0


def make_entries(
    jobs: Iterable[Job],
    kind: str,
    panels: Callable[[Job], Sequence[RGB]],
    scores: Mapping[tuple[str, str], float] | None = None,
    doubts: Mapping[Path, Sequence[str]] | None = None,
) -> dict[str, list[Entry]]:
    """The jobs for `write_page`: the result of that `kind` is what one chooses; `doubts` by picture."""
    entries: dict[str, list[Entry]] = {}
    for job in jobs:
        score = (scores or {}).get((job.group, job.item.stem))
        files = {
            "original": job.item.image,
            "map": job.item.map,
            **{CALLED.get(k, k): p for k, p in job.files.items()},
        }
        files["ground truth"] = None if score is None else job.item.mask
        known = {what: path for what, path in files.items() if path}
        own = (doubts or {}).get(job.item.image, ())
        entry = Entry(job.item.stem, partial(panels, job), job.files[kind], score, own, known)
        entries.setdefault(job.group, []).append(entry)
    return entries
