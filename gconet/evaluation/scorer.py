"""Scores a folder of saved maps against a folder of masks."""

import multiprocessing
from collections.abc import Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from gconet.data.groups import list_groups, pair_folders
from gconet.data.images import load_map, load_mask
from gconet.data.names import name_some
from gconet.errors import DataError
from gconet.evaluation.distractors import measure_response
from gconet.evaluation.metrics import MapScore, check_convention, score_map
from gconet.evaluation.scores import Scores, summarise_groups
from gconet.progress import progress as report

Pair: TypeAlias = tuple[Path, Path, Path | None]  # a map, its mask and, if given, that of the distractors
MAPS_PER_WORKER = 64  # at least; scoring fewer takes less time than starting a process


def score_folders(
    maps: Path,
    gts: Path,
    *,
    distractors: Path | None = None,
    convention: str = "toolbox",
    workers: int = 0,
    allow_missing: bool = False,
    progress: bool = True,
    method: str = "",
    dataset: str = "",
    groups: Collection[str] | None = None,
) -> Scores:
    """Score the maps under `maps` against the masks under `gts`: one group, or folders of groups.

    Maps and masks pair by group and stem, whatever the suffix; a single group on both sides pairs whatever
    its name. A map of another size is resized to
    its mask's. `workers` processes share the work, with 0 or 1 this one does it; the scores do
    not depend on it. `method` and `dataset` name the scores, by default after the two folders.
    `distractors` holds, for every mask under `gts`, one of the image's other objects, of the same size;
    with them the scores have the figures of `gconet.evaluation.distractors` too. `groups`: the only
    groups of `maps` that count, by default all.

    Raises DataError that names the missing, extra or unreadable files; with `allow_missing` the rest
    is scored, and the scores list what was left out. A missing mask of distractors is always an error.
    """
    check_convention(convention)
    mask_files, map_files = list_groups(gts), list_groups(maps, allow_empty=True)
    if groups is not None:
        map_files = {name: files for name, files in map_files.items() if name in groups}
    if len(mask_files) == len(map_files) == 1:  # then the groups' names do not matter
        map_files = dict(zip(mask_files, map_files.values(), strict=True))
    masks, found = (
        {(group, stem): path for group, files in side.items() for stem, path in files.items()}
        for side in (mask_files, map_files)
    )
    others = pair_folders(mask_files, distractors, "distractor mask") if distractors else {}
    pairs = {name: (found[name], masks[name], others.get(name)) for name in masks if name in found}
    missing = ["/".join(name) for name in masks if name not in found]
    extra = ["/".join(name) for name in found if name not in masks]
    if (missing or extra) and not allow_missing:
        faults = []
        if missing:
            faults.append(f"{len(missing)} without a map in {maps}: {name_some(missing)}")
        if extra:
            faults.append(f"{len(extra)} without a mask in {gts}: {name_some(extra)}")
        raise DataError(f"{'; '.join(faults)}; fix that, or score the rest with --allow-missing")

    measured: dict[str, dict[str, MapScore]] = {}
    broken: dict[str, str] = {}
    results = measure(list(pairs.values()), convention, workers)
    results = report(results, f"score {maps}", len(pairs), unit="map", hidden=not progress)
    for (group, stem), result in zip(pairs, results, strict=True):
        if isinstance(result, DataError):
            broken[f"{group}/{stem}"] = str(result)
        else:
            measured.setdefault(group, {})[stem] = result
    why = f"; the first: {next(iter(broken.values()))}" if broken else ""
    if broken and not allow_missing:
        raise DataError(f"{len(broken)} cannot be scored: {name_some(list(broken))}{why}")
    if not measured:
        raise DataError(
            f"no readable map in {maps} has a readable mask in {gts}; both need the same groups and "
            f"stems{why}"
        )
    return summarise_groups(
        measured,
        convention=convention,
        method=method or maps.resolve().name,
        dataset=dataset or gts.resolve().name,
        missing=tuple(sorted([*missing, *broken])),
        unreadable=tuple(broken.values()),
        extra=tuple(extra),
    )


def measure(pairs: list[Pair], convention: str, workers: int) -> Iterator[MapScore | DataError]:
    """The score of each pair, in their order, or why it has none."""
    work = partial(attempt, convention=convention)
    workers = min(workers, len(pairs) // MAPS_PER_WORKER)
    if workers <= 1:
        yield from map(work, pairs)
        return
    # "spawn": a forked copy of a process that already runs threads or a GPU can hang
    context = multiprocessing.get_context("spawn")
    try:
        pool = ProcessPoolExecutor(workers, mp_context=context)
    except (OSError, ImportError):  # no semaphores: /dev/shm is full, missing or read-only
        yield from map(work, pairs)
        return
    try:
        with pool:
            yield from pool.map(work, pairs, chunksize=16)
    except BrokenProcessPool:
        raise DataError("a scoring process died, often for lack of memory; try --workers 1") from None


def attempt(pair: Pair, *, convention: str) -> MapScore | DataError:
    """`score_pair` for another process: what it returns or raises."""
    try:
        return score_pair(*pair, convention)
    except DataError as error:
        return error


def score_pair(map_: Path, gt: Path, distractors: Path | None, convention: str) -> MapScore:
    """The score of a map file; raises DataError if it or one of its masks cannot be used."""
    mask, picture = load_mask(gt), load_map(map_)
    others = load_mask(distractors) if distractors else None
    size = f"{gt} {mask.width}x{mask.height}"
    if others and others.size != mask.size:
        raise DataError(
            f"{distractors} is {others.width}x{others.height} but {size}; give masks of the same picture"
        )
    if picture.size == mask.size[::-1] != mask.size:
        raise DataError(
            f"{map_} is {picture.width}x{picture.height} but {size}: "
            "one of them lies on its side; save both upright"
        )
    if picture.size != mask.size:  # on 8-bit levels and antialiased, as in the toolbox
        picture = picture.resize(mask.size, Image.Resampling.BILINEAR)
    levels, truth = np.asarray(picture), np.asarray(mask)
    response = measure_response(levels, truth, np.asarray(others)) if others else None
    return replace(score_map(levels, truth, convention), response=response)
