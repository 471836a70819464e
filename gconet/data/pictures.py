"""The door for pictures: files, PIL pictures and arrays are read and checked here, once."""

import os
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gconet.data.groups import list_groups
from gconet.data.images import load_image, to_rgb
from gconet.data.transforms import resize_image
from gconet.errors import DataError

Picture: TypeAlias = str | Path | Image.Image | np.ndarray
Loading: TypeAlias = deque[tuple[Picture, Future[tuple[Tensor, tuple[int, int]]]]]
_decoding = threading.Lock()  # PIL pictures decode when they are first used, which threads may do at once


@dataclass(frozen=True)
class Pictures:
    """One group of N pictures as the network sees them; all of them are good."""

    pixels: Tensor  # (N,3,S,S) uint8, RGB
    sizes: Sequence[tuple[int, int]]  # (H,W), each picture's own
    names: Sequence[str]  # a file's stem, or its whole name if two share a stem; in memory "0", "1", …


def list_pictures(source: str | Path | Picture | Sequence[Picture]) -> Sequence[Picture]:
    """The pictures of one group: in a folder, sorted by name; one picture; or a list of them.

    An array of pictures is (N,H,W,3). Raises DataError for a folder that is not one group.
    """
    if isinstance(source, Image.Image) or (isinstance(source, np.ndarray) and source.ndim < 4):
        return [source]
    if isinstance(source, np.ndarray):
        return list(source)
    if not isinstance(source, str | Path):
        return source
    if not Path(source).exists():
        raise DataError(f"{source}: no such file or folder")
    if not Path(source).is_dir():
        return [source]
    groups = list_groups(Path(source), twins=True)
    if len(groups) > 1:
        raise DataError(f"{source} holds {len(groups)} groups; give the folder of one")
    return list(next(iter(groups.values())).values())


def read_group(
    pictures: Sequence[Picture], size: int, *, skipped: dict[Path, DataError] | None = None
) -> Pictures:
    """Read one group and resize its pictures to `size` × `size`.

    A picture is a file, a PIL picture, or an array (H,W,3) or (H,W) uint8. Raises DataError for the
    first one that cannot be used; with `skipped`, such files are put there instead and left out.
    """
    [group] = read_groups([pictures], size, skipped=skipped)
    return group


def read_groups(
    groups: Sequence[Sequence[Picture]], size: int, *, skipped: dict[Path, DataError] | None = None
) -> Iterator[Pictures]:
    """`read_group` of one group after the other; the next group's files are read meanwhile."""
    pool = ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 2))

    def start(pictures: Sequence[Picture]) -> Loading:
        return deque((picture, pool.submit(_read, picture, size)) for picture in pictures)

    try:
        ahead = start(groups[0]) if groups else deque()
        for following in (*groups[1:], ())[: len(groups)]:
            loading, ahead = ahead, start(following)
            yield _collect(loading, size, skipped)
    finally:
        pool.shutdown(cancel_futures=True)


def _read(picture: Picture, size: int) -> tuple[Tensor, tuple[int, int]]:
    if isinstance(picture, str | Path):
        image = load_image(Path(picture))
    else:
        with _decoding:
            image = to_rgb(picture)
    return resize_image(image, size), (image.height, image.width)


def _collect(loading: Loading, size: int, skipped: dict[Path, DataError] | None) -> Pictures:
    """The group that is being loaded; `loading` is used up, so that no picture is held twice."""
    pixels = torch.empty(len(loading), 3, size, size, dtype=torch.uint8)
    sizes: list[tuple[int, int]] = []
    names: list[str] = []
    for place in range(len(loading)):
        picture, future = loading.popleft()
        try:
            image, own = future.result()
        except DataError as error:
            if isinstance(picture, str | Path):
                if skipped is None:
                    raise
                skipped[Path(picture)] = error
                continue
            raise DataError(f"picture {place}: {error}") from None
        pixels[len(sizes)] = image
        sizes.append(own)
        names.append(Path(picture).name if isinstance(picture, str | Path) else str(place))
    stems = [Path(name).stem for name in names]
    shared = Counter(stems)
    names = [stem if shared[stem] == 1 else name for stem, name in zip(stems, names, strict=True)]
    return Pictures(pixels[: len(sizes)], sizes, names)
