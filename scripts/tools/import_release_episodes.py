"""Make an episode file, for training on exactly what the authors trained on, from their repository.

CHECKOUT is a clone of github.com/fanq15/GCoNet (as of commit a9868dbf). For each epoch e it records
  group_dir/group_<e>.txt    a line per step, <epoch>:<n>:<label>,<other label>:<path>,<path>,…,
                             the images of the first class, then as many of the second
  df_dir/df_group_<e>.csv    a row per image of a step: columns img_path, item (the step's
                             first label), other_item, angle (degrees), flip (0 or 1), and
                             sums that nobody reads
with paths ./data/images/DUTS_class/<class>/<stem>.jpg. As in their dataset.py, the first row of
an image and a first label counts, and the flip comes before the rotation.
"""

import csv
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gconet.errors import DataError, run_command

EPILOG = """\
The file holds (E epochs of T steps, in the order of the recording; L labels; K images in all):
  names (M,) "class/stem", sorted     labels (E, T, 2)       label_folder (L,) label → class
  sizes (E, T) images in a step       image (K,) into names  angle (K,) degrees  flip (K,)

example: python scripts/tools/import_release_episodes.py ../GCoNet data/release_episodes.npz"""

Step = tuple[tuple[int, int], list[str], list[float], list[bool]]  # labels, names, angles, flips


def main() -> int:
    parser = ArgumentParser(description=__doc__, epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, metavar="CHECKOUT", help="the authors' repository")
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        default=Path("data/release_episodes.npz"),
        metavar="OUT",
        help="default data/release_episodes.npz",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    args = parser.parse_args()
    if args.out.is_dir() or (args.out.exists() and not args.overwrite):
        raise DataError(f"{args.out} is there already; name another file, or --overwrite it")
    files = tqdm(find_epochs(args.checkout), unit="epoch", disable=None)
    arrays = pack_epochs([list(read_epoch(*pair)) for pair in files])
    part = args.out.with_name(args.out.name + ".part")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:  # savez appends .npz to a name, not to an open file
        np.savez_compressed(file, allow_pickle=False, **arrays)
    part.replace(args.out)
    epochs, steps = arrays["sizes"].shape
    print(f"{args.out}: {epochs} epochs of {steps} steps, {len(arrays['names']):,} different images")
    return 0


def find_epochs(checkout: Path) -> list[tuple[Path, Path]]:
    """The group list and the table of each epoch, in order; raises DataError for missing files."""
    groups, tables = checkout / "group_dir", checkout / "df_dir"
    count = len(list(groups.glob("group_*.txt")))
    if not count:
        raise DataError(f"no group_dir/group_0.txt in {checkout}; give a clone of the authors' repository")
    files = [(groups / f"group_{e}.txt", tables / f"df_group_{e}.csv") for e in range(count)]
    if missing := [str(path) for pair in files for path in pair if not path.is_file()]:
        raise DataError(
            f"no {missing[0]}, one of {len(missing)} missing for {count} epochs; complete the clone"
        )
    return files


def read_epoch(groups: Path, table: Path) -> Iterator[Step]:
    """The steps of one epoch; raises DataError that names file and line for anything unexpected."""
    augmentations = read_table(table)
    text = groups.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        try:
            _, _, pair, paths = line.split(":")
            first, second = map(int, pair.split(","))
            images = [path for path in paths.split(",") if path]
            rows = [augmentations[first, path] for path in images]
        except ValueError as error:
            raise DataError(f"{groups}:{number}: not a step ({error})") from None
        except KeyError as error:
            label, path = error.args[0]
            raise DataError(f"{groups}:{number}: {path} of label {label} is not in {table}") from None
        names = [f"{Path(path).parent.name}/{Path(path).stem}" for path in images]
        folders = [name.split("/")[0] for name in names]
        half = len(folders) // 2
        if not half or folders != [folders[0]] * half + [folders[-1]] * half or folders[0] == folders[-1]:
            raise DataError(f"{groups}:{number}: not two classes with as many images each")
        yield (first, second), names, [angle for angle, _ in rows], [flip for _, flip in rows]


def read_table(path: Path) -> dict[tuple[int, str], tuple[float, bool]]:
    """(first label, image path) → (angle in degrees, flip) of one epoch; raises DataError."""
    rows: dict[tuple[int, str], tuple[float, bool]] = {}
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                angle, flip = float(row["angle"]), {"0": False, "1": True}[row["flip"]]
                rows.setdefault((int(row["item"]), row["img_path"]), (angle, flip))
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise DataError(
                f"{path}:{reader.line_num}: not a row of img_path, item, angle and flip "
                f"({type(error).__name__}: {error})"
            ) from None
    return rows


def pack_epochs(epochs: list[list[Step]]) -> dict[str, np.ndarray]:
    """The arrays of the episode file, as the command's help lists them; raises DataError."""
    lengths = sorted({len(epoch) for epoch in epochs})
    if len(lengths) > 1 or not lengths[0]:
        raise DataError(f"epochs of {lengths[0]} to {lengths[-1]} steps: complete the clone")
    labels, names, angles, flips = zip(*chain.from_iterable(epochs), strict=True)
    ends = [name.partition("/")[0] for own in names for name in (own[0], own[-1])]
    pairs = sorted(set(zip(chain.from_iterable(labels), ends, strict=True)))
    classes = [folder for _, folder in pairs]
    if [label for label, _ in pairs] != list(range(len(pairs))) or len(set(classes)) < len(classes):
        raise DataError(f"the labels are not 0 to {len(set(classes)) - 1}, one for each class")
    images = list(chain.from_iterable(names))
    ordered, image = np.unique(images, return_inverse=True)
    shape = len(epochs), lengths[0]
    return {
        "names": ordered,
        "labels": np.array(labels, np.int16).reshape(*shape, 2),
        "sizes": np.array([len(own) for own in names], np.int16).reshape(shape),
        "image": image.astype(np.min_scalar_type(len(ordered))),
        "angle": np.array(list(chain.from_iterable(angles)), np.float32),
        "flip": np.array(list(chain.from_iterable(flips))),
        "label_folder": np.array(classes),
    }


if __name__ == "__main__":
    run_command(main)
