"""From groups of pictures to co-saliency maps at their own sizes, in bounded memory.

A group goes through the network in small batches, twice: once for its consensus, which needs all of
its images, and once for the maps. What the first pass computed is kept as far as memory allows.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from gconet.data.groups import Group
from gconet.data.images import load_image
from gconet.data.transforms import resize_image
from gconet.device import autocast, pick_memory_format
from gconet.errors import DataError
from gconet.memory import Plan, plan_group
from gconet.models import GCoNet
from gconet.models.decoder import upsample

BACKLOG = 2**26  # bytes of maps that may wait to be written
Loading = deque[Future[tuple[Tensor, tuple[int, int]]]]  # pixels (3,S,S) uint8 and own (H,W)


def prepare(model: GCoNet, device: torch.device, precision: torch.dtype) -> GCoNet:
    """`model` itself, ready for fast inference: on `device`, laid out for it, convolutions in `precision`.

    The maps are those of the unprepared model under the same precision; training needs another copy.
    """
    memory_format = pick_memory_format(device, precision, training=False)
    model = model.eval().to(device).to(memory_format=memory_format)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.to(precision)
    return model


def predict_group(
    model: GCoNet,
    images: Sequence[Path],
    *,
    size: int = 224,
    precision: torch.dtype = torch.float32,
    memory: int | None = None,
) -> Iterator[np.ndarray]:
    """Co-saliency maps of one whole group, in order: (H,W) uint8 at each picture's own size.

    Value = floor(255 · m), as the authors save them. Every picture is resized to `size` × `size` for
    the network; all of them are seen at once, however many they are. `memory`: bytes that the group
    may take beyond the network, see `plan_group`. Raises DataError for a picture that cannot be read
    and ConfigError where `memory` is too little. Computes on the model's own device.
    """
    for maps in predict_groups(model, [images], size=size, precision=precision, memory=memory):
        for m in maps:
            assert not isinstance(m, DataError)  # strict
            yield m


def predict_groups(
    model: GCoNet,
    groups: Sequence[Sequence[Path]],
    *,
    size: int = 224,
    precision: torch.dtype = torch.float32,
    memory: int | None = None,
    strict: bool = True,
) -> Iterator[Iterator[np.ndarray | DataError]]:
    """`predict_group` of one group after the other; the next group's files are read meanwhile.

    Not `strict`, a picture that cannot be read gives its DataError in place of a map, and its group's
    other maps are those of the group without it.
    """
    pool = ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 2))
    try:
        ahead: Loading = deque()
        for images, following in zip_longest(groups, groups[1:], fillvalue=()):
            loading = ahead or deque(pool.submit(_load, path, size) for path in images)
            ahead = deque(pool.submit(_load, path, size) for path in following)
            plan = plan_group(len(images), size, device=model.mean.device, precision=precision, memory=memory)
            yield _predict(model, loading, plan, precision, strict)
    finally:
        pool.shutdown(cancel_futures=True)


def dump_maps(
    model: GCoNet,
    groups: Sequence[Group],
    output: Path,
    *,
    size: int = 224,
    precision: torch.dtype = torch.float32,
    memory: int | None = None,
    strict: bool = True,
    progress: bool = True,
) -> dict[Path, DataError]:
    """Write the maps of all groups as <output>/<group>/<stem>.png, in threads beside the network.

    Maps of the same names are replaced. Returns the pictures that could not be read and so have no
    map, empty if `strict`. Otherwise as `predict_groups`; `progress` shows a bar on a terminal.
    """
    files = [[item.image for item in group.items] for group in groups]
    predicted = predict_groups(model, files, size=size, precision=precision, memory=memory, strict=strict)
    skipped: dict[Path, DataError] = {}
    waiting: deque[tuple[Future[None], int]] = deque()
    total, hidden = sum(map(len, files)), None if progress else True
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        tqdm(total=total, desc="maps", unit="image", disable=hidden) as bar,
    ):
        for group, maps in zip(groups, predicted, strict=True):
            folder = output / group.name
            for item, m in zip(group.items, maps, strict=True):
                if isinstance(m, DataError):
                    skipped[item.image] = m
                    bar.update()
                    continue
                folder.mkdir(parents=True, exist_ok=True)
                waiting.append((pool.submit(Image.fromarray(m).save, folder / f"{item.stem}.png"), m.nbytes))
                while sum(size for _, size in waiting) > BACKLOG:
                    waiting.popleft()[0].result()
                bar.update()
        for future, _ in waiting:
            future.result()
    return skipped


def load_images(paths: Sequence[Path], size: int, device: torch.device, precision: torch.dtype) -> Tensor:
    """Pictures → images (n,3,size,size) in [0,1] on `device`, laid out for a network of `precision`.

    Raises DataError for an unreadable one.
    """
    return _images(torch.stack([_load(path, size)[0] for path in paths]), device, precision)


def _load(path: Path, size: int) -> tuple[Tensor, tuple[int, int]]:
    image = load_image(path)
    return resize_image(image, size), (image.height, image.width)


def _predict(
    model: GCoNet, loading: Loading, plan: Plan, precision: torch.dtype, strict: bool
) -> Iterator[np.ndarray | DataError]:
    """The two passes over one group; `loading` is used up."""
    device, missing = model.mean.device, 4 - plan.kept  # laterals of stages 1 to `missing` come later
    batches: list[Tensor] = []
    sizes: list[list[tuple[int, int]]] = []
    kept, deepest = [], []
    outcomes: list[DataError | None] = []  # of every picture
    with torch.inference_mode(), autocast(device, precision):
        while loading:
            loaded: list[tuple[Tensor, tuple[int, int]]] = []
            while loading and len(loaded) < plan.batch:
                try:
                    loaded.append(loading.popleft().result())
                    outcomes.append(None)
                except DataError as error:
                    if strict:
                        raise
                    outcomes.append(error)
            if not loaded:
                break
            sizes.append([own for _, own in loaded])
            pixels = torch.stack([image for image, _ in loaded])
            batches.append(pixels if missing else pixels[:0])
            *stages, features = model.encode(_images(pixels, device, precision))
            kept.append(model.laterals(stages[missing:], missing + 1))
            deepest.append(features)
            del stages, loaded
        vector = model.consensus(torch.cat(deepest), plan.block).vector if deepest else torch.empty(0)

    def maps() -> Iterator[np.ndarray]:
        for pixels, own, laterals, features in zip(batches, sizes, kept, deepest, strict=True):
            with torch.inference_mode(), autocast(device, precision):
                if missing:
                    laterals[:0] = model.laterals(model.encode(_images(pixels, device, precision), missing))
                grey = [
                    (upsample(m[None], s)[0, 0] * 255).to(torch.uint8)
                    for m, s in zip(model.decode(laterals, features, vector), own, strict=True)
                ]
                laterals.clear()
            for m in grey:  # outside of all contexts, which would otherwise leak to the caller
                yield m.cpu().numpy()

    readable = maps()
    for outcome in outcomes:
        yield outcome or next(readable)


def _images(pixels: Tensor, device: torch.device, precision: torch.dtype) -> Tensor:
    """Pixels (n,3,S,S) uint8 → images in [0,1] on the device, laid out for a network of `precision`."""
    if device.type == "cuda":
        pixels = pixels.pin_memory()
    memory_format = pick_memory_format(device, precision, training=False)
    return pixels.to(device, non_blocking=True).float().div(255).contiguous(memory_format=memory_format)
