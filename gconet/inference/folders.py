"""Run many groups through the network: write their maps as files, or return what GAM sees in them.

Under torchrun the groups are divided among the ranks.
"""

from collections import ChainMap, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
import torch.distributed as dist

from gconet.data.groups import Group, Item, leave_out
from gconet.data.images import load_image
from gconet.data.pictures import AHEAD, Load, Pictures, read_groups
from gconet.device import PATIENCE, launched_ranks, use_gpu
from gconet.errors import DataError
from gconet.files import save_picture
from gconet.inference.predictor import PART, Map, Model, Predictor
from gconet.machine import processors
from gconet.progress import progress

BACKLOG = 2**26  # bytes of maps that may wait to be written
Look: TypeAlias = Callable[[Item, Map], Any]


class Made(NamedTuple):
    """The maps of a folder of groups."""

    groups: list[Group]  # with their maps, without unreadable pictures
    presence: dict[Path, float]  # by picture
    seen: dict[Path, Any]  # by picture: what `look` returned
    errors: list[DataError]


def make_maps(
    groups: Sequence[Group],
    output: Path,
    *,
    checkpoint: str | Path,
    device: str,
    precision: str,
    strict: bool,
    memory: int | None = None,
    consensus: str = "group",
    references: Mapping[str, Model] | None = None,
    load: Load = load_image,
    look: Look | None = None,
) -> Made:
    """Load a network and `write_maps` of all groups; under torchrun, each rank its share.

    All ranks but the first get no groups and no errors: theirs are the first one's to report.
    """
    rank, world, local = launched_ranks()
    if world > 1:
        dist.init_process_group("gloo", timeout=PATIENCE)
        if device in ("auto", "cuda") and torch.cuda.is_available():
            use_gpu(local)
    predictor = Predictor.load(
        checkpoint, device=device, precision=precision, memory=memory, consensus=consensus
    )
    if world > 1:
        dist.barrier()  # no rank writes before all have checked the output folder
    own = sorted(groups, key=lambda group: -len(group.items))[rank::world]
    run = partial(write_maps, predictor, own, output, references, strict=strict, shown=rank == 0)
    of_ranks = [run(load=load, look=look)] * world
    if world > 1:
        dist.all_gather_object(of_ranks, of_ranks[rank])
        dist.destroy_process_group()
    if rank != 0:
        return Made([], {}, {}, [])
    presence, skipped, seen = (dict(ChainMap(*parts)) for parts in zip(*of_ranks, strict=True))
    made = [replace(g, items=tuple(with_map(i, g.name, output) for i in g.items)) for g in groups]
    return Made(leave_out(made, skipped), presence, seen, list(skipped.values()))


def with_map(item: Item, group: str, output: Path) -> Item:
    """Return `item` with the file of its map in `output`."""
    return replace(item, map=output / group / f"{item.stem}.png")


def write_maps(
    predictor: Predictor,
    groups: Sequence[Group],
    output: Path,
    references: Mapping[str, Model] | None = None,
    *,
    strict: bool = True,
    shown: bool = True,
    load: Load = load_image,
    look: Look | None = None,
) -> tuple[dict[Path, float], dict[Path, DataError], dict[Path, Any]]:
    """Write the maps of all groups as <output>/<group>/<stem>.png, in threads that run alongside the network.

    Returns the presence of every picture (see `Predictor.predict`), the errors of unreadable pictures, which
    get no map, and what `look` returned for each item and its map, which it gets in these threads; if
    `strict`, raises the first such DataError. `shown`: report progress. `references`: by the group's name,
    for `Predictor.predict`; then a few pictures are in memory at a time. `load`: see `read_groups`.
    """
    made = {id(model): predictor.recall(model) for model in (references or {}).values()}  # shared ones once
    if references:
        groups = [Group(g.name, g.items[i : i + PART]) for g in groups for i in range(0, len(g.items), PART)]
    presence: dict[Path, float] = {}
    skipped: dict[Path, DataError] = {}
    seen: dict[Path, Any] = {}
    waiting: deque[tuple[Future[None], int]] = deque()

    def finish(item: Item, m: Map) -> None:
        assert item.map is not None
        save_picture(item.map, m)
        if look:
            seen[item.image] = look(item, m)

    files = [[item.image for item in group.items] for group in groups]
    predictor.check(max(map(len, files), default=0))
    ahead = 2 * PART if references else AHEAD
    read = read_groups(files, predictor.size, skipped=None if strict else skipped, ahead=ahead, load=load)
    with (
        ThreadPoolExecutor(min(8, processors())) as pool,
        progress(None, "maps", sum(map(len, files)), unit="image", hidden=not shown) as bar,
    ):
        for group, pictures in zip(groups, read, strict=True):
            items = [item for item in group.items if item.image not in skipped]
            left = iter([with_map(item, group.name, output) for item in items])
            bar.update(len(group.items) - len(items))
            if not items:
                continue

            def save(m: Map, left: Iterator[Item] = left) -> None:
                waiting.append((pool.submit(finish, next(left), m), m.nbytes))
                while sum(size for _, size in waiting) > BACKLOG:
                    waiting.popleft()[0].result()
                bar.update()

            reference = made[id(references[group.name])] if references else None
            found = predictor.predict(pictures, save, reference=reference).tolist()
            presence |= zip([item.image for item in items], found, strict=True)
        for future, _ in waiting:
            future.result()
    return presence, skipped, seen


def look_inside(
    look: Callable[[Predictor, Pictures], np.ndarray],
    groups: Sequence[Group],
    *,
    checkpoint: str | Path,
    device: str,
    precision: str,
    strict: bool,
    load: Load = load_image,
) -> tuple[list[Group], list[np.ndarray], list[DataError]]:
    """Apply `look`, which is `Predictor.attention` or `Predictor.consensus`, to each group.

    Returns the groups without unreadable pictures, their results, and the errors. Raises the first error if
    `strict`, or if no group is left. `load`: see `read_groups`.
    """
    predictor = Predictor.load(checkpoint, device=device, precision=precision)
    skipped: dict[Path, DataError] = {}
    files = [[item.image for item in group.items] for group in groups]
    predictor.check(max(map(len, files), default=0))
    read = read_groups(files, predictor.size, skipped=None if strict else skipped, load=load)
    bar = progress(read, desc="groups", total=len(groups), unit="group")
    seen = [look(predictor, pictures) for pictures in bar if pictures.sizes]
    if not seen:
        raise next(iter(skipped.values()))
    return leave_out(groups, skipped), seen, list(skipped.values())
