"""Scores a folder of saved maps against a folder of masks."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from PIL import Image

from gconet.data.groups import list_groups, pair_folders
from gconet.data.images import check_size, load_map, load_mask
from gconet.data.names import name_some
from gconet.errors import DataError, note
from gconet.evaluation.metrics import MapScore, score_map
from gconet.evaluation.scores import Scores, summarise_groups
from gconet.progress import progress

Pair: TypeAlias = tuple[Path, Path, Path | None]  # a map, its mask and, if given, its distractor mask
MAPS_PER_WORKER = 64  # at least; scoring fewer takes less time than starting a process


def score_folders(
    maps: Path,
    gts: Path,
    *,
    distractors: Path | None = None,
    convention: str = "toolbox",
    workers: int = 0,
    method: str = "",
    dataset: str = "",
) -> Scores:
    """Score the maps under `maps` against the masks under `gts`: one group, or folders of groups.

    Maps and masks pair by group and stem; a single group on both sides pairs whatever its name. A map is
    resized to its mask's size. `workers` processes share the work; with 0 or 1 this process does it.
    `method` and `dataset` name the scores, by default after the two folders. `distractors` holds a mask of
    the other objects for every mask, for the figures of `measure_response`.

    Raises DataError that names maps without a mask, masks without a map, or the first unreadable file.
    """
    mask_files, map_files = list_groups(gts), list_groups(maps)
    if len(mask_files) == len(map_files) == 1:  # then the groups' names do not matter
        map_files = dict(zip(mask_files, map_files.values(), strict=True))
    masks, found = (
        {(group, stem): path for group, files in side.items() for stem, path in files.items()}
        for side in (mask_files, map_files)
    )
    others = pair_folders(mask_files, distractors, "distractor mask") if distractors else {}
    lacks = (masks.keys() - found, f"map in {maps}"), (found.keys() - masks, f"mask in {gts}")
    if lacking := [f"{len(n)} without a {w}: {name_some(sorted(map('/'.join, n)))}" for n, w in lacks if n]:
        raise DataError(f"{'; '.join(lacking)}; each needs the other, of its group and stem")
    results = measure([(found[name], masks[name], others.get(name)) for name in masks], convention, workers)
    results = progress(results, f"score {maps}", len(masks), unit="map")
    scored = [(*name, score) for name, score in zip(masks, results, strict=True)]
    method, dataset = method or maps.resolve().name, dataset or gts.resolve().name
    return summarise_groups(scored, convention=convention, method=method, dataset=dataset)


def measure(pairs: list[Pair], convention: str, workers: int) -> Iterator[MapScore]:
    """Yield the score of each pair, in order; raises DataError if a map or a mask cannot be used."""
    workers = min(workers, len(pairs) // MAPS_PER_WORKER)
    apply, score, done = cast(Any, map), partial(score_pair, convention=convention), 0
    with ExitStack() as stack:
        if workers > 1:
            # "spawn": a forked copy of a process that already runs threads or a GPU can hang
            context = multiprocessing.get_context("spawn")
            with suppress(OSError, ImportError):  # no semaphores: /dev/shm is full, missing or read-only
                pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=context))
                apply = partial(pool.map, chunksize=16)
        try:
            for result in apply(score, pairs):
                yield result
                done += 1
        except BrokenProcessPool:
            why = "a script without `if __name__ == '__main__':`, or too little memory"
            note(f"the scoring processes died ({why}); this process scores the rest")
            yield from map(score, pairs[done:])


def score_pair(pair: Pair, *, convention: str) -> MapScore:
    """Return the score of a map file."""
    map_, gt, distractors = pair
    mask = load_mask(gt)
    return score_picture(load_map(map_), map_, mask, gt, distractors, convention=convention)


def score_picture(
    picture: Image.Image,
    map_: Path,
    mask: Image.Image,
    gt: Path,
    distractors: Path | None,
    *,
    convention: str = "toolbox",
) -> MapScore:
    """Return the score of a map, which `map_` names, by the `mask` read from `gt`. Raises DataError if the
    distractor mask cannot be read, or if one of the three does not fit."""
    others = None
    if distractors:
        others = load_mask(distractors)
        check_size(distractors, others.size, gt, mask.size)
    if picture.size == mask.size[::-1] != mask.size:
        sizes = "{}x{} but {} {}x{}".format(*picture.size, gt, *mask.size)
        raise DataError(f"{map_} is {sizes}: one of them is rotated; save both upright")
    if picture.size != mask.size:  # on 8-bit levels and antialiased, as in the toolbox
        picture = picture.resize(mask.size, Image.Resampling.BILINEAR)
    levels, truth = np.asarray(picture), np.asarray(mask)
    return score_map(levels, truth, convention, distractors_u8=np.asarray(others) if others else None)
