"""Scans folders of groups into immutable records: every image with its mask, paired by stem.

The published layout is `<root>/images/<set>/<class>/*` and `<root>/gts/<set>/<class>/*`.
"""

import os
from collections import Counter
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from gconet.data.names import check_name, name_some, normalise
from gconet.errors import DataError, note

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".avif", ".heic", ".heif")
# Folders and files that other programs create.
FOREIGN = ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information")
FOREIGN_FILES = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Item:
    """One picture of a group; `mask`, `map` and `distractors` are None if they were not requested."""

    stem: str  # results are saved under it
    image: Path
    mask: Path | None = None  # ground truth
    map: Path | None = None  # saved co-saliency
    distractors: Path | None = None  # mask of the other objects

    def __post_init__(self) -> None:
        check_name(self.stem)


@dataclass(frozen=True)
class Group:
    """The pictures that share an object, sorted by stem."""

    name: str  # results are saved under it
    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        check_name(self.name)


def scan_set(root: Path, name: str) -> tuple[Group, ...]:
    """The groups of data set `name` under `root`, sorted by class name; every image has its mask. Raises
    DataError that names what is missing and lists what exists."""
    if not (root / "images" / name).is_dir():
        raise no_set(root, name)
    return scan_groups(root / "images" / name, root / "gts" / name)


def scan_sets(root: Path, names: Sequence[str]) -> tuple[tuple[Group, ...], tuple[int, ...]]:
    """The groups of each data set, one set after another, and each set's number of groups. Groups of one name
    in two sets are different groups. Raises DataError as `scan_set` does."""
    sets = [scan_set(root, name) for name in names]
    return tuple(group for groups in sets for group in groups), tuple(map(len, sets))


def no_set(root: Path, name: str) -> DataError:
    """Return the error to raise if `root` lacks the data set `name`."""
    there = ", ".join(list_sets(root)) or "none"
    return DataError(f"no data set {name!r} in {root} (sets there: {there}); layout: data/README.md")


def list_sets(root: Path) -> list[str]:
    """The names of all sets below `root/images` or `root/gts`, sorted."""
    sides = [folder for side in ("images", "gts") if (folder := root / side).is_dir()]
    return sorted({path.name for folder in sides for path in list_subfolders(folder)})


def scan_groups(
    images: Path, gts: Path | None = None, maps: Path | None = None, distractors: Path | None = None
) -> tuple[Group, ...]:
    """Return the groups below `images`, with their files from `gts`, `maps` and `distractors`, if given.

    A folder with pictures directly inside is one group, named after the folder; otherwise each
    sub-folder is a group. Every picture needs its file in `gts` and in `distractors`; some may lack a map.
    Two pictures with one stem (a.jpg, a.png) go by their full names, but with `gts` they are ambiguous.
    Raises DataError for anything missing, unpaired or ambiguous.
    """
    folders = list_groups(images, twins=not gts)
    kinds = ((gts, "mask"), (maps, "map"), (distractors, "distractor mask"))
    pairs = [pair_folders(folders, root, what, partly=what == "map") if root else {} for root, what in kinds]
    return tuple(
        Group(
            name,
            tuple(Item(stem, path, *(p.get((name, stem)) for p in pairs)) for stem, path in files.items()),
        )
        for name, files in folders.items()
    )


def scan_sources(
    sources: Sequence[Path],
    gts: Path | None = None,
    maps: Path | None = None,
    distractors: Path | None = None,
) -> tuple[Group, ...]:
    """Return the groups of folders, as `scan_groups` does, and of single files: those from one folder form a
    group named after it, without masks and maps. Raises DataError as `scan_groups` does, for a file that is
    not a picture, and if two groups share a name."""
    groups: list[Group] = []
    files: dict[Path, dict[Path, None]] = {}  # folder → files, each once, in the order given
    for source in sources:
        if source.is_dir():
            groups += scan_groups(source, gts, maps, distractors)
        elif not source.is_file() or source.suffix.lower() not in SUFFIXES:
            raise DataError(f"{source} is not a folder or a picture; supported: {', '.join(SUFFIXES)}")
        else:
            folder = source.parent.resolve()  # one file may be given under two paths
            files.setdefault(folder, {})[folder / source.name] = None
    for folder, paths in files.items():
        named = sorted(name_files(paths, twins=True).items())
        groups.append(Group(normalise(folder.name), tuple(Item(stem, path) for stem, path in named)))
    [(name, count)] = Counter(group.name for group in groups).most_common(1)
    if count > 1:
        raise DataError(f"two groups are called {name}; rename a folder, or process them one at a time")
    return tuple(groups)


