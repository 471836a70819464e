"""Run many groups through the network: write their maps as files, or return what GAM sees in them.

Under torchrun the groups are divided among the ranks.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image

from gconet.data.groups import Group, leave_out
from gconet.data.pictures import AHEAD, Pictures, read_groups
from gconet.device import PATIENCE, launched_ranks, use_gpu
from gconet.errors import DataError
from gconet.inference.predictor import PART, Map, Model, Predictor
from gconet.machine import processors
from gconet.progress import progress

BACKLOG = 2**26  # bytes of maps that may wait to be written


def make_maps(
    groups: Sequence[Group],
    output: Path,
    *,
    checkpoint: str | Path,
    device: str,
    precision: str,
    strict: bool,
    memory: int | None = None,
    references: Mapping[str, Model] | None = None,
) -> tuple[list[Group], dict[Path, float], list[DataError]]:
    """Load a network and `write_maps` of all groups; under torchrun, each rank its share.

    Returns the groups with their maps, without unreadable pictures; the presence of every picture; and the
    errors. All ranks but the first get no groups and no errors: theirs are the first one's to report.
    """
    rank, world, local = launched_ranks()
    if world > 1:
        dist.init_process_group("gloo", timeout=PATIENCE)
        if device in ("auto", "cuda") and torch.cuda.is_available():
            use_gpu(local)
    predictor = Predictor.load(checkpoint, device=device, precision=precision, memory=memory)
    if world > 1:
        dist.barrier()  # no rank writes before all have checked the output folder
    own = sorted(groups, key=lambda group: -len(group.items))[rank::world]
    of_ranks = [write_maps(predictor, own, output, references, strict=strict, shown=rank == 0)] * world
    if world > 1:
        dist.all_gather_object(of_ranks, of_ranks[rank])
        dist.destroy_process_group()
    if rank != 0:
        return [], {}, []
    presence = {path: value for part, _ in of_ranks for path, value in part.items()}
    skipped = {path: error for _, part in of_ranks for path, error in part.items()}
    made = [
        replace(g, items=tuple(replace(i, map=output / g.name / f"{i.stem}.png") for i in g.items))
        for g in leave_out(groups, skipped)
    ]
    return made, presence, list(skipped.values())


def write_maps(
    predictor: Predictor,
    groups: Sequence[Group],
    output: Path,
    references: Mapping[str, Model] | None = None,
    *,
    strict: bool = True,
    shown: bool = True,
) -> tuple[dict[Path, float], dict[Path, DataError]]:
    """Write the maps of all groups as <output>/<group>/<stem>.png, in threads that run alongside the network.

    Returns the presence of every picture (see `Predictor.predict`), and the errors of unreadable pictures,
    which get no map; if `strict`, raises the first such DataError. `shown`: report progress. `references`:
    by the group's name, for `Predictor.predict`; then a few pictures are in memory at a time.
    """
    made = {id(model): predictor.recall(model) for model in (references or {}).values()}  # shared ones once
    if references:
        groups = [Group(g.name, g.items[i : i + PART]) for g in groups for i in range(0, len(g.items), PART)]
    presence: dict[Path, float] = {}
    skipped: dict[Path, DataError] = {}
    waiting: deque[tuple[Future[None], int]] = deque()
    files = [[item.image for item in group.items] for group in groups]
    predictor.check(max(map(len, files), default=0))
    ahead = 2 * PART if references else AHEAD
    read = read_groups(files, predictor.size, skipped=None if strict else skipped, ahead=ahead)
    with (
        ThreadPoolExecutor(min(8, processors())) as pool,
        progress(None, "maps", sum(map(len, files)), unit="image", hidden=not shown) as bar,
    ):
        for group, pictures in zip(groups, read, strict=True):
            items = [item for item in group.items if item.image not in skipped]
            paths = iter([output / group.name / f"{item.stem}.png" for item in items])
            bar.update(len(group.items) - len(items))
            if not items:
                continue

            def save(m: Map, paths: Iterator[Path] = paths) -> None:
                path = next(paths)
                path.parent.mkdir(parents=True, exist_ok=True)  # not earlier: the group may not fit in memory
                waiting.append((pool.submit(Image.fromarray(m).save, path), m.nbytes))
                while sum(size for _, size in waiting) > BACKLOG:
                    waiting.popleft()[0].result()
                bar.update()

            reference = made[id(references[group.name])] if references else None
            found = predictor.predict(pictures, save, reference=reference).tolist()
            presence |= zip([item.image for item in items], found, strict=True)
        for future, _ in waiting:
            future.result()
    return presence, skipped


def look_inside(
    look: Callable[[Predictor, Pictures], np.ndarray],
    groups: Sequence[Group],
    *,
    checkpoint: str | Path,
    device: str,
    precision: str,
    strict: bool,
) -> tuple[list[Group], list[np.ndarray], list[DataError]]:
    """Apply `look`, which is `Predictor.attention` or `Predictor.consensus`, to each group.

    Returns the groups without unreadable pictures, their results, and the errors. Raises the first error if
    `strict`, or if no group is left.
    """
    predictor = Predictor.load(checkpoint, device=device, precision=precision)
    skipped: dict[Path, DataError] = {}
    files = [[item.image for item in group.items] for group in groups]
    predictor.check(max(map(len, files), default=0))
    read = read_groups(files, predictor.size, skipped=None if strict else skipped)
    bar = progress(read, desc="groups", total=len(groups), unit="group")
    seen = [look(predictor, pictures) for pictures in bar if pictures.sizes]
    if not seen:
        raise next(iter(skipped.values()))
    return leave_out(groups, skipped), seen, list(skipped.values())
