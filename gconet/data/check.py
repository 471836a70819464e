"""Checks whole data sets file by file and reports every problem. Does not import torch.

`data.groups` stops at the first problem, as training must; here the user wants the whole list.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gconet.data.groups import SUFFIXES, find_pictures, list_subfolders, no_set
from gconet.data.images import load_image, load_mask
from gconet.data.names import normalise
from gconet.data.sets import known_sets
from gconet.errors import DataError
from gconet.progress import progress


class Problem(NamedTuple):
    """One thing that is wrong with a set; `path` is the file or folder to fix."""

    kind: str
    path: Path
    detail: str


class SetReport(NamedTuple):
    """What was found in one set: counts of groups and files, and all its problems."""

    groups: int
    images: int
    masks: int
    distractors: int  # masks of the other objects; most sets have none
    problems: list[Problem]


def check_set(root: Path, name: str, *, workers: int = 2) -> SetReport:
    """Decode every image and mask of set `name` in full and compare everything that should agree.

    If the folder `root/distractors/<name>` exists, it too must have a mask for every image. Raises DataError
    only if neither `root/images/<name>` nor `root/gts/<name>` is a folder.
    """
    folders = {side: root / side / name for side in ("images", "gts", "distractors")}
    if not folders["images"].is_dir() and not folders["gts"].is_dir():
        raise no_set(root, name)
    if not folders["distractors"].is_dir():
        del folders["distractors"]
    problems: list[Problem] = []
    found = {side: list_side(folder, problems) for side, folder in folders.items()}
    files = [
        (path, load_image if side == "images" else load_mask)
        for side, own in found.items()
        for path in own.values()
    ]
    with ThreadPoolExecutor(workers) as pool:
        results = progress(pool.map(read_size, files), name, len(files), unit="file")
        read = {path: result for (path, _), result in zip(files, results, strict=True)}
    sizes = {path: size for path, size in read.items() if isinstance(size, tuple)}
    for path in (path for path in read if path not in sizes):
        problems.append(Problem("unusable", path, str(read[path]).removeprefix(f"{path}: ")))

    images = found.pop("images")
    for side, masks in found.items():
        for group, stem in sorted(images.keys() | masks.keys()):
            image, mask = images.get((group, stem)), masks.get((group, stem))
            if image and not mask:
                wanted = folders[side] / group / stem
                problems.append(Problem("no mask", image, f"expected {wanted}.png or another suffix"))
            elif mask and not image:
                wanted = folders["images"] / group / stem
                problems.append(Problem("no image", mask, f"expected {wanted}.jpg or another suffix"))
            elif image in sizes and mask in sizes and sizes[image] != sizes[mask]:
                (width, height), (mask_width, mask_height) = sizes[image], sizes[mask]
                detail = f"is {mask_width}×{mask_height}, its image {width}×{height} ({image})"
                problems.append(Problem("mask size", mask, detail))
    counts = len(images), len({group for group, _ in images})
    known = known_sets().get(name)
    if known and known.images is not None and (known.images, known.groups) != counts:
        detail = f"{counts[0]} images in {counts[1]} groups, expected {known.images} in {known.groups}"
        problems.append(Problem("wrong total", folders["images"], detail))
    distractors = len(found.get("distractors", ()))
    return SetReport(counts[1], counts[0], len(found["gts"]), distractors, problems)


def read_size(file: tuple[Path, Callable[[Path], Image.Image]]) -> tuple[int, int] | DataError:
    """Return the width and height of a picture, given its decoding function, or the error if that fails."""
    path, load = file
    try:
        return load(path).size
    except DataError as error:
        return error


def list_side(folder: Path, problems: list[Problem]) -> dict[tuple[str, str], Path]:
    """(group, stem) → file for one side of a set, named as training pairs them; extends `problems`."""
    subfolders = list_subfolders(folder) if folder.is_dir() else []
    if not subfolders:
        what = "has no class folders" if folder.is_dir() else "does not exist"
        problems.append(Problem("missing folder", folder, what))
        return {}
    for path in find_pictures(folder):
        problems.append(Problem("stray file", path, "is next to the class folders, not in one"))
    files: dict[tuple[str, str], Path] = {}
    groups: set[str] = set()
    for subfolder in subfolders:
        group = normalise(subfolder.name)
        pictures = find_pictures(subfolder)
        if group in groups:
            problems.append(Problem("double group", subfolder, "duplicates a name in another Unicode form"))
        elif not pictures:
            problems.append(Problem("empty group", subfolder, f"no {', '.join(SUFFIXES)} in it"))
        else:
            for path in pictures:
                if (first := files.setdefault((group, normalise(path.stem)), path)) != path:
                    problems.append(Problem("double stem", path, f"same stem as {first.name}"))
        groups.add(group)
    return files
