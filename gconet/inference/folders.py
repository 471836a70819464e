"""Run many groups through the network and write their maps as files."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gconet.data.groups import Group, Item, leave_out
from gconet.data.images import load_image
from gconet.data.pictures import AHEAD, Load, read_groups
from gconet.errors import DataError
from gconet.files import save_picture
from gconet.inference.predictor import PART, Predictor
from gconet.inference.presence import Floats, Map, presence_of
from gconet.inference.reference import References
from gconet.machine import processors
from gconet.progress import progress

BACKLOG = 2**26  # bytes of maps that may wait to be written
Look: TypeAlias = Callable[[Item, Map], Any]


class Made(NamedTuple):
    """The maps of a folder of groups."""

    groups: list[Group]  # with their maps, without unreadable pictures
    presence: dict[Path, float]  # by picture, see `Predictor.predict`
    seen: dict[Path, Any]  # by picture: what `look` returned
    errors: list[DataError]  # of unreadable pictures


def write_maps(
    predictor: Predictor,
    groups: Sequence[Group],
    output: Path,
    references: References | None = None,
    *,
    strict: bool = True,
    load: Load = load_image,
    look: Look | None = None,
) -> Made:
    """Write the maps of all groups as <output>/<group>/<stem>.png, in threads that run alongside the network.

    `references`: by the group's name, for `Predictor.recall`; then only a few pictures are in memory at once.
    An unreadable picture gets no map; if `strict`, its DataError is raised. `load`: see `read_groups`.
    `look` is called in these threads with each item and its map.
    """
    recall = cache(predictor.recall)  # once, even if several groups share it
    known = {name: recall(model) for name, model in references.items()} if references else {}
    places = [tuple(replace(i, map=output / g.name / f"{i.stem}.png") for i in g.items) for g in groups]
    placed = [Group(group.name, items) for group, items in zip(groups, places, strict=True)]
    most = PART if known else max([1, *map(len, places)])
    parts = [Group(g.name, g.items[i : i + most]) for g in placed for i in range(0, len(g.items), most)]
    files = [[item.image for item in part.items] for part in parts]
    predictor.check(max(map(len, files), default=0))
    found: dict[str, Floats] = {}  # presence, by the group's name
    vectors: dict[str, list[Floats]] = {}  # with references: of each part, by the group's name
    skipped: dict[Path, DataError] = {}
    seen: dict[Path, Any] = {}
    waiting: deque[tuple[Future[None], int]] = deque()

    def finish(item: Item, m: Map) -> None:
        assert item.map
        save_picture(item.map, m)
        if look:
            seen[item.image] = look(item, m)

    ahead, total = 2 * PART if known else AHEAD, sum(map(len, files))
    read = read_groups(files, predictor.size, skipped=None if strict else skipped, ahead=ahead, load=load)
    with ThreadPoolExecutor(min(8, processors())) as pool, progress(None, "maps", total, unit="image") as bar:
        for group, pictures in zip(parts, read, strict=True):
            items = [item for item in group.items if item.image not in skipped]
            bar.update(len(group.items) - len(items))
            left = iter(items)
            if not items:
                continue

            def save(m: Map, left: Iterator[Item] = left) -> None:
                waiting.append((pool.submit(finish, next(left), m), m.nbytes))
                while sum(size for _, size in waiting) > BACKLOG:
                    waiting.popleft()[0].result()
                if known:
                    bar.update()

            if known:
                vectors.setdefault(group.name, []).append(predictor.find(pictures, save, known[group.name]))
            else:
                found[group.name] = predictor.predict(pictures, save, tick=bar.update)
        for future, _ in waiting:
            future.result()
    for name, own in vectors.items():
        found[name] = presence_of(np.concatenate(own), known[name].appearance)
    done = leave_out(placed, skipped)
    images = [item.image for group in done for item in group.items]
    levels = [level for group in done for level in found[group.name].tolist()]
    return Made(done, dict(zip(images, levels, strict=True)), seen, list(skipped.values()))
