"""The entry point for pictures: files, PIL pictures and arrays are read and checked here, once."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gconet.data.ahead import lock, read_ahead
from gconet.data.groups import list_groups
from gconet.data.images import load_image, to_rgb
from gconet.data.transforms import resize_image
from gconet.device import settle_threads
from gconet.errors import DataError
from gconet.machine import processors

Picture: TypeAlias = str | Path | Image.Image | np.ndarray
Load: TypeAlias = Callable[[Path], Image.Image]
AHEAD = 512  # pictures to read before the network needs them


@dataclass(frozen=True)
class Pictures:
    """One group of N pictures as the network sees them, all of them valid."""

    pixels: Tensor  # (N,3,S,S) uint8, RGB
    sizes: Sequence[tuple[int, int]]  # (H,W) of each original picture


def list_pictures(source: Picture | Sequence[Picture]) -> Sequence[Picture]:
    """List the pictures of one group: those in a folder, sorted by name; one picture; a list, or an array
    (N,H,W,3). Raises DataError for a folder that is not one group."""
    if isinstance(source, str | Path) and Path(source).is_dir():
        files, *others = list_groups(Path(source), twins=True).values()
        if others:
            raise DataError(f"{source} holds {1 + len(others)} groups; give the folder of one")
        return list(files.values())
    if isinstance(source, str | Path | Image.Image) or not isinstance(source, Iterable):
        return [source]
    listed = [source] if isinstance(source, np.ndarray) and source.ndim < 4 else list(source)
    if not listed:
        raise DataError("no pictures; a group needs at least one")
    return listed


def name_pictures(pictures: Sequence[Picture]) -> list[str]:
    """A file's stem, or its full name if two share a stem; "0", "1", … for pictures in memory."""
    names = [Path(p).name if isinstance(p, str | Path) else str(i) for i, p in enumerate(pictures)]
    shared = Counter(Path(name).stem for name in names)
    return [name if shared[Path(name).stem] > 1 else Path(name).stem for name in names]


def read_groups(
    groups: Sequence[Sequence[Picture]],
    size: int,
    *,
    skipped: dict[Path, DataError] | None = None,
    ahead: int = AHEAD,
    load: Load = load_image,
) -> Iterator[Pictures]:
    """Yield the groups, with pictures resized to `size` × `size`; the next `ahead` are read meanwhile.

    A picture is a file, a PIL picture, or an array (H,W,3) or (H,W) uint8. Raises DataError for the
    first one that cannot be used; if `skipped` is given, such files are left out and added to it instead.
    `load` reads the files, in several threads: like `load_image`, whose result others may need as well.
    """
    settle_threads(torch.device("cpu"))
    given, workers = enumerate(chain.from_iterable(groups)), min(16, processors() + 2)
    read = read_ahead(partial(_read, size=size, load=load), given, workers=workers, ahead=ahead)
    for pictures in groups:
        pixels = torch.empty(len(pictures), 3, size, size, dtype=torch.uint8, device="cpu")
        sizes: list[tuple[int, int]] = []
        for picture, result in zip(pictures, read):  # noqa: B905, `read` has all groups
            if not isinstance(result, DataError):
                pixels[len(sizes)], own = result
                sizes.append(own)
            elif skipped is None or not isinstance(picture, str | Path):
                raise result
            else:
                skipped[Path(picture)] = result
        yield Pictures(pixels[: len(sizes)], sizes)


def read_parts(source: Picture | Sequence[Picture], size: int, part: int) -> Iterator[Pictures]:
    """Yield the pictures of one group, `part` at a time, like `read_groups`; the next two parts are read."""
    listed = list_pictures(source)
    parts = [listed[i : i + part] for i in range(0, len(listed), part)]
    return read_groups(parts, size, ahead=2 * part)


def _read(given: tuple[int, Picture], *, size: int, load: Load) -> tuple[Tensor, tuple[int, int]] | DataError:
    place, picture = given
    try:
        if isinstance(picture, str | Path):
            image = load(Path(picture))
        else:
            with lock("decode"):  # PIL decodes on first use; two threads must not do so at once
                image = to_rgb(picture)
    except DataError as error:
        return error if isinstance(picture, str | Path) else DataError(f"picture {place}: {error}")
    return resize_image(image, size), (image.height, image.width)
