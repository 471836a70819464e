"""Checks whole data sets file by file, and reports everything that is wrong. Imports no torch.

`data.groups` stops at the first fault, as training must; here the user wants the whole list.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gconet.data.groups import SUFFIXES, list_subfolders
from gconet.data.images import load_image, load_mask
from gconet.data.names import normalise
from gconet.data.sets import known_sets
from gconet.errors import DataError
from gconet.progress import progress


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a set; `path` is the file or folder to fix."""

    kind: str
    path: Path
    detail: str


@dataclass(frozen=True)
class SetReport:
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
    pairs: list[tuple[Path | None, Path | None, Path]] = []
    for side in list(sides)[1:]:
        for group in sorted(found["images"].keys() | found[side].keys()):
            images, masks = found["images"].get(group, {}), found[side].get(group, {})
            for stem in sorted(images.keys() | masks.keys()):
                pairs.append((images.get(stem), masks.get(stem), sides[side]))
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(lambda pair: check_pair(pair[0], pair[1], pair[2], sides["images"]), pairs)
        for result in progress(results, name, len(pairs), unit="pair"):
            problems += result
    groups = len(found["images"])
    files = {side: sum(map(len, folders.values())) for side, folders in found.items()}
    problems += check_totals(name, sides["images"], files["images"], groups)
    counts = files["images"], files["gts"], files.get("distractors", 0)
    return SetReport(name, groups, *counts, tuple(dict.fromkeys(problems)))  # an image may stand in two pairs


def list_side(folder: Path, problems: list[Problem]) -> dict[str, dict[str, Path]]:
    """Group → stem → file for one side of a set; appends what is wrong to `problems`."""
    if not folder.is_dir():
        problems.append(Problem("missing folder", folder, "not there"))
        return {}
    groups = {}
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
    return groups


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


def check_pair(image: Path | None, mask: Path | None, masks: Path, images: Path) -> list[Problem]:
    """What is wrong with an image and its mask, either of which may be missing; decodes both.

    `masks` and `images` are the folders of the set, for those that are missing.
    """
    problems = []
    if image and not mask:
        wanted = masks / image.parent.name / image.stem
        problems.append(Problem("no mask", image, f"expected {wanted}.png or another suffix"))
    if mask and not image:
        wanted = images / mask.parent.name / mask.stem
        problems.append(Problem("no image", mask, f"expected {wanted}.jpg or another suffix"))
    sizes = []
    for path, load in ((image, load_image), (mask, load_mask)):
        if path:
            try:
                sizes.append(load(path).size)
            except DataError as error:
                problems.append(Problem("unusable", path, str(error).removeprefix(f"{path}: ")))
    if image and mask and len(sizes) == 2 and sizes[0] != sizes[1]:
        (width, height), (mask_width, mask_height) = sizes
        detail = f"is {mask_width}×{mask_height}, its image {width}×{height} ({image})"
        problems.append(Problem("mask size", mask, detail))
    return problems


def check_totals(name: str, folder: Path, images: int, groups: int) -> list[Problem]:
    """Where the counts of a known set are not the published ones."""
    known = known_sets().get(name)
    if known is None or known.images is None or (images, groups) == (known.images, known.groups):
        return []
    detail = f"{images} images in {groups} groups, expected {known.images} in {known.groups}"
    return [Problem("wrong total", folder, detail)]