def leave_out(groups: Sequence[Group], images: Container[Path]) -> list[Group]:
    """Return the groups without these pictures; drop groups that become empty."""
    left = [Group(g.name, tuple(item for item in g.items if item.image not in images)) for g in groups]
    return [group for group in left if group.items]


def list_groups(root: Path, *, twins: bool = False) -> dict[str, dict[str, Path]]:
    """Return group name → stem → file, sorted, for one group or a folder of groups; raises DataError. Folders
    without pictures are left out, after a note on stderr. `twins`: see `name_files`."""
    if not root.is_dir():
        raise DataError(f"no folder {root}; give one group's folder or a folder of groups")
    subfolders = list_subfolders(root)
    if own := name_files(find_pictures(root), twins=twins):
        if any(map(find_pictures, subfolders)):
            both = f"images ({name_some([*own])}) and folders ({name_some([p.name for p in subfolders])})"
            raise DataError(f"{root} holds {both}; give one group or a folder of groups")
        return {normalise(root.resolve().name): own}
    groups = {normalise(p.name): name_files(find_pictures(p), twins=twins) for p in subfolders}
    if len(groups) < len(subfolders):
        raise DataError(f"{root}: two folders differ only in the Unicode form of their names; merge them")
    empty = [name for name, files in groups.items() if not files]
    if len(empty) == len(groups):
        hint = f"; did you mean {root / 'maps'}?" if (root / "maps").is_dir() else ""  # of gconet cutouts
        where = f"{name_some(empty)} of {root}" if empty else root
        raise DataError(f"no images in {where}; supported: {', '.join(SUFFIXES)}{hint}")
    if empty:
        note(f"no pictures in {name_some(empty)} of {root}")
    return {name: files for name, files in groups.items() if files}


def list_subfolders(folder: Path) -> list[Path]:
    """The folders inside `folder`, sorted by name, except hidden ones and those in `FOREIGN`."""
    folders = (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return sorted((p for p in folders if p.name not in FOREIGN), key=lambda p: normalise(p.name))


def name_files(pictures: Collection[Path], *, twins: bool) -> dict[str, Path]:
    """Return stem → picture for one folder; raises DataError if two share a stem. With `twins`, files that
    share a stem (a.jpg, a.png) go by their full names instead."""
    shared = Counter(normalise(path.stem) for path in pictures)
    files: dict[str, Path] = {}
    for path in pictures:
        stem = normalise(path.stem)
        name = full_name(path) if twins and shared[stem] > 1 else stem
        if (other := files.setdefault(name, path)) != path:
            raise DataError(f"{path.parent}: {other.name} and {path.name} would both be {name}; rename one")
    return files


def full_name(path: Path) -> str:
    """The name of a file with its suffix; shortened if those of its results, 4 bytes longer, exceeded 255."""
    name, most = normalise(path.name), 251 - len(path.suffix)
    cut = os.fsencode(normalise(path.stem))[:most].decode(errors="ignore") + path.suffix
    return name if len(os.fsencode(name)) <= 251 else cut


def find_pictures(folder: Path) -> list[Path]:
    """The pictures directly inside `folder`, sorted by stem; hidden and other files are skipped."""
    pictures = (path for path in _visible_files(folder) if path.suffix.lower() in SUFFIXES)
    return sorted(pictures, key=lambda p: (normalise(p.stem), p.suffix))


def list_others(root: Path) -> list[Path]:
    """The files in a group's folder, or in a folder of groups, that do not have a picture's suffix; ignores
    hidden files, Thumbs.db and desktop.ini."""
    files = (path for folder in [root, *list_subfolders(root)] for path in sorted(_visible_files(folder)))
    return [p for p in files if p.suffix.lower() not in SUFFIXES and p.name.lower() not in FOREIGN_FILES]


def _visible_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".") and not path.is_dir()]


def pair_folders(
    images: dict[str, dict[str, Path]], root: Path, what: str, *, partly: bool = False
) -> dict[tuple[str, str], Path]:
    """Return (group, stem) → file below `root` for each of `images`; a single group on both sides pairs
    whatever its name. `what` names the files in messages; if `partly`, some pictures may have none."""
    found = list_groups(root)
    if len(images) == len(found) == 1:
        found = dict(zip(images, found.values(), strict=True))
    wanted = [(name, stem) for name, files in images.items() for stem in files]
    pairs = {(name, stem): found[name][stem] for name, stem in wanted if stem in found.get(name, {})}
    if partly and pairs:
        return pairs
    if missing := [f"{name}/{stem}" for name, stem in wanted if (name, stem) not in pairs]:
        there = f"each image needs one with its stem; groups there: {name_some(list(found))}"
        raise DataError(f"no {what} in {root} for {name_some(missing)}; {there}")
    return pairs
