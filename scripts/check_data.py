"""Check the data sets below a root folder: counts, pairs, sizes, readable files.

    data/images/<set>/<class>/<stem>.jpg         an image
    data/gts/<set>/<class>/<stem>.png            its mask: the same stem, the same size
    data/distractors/<set>/<class>/<stem>.png    optional: a mask of the other objects, for every image

All problems are listed, each with the path to fix:

    CoCA: 80 groups, 1295 images, 1295 masks: 1 problem
      mask size: data/gts/CoCA/Frog/a.png: is 64×48, its image 640×480 (data/images/CoCA/Frog/a.jpg)

An incomplete set is a failure. DUTS_class takes about half a minute."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from gconet.cli import new_parser
from gconet.data.groups import SUFFIXES, find_pictures, list_sets, list_subfolders, no_set
from gconet.data.images import load_image, load_mask
from gconet.data.names import normalise
from gconet.data.sets import known_sets
from gconet.errors import DataError, counted, note, run_command, say
from gconet.machine import processors
from gconet.progress import progress


class Problem(NamedTuple):
    """One thing that is wrong with a set; `path` is the file or folder to fix."""

    kind: str
    path: Path
    detail: str


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--root", type=Path, default=Path("data"), help="default data")
    parser.add_argument("--set", nargs="+", metavar="NAME", dest="names", help="default: all sets")
    args = parser.parse_args()
    names = args.names or list_sets(args.root)
    if not names:
        raise DataError(f"no data sets: expected {args.root}/images/<set>/<class>/; see data/README.md")
    broken = []
    for name in names:
        counts, problems = check_set(args.root, name)
        verdict = counted(len(problems), "problem") if problems else "no problems"
        say(f"{name}: {counts}: {verdict}", *(f"  {p.kind}: {p.path}: {p.detail}" for p in problems))
        broken += [name] if problems else []
    if broken:
        which = f"{len(broken)} of {len(names)} sets have problems ({', '.join(broken)})"
        note(f"{which}: fix the files listed above (their sources: data/README.md), then run this again")
    return 1 if broken else 0


def check_set(root: Path, name: str) -> tuple[str, list[Problem]]:
    """Decode every image and mask of set `name` in full and compare everything that should agree; returns the
    counts in words and all problems. Masks of distractors are checked if the set has their folder. Raises
    DataError only if neither `root/images/<name>` nor `root/gts/<name>` is a folder."""
    folders = {side: root / side / name for side in ("images", "gts", "distractors")}
    if not folders["images"].is_dir() and not folders["gts"].is_dir():
        raise no_set(root, name)
    if not folders["distractors"].is_dir():
        del folders["distractors"]
    problems: list[Problem] = []
    found = {side: list_side(folder, problems) for side, folder in folders.items()}
    files = [(side, path) for side, own in found.items() for path in own.values()]
    sizes: dict[Path, tuple[int, int]] = {}
    with ThreadPoolExecutor(processors()) as pool:
        results = progress(pool.map(read_size, files), name, len(files), unit="file")
        for (_, path), result in zip(files, results, strict=True):
            if isinstance(result, DataError):
                problems.append(Problem("unusable", path, str(result).removeprefix(f"{path}: ")))
            else:
                sizes[path] = result
    images = found.pop("images")
    for side, masks in found.items():
        for key in sorted(images.keys() | masks.keys()):
            image, mask = images.get(key), masks.get(key)
            if not image or not mask:
                kind, missing = ("no mask", side) if image else ("no image", "images")
                expected = f"expected {folders[missing].joinpath(*key)} with a suffix"
                problems.append(Problem(kind, image or masks[key], expected))
            elif image in sizes and mask in sizes and sizes[image] != sizes[mask]:
                its, own = ("{}×{}".format(*sizes[path]) for path in (mask, image))
                problems.append(Problem("mask size", mask, f"is {its}, its image {own} ({image})"))
    groups, known = len({group for group, _ in images}), known_sets().get(name, {})
    if "images" in known and (known["images"], known["groups"]) != (len(images), groups):
        detail = f"{len(images)} images in {groups} groups, expected {known['images']} in {known['groups']}"
        problems.append(Problem("wrong total", folders["images"], detail))
    counts = f"{counted(groups, 'group')}, {len(images)} images, {len(found['gts'])} masks"
    others = f", {len(found['distractors'])} distractor masks" if "distractors" in found else ""
    return counts + others, problems


def read_size(file: tuple[str, Path]) -> tuple[int, int] | DataError:
    """Return the width and height of a picture of a side of a set, or the error if it cannot be decoded."""
    side, path = file
    try:
        return (load_image if side == "images" else load_mask)(path).size
    except DataError as error:
        return error


def list_side(folder: Path, problems: list[Problem]) -> dict[tuple[str, str], Path]:
    """(group, stem) → file for one side of a set, named as training pairs them; extends `problems`."""
    subfolders = list_subfolders(folder) if folder.is_dir() else []
    if not subfolders:
        problems.append(Problem("missing folder", folder, "does not exist or has no class folders"))
    for path in find_pictures(folder) if subfolders else ():
        problems.append(Problem("stray file", path, "is next to the class folders, not in one"))
    files: dict[tuple[str, str], Path] = {}
    names = set[str]()
    for subfolder in subfolders:
        name, pictures = normalise(subfolder.name), find_pictures(subfolder)
        if name in names:
            problems.append(Problem("double group", subfolder, "duplicates a name in another Unicode form"))
            continue
        names.add(name)
        if not pictures:
            problems.append(Problem("empty group", subfolder, f"no {', '.join(SUFFIXES)} in it"))
        for path in pictures:
            if (first := files.setdefault((name, normalise(path.stem)), path)) != path:
                problems.append(Problem("double stem", path, f"same stem as {first.name}"))
    return files


if __name__ == "__main__":
    run_command(main)
