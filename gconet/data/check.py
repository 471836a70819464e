"""Checks whole data sets file by file, and reports everything that is wrong. Imports no torch.

`data.groups` stops at the first fault, as training must; here the user wants the whole list.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from gconet.data.groups import SUFFIXES, list_subfolders
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
    """What was found of one set: counts of groups and files, and all its problems."""

    name: str
    groups: int
    images: int
    masks: int
    distractors: int  # masks of the other objects; most sets have none
    problems: tuple[Problem, ...]


def list_sets(root: Path) -> list[str]:
    """The names of all sets below `root/images` or `root/gts`; raises DataError for none."""
    folders = [p for side in ("images", "gts") for p in list_folders(root / side)]
    if not folders:
        raise DataError(f"no data sets in {root}: expected {root}/images/<set>/<class>/; see data/README.md")
    return sorted({p.name for p in folders})


def check_set(root: Path, name: str, *, workers: int = 2) -> SetReport:
    """Read every image and mask of set `name` to the end and compare all that should agree.

    If `root/distractors/<name>` is a folder, it must have a mask for every image too. Raises DataError
    only if neither `root/images/<name>` nor `root/gts/<name>` is a folder.
    """
    sides = {side: root / side / name for side in ("images", "gts")}
    if not any(folder.is_dir() for folder in sides.values()):
        raise DataError(f"no data set {name!r} in {root} (there: {', '.join(list_sets(root))})")
    if (folder := root / "distractors" / name).is_dir():
        sides["distractors"] = folder
    problems: list[Problem] = []
    found = {side: list_side(folder, problems) for side, folder in sides.items()}
    files = [
        (path, load_image if side == "images" else load_mask)
        for side, own in found.items()
        for path in own.values()
    ]
    sizes: dict[Path, tuple[int, int]] = {}  # of those that can be read
    with ThreadPoolExecutor(workers) as pool:
        results = progress(pool.map(lambda file: read_size(*file), files), name, len(files), unit="file")
        for (path, _), result in zip(files, results, strict=True):
            if isinstance(result, DataError):
                problems.append(Problem("unusable", path, str(result).removeprefix(f"{path}: ")))
            else:
                sizes[path] = result
    images, gts, *others = found.values()
    for folder, masks in zip(list(sides.values())[1:], (gts, *others), strict=True):
        for key in sorted(images.keys() | masks.keys()):
            image, mask = images.get(key), masks.get(key)
            if image and not mask:
                wanted = folder / image.parent.name / image.stem
                problems.append(Problem("no mask", image, f"expected {wanted}.png or another suffix"))
            elif mask and not image:
                wanted = sides["images"] / mask.parent.name / mask.stem
                problems.append(Problem("no image", mask, f"expected {wanted}.jpg or another suffix"))
            elif image in sizes and mask in sizes and sizes[image] != sizes[mask]:
                (width, height), (mask_width, mask_height) = sizes[image], sizes[mask]
                detail = f"is {mask_width}×{mask_height}, its image {width}×{height} ({image})"
                problems.append(Problem("mask size", mask, detail))
    groups = len({group for group, _ in images})
    known = known_sets().get(name)
    if known and known.images is not None and (known.images, known.groups) != (len(images), groups):
        detail = f"{len(images)} images in {groups} groups, expected {known.images} in {known.groups}"
        problems.append(Problem("wrong total", sides["images"], detail))
    return SetReport(name, groups, len(images), len(gts), sum(map(len, others)), tuple(problems))


def read_size(path: Path, load: Callable[[Path], Image.Image]) -> tuple[int, int] | DataError:
    """Width and height of a picture that is decoded by `load`, or why it cannot be."""
    try:
        return load(path).size
    except DataError as error:
        return error


def list_side(folder: Path, problems: list[Problem]) -> dict[tuple[str, str], Path]:
    """(group, stem) → file for one side of a set; appends what is wrong to `problems`."""
    if not folder.is_dir():
        problems.append(Problem("missing folder", folder, "not there"))
        return {}
    groups: dict[str, dict[str, Path]] = {}
    for path in list_folders(folder):
        name = normalise(path.name)  # as training pairs names
        if name in groups:
            problems.append(Problem("double group", path, "another folder's name in the other Unicode form"))
            continue
        groups[name] = list_stems(path, problems)
        if not groups[name]:
            problems.append(Problem("empty group", path, f"no {', '.join(SUFFIXES)} in it"))
    for path in list_stems(folder, problems).values():
        problems.append(Problem("stray file", path, "lies beside the class folders, not in one"))
    if not groups:
        problems.append(Problem("empty set", folder, "no class folders in it"))
    return {(name, stem): path for name, files in groups.items() for stem, path in files.items()}


def list_stems(folder: Path, problems: list[Problem]) -> dict[str, Path]:
    """Stem → file directly inside `folder`; the second file of a stem is a problem."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or path.is_dir():
            continue
        stem = normalise(path.stem)
        if stem in files:
            problems.append(Problem("double stem", path, f"same stem as {files[stem].name}"))
        else:
            files[stem] = path
    return files


def list_folders(folder: Path) -> list[Path]:
    """`list_subfolders`; none if `folder` does not exist."""
    return list_subfolders(folder) if folder.is_dir() else []
