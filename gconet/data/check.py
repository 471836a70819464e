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
from gconet.machine import processors
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


def check_set(root: Path, name: str) -> SetReport:
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
    sides = [(side, path) for side, own in found.items() for path in own.values()]
    files = [(path, load_image if side == "images" else load_mask) for side, path in sides]
    sizes: dict[Path, tuple[int, int]] = {}
    with ThreadPoolExecutor(processors()) as pool:
        results = progress(pool.map(read_size, files), name, len(files), unit="file")
        for (path, _), result in zip(files, results, strict=True):
            if isinstance(result, DataError):
                problems.append(Problem("unusable", path, str(result).removeprefix(f"{path}: ")))
            else:
                sizes[path] = result

    images = found.pop("images")
    for side, masks in found.items():
        for key in sorted(images.keys() | masks.keys()):
            image, mask = images.get(key), masks.get(key)
            if image and mask:
                (w, h), (mask_w, mask_h) = sizes.get(image, (0, 0)), sizes.get(mask, (0, 0))
                if w and mask_w and (w, h) != (mask_w, mask_h):
                    detail = f"is {mask_w}×{mask_h}, its image {w}×{h} ({image})"
                    problems.append(Problem("mask size", mask, detail))
            else:
                kind, missing = ("no mask", side) if image else ("no image", "images")
                expected = f"expected {folders[missing].joinpath(*key)} with a suffix"
                problems.append(Problem(kind, image or masks[key], expected))
    groups, known = len({group for group, _ in images}), known_sets().get(name, {})
    if "images" in known and (known["images"], known["groups"]) != (len(images), groups):
        detail = f"{len(images)} images in {groups} groups, expected {known['images']} in {known['groups']}"
        problems.append(Problem("wrong total", folders["images"], detail))
    return SetReport(groups, len(images), len(found["gts"]), len(found.get("distractors", ())), problems)


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
        problems.append(Problem("missing folder", folder, "does not exist or has no class folders"))
    for path in find_pictures(folder) if subfolders else ():
        problems.append(Problem("stray file", path, "is next to the class folders, not in one"))
    groups: dict[str, dict[tuple[str, str], Path]] = {}
    for subfolder in subfolders:
        name, pictures = normalise(subfolder.name), find_pictures(subfolder)
        if name in groups:
            problems.append(Problem("double group", subfolder, "duplicates a name in another Unicode form"))
            continue
        if not pictures:
            problems.append(Problem("empty group", subfolder, f"no {', '.join(SUFFIXES)} in it"))
        files = groups.setdefault(name, {})
        for path in pictures:
            if (first := files.setdefault((name, normalise(path.stem)), path)) != path:
                problems.append(Problem("double stem", path, f"same stem as {first.name}"))
    return {key: path for files in groups.values() for key, path in files.items()}
