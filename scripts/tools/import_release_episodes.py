"""Make an episode file, for training on exactly what the authors trained on, from their repository.

    python scripts/tools/import_release_episodes.py ../GCoNet data/release_episodes.npz

CHECKOUT is a clone of github.com/fanq15/GCoNet (as of commit a9868dbf). For each epoch e it records
  group_dir/group_<e>.txt    a line per step, <epoch>:<n>:<label>,<other label>:<path>,<path>,…,
                             the images of the first class, then as many of the second
  df_dir/df_group_<e>.csv    a row per image of a step: columns img_path, item (the step's
                             first label), other_item, angle (degrees), flip (0 or 1), and
                             sums that nobody reads
with paths ./data/images/DUTS_class/<class>/<stem>.jpg. As in their dataset.py, the first row of
an image and a first label counts, and the flip comes before the rotation.

The file holds (E epochs of T steps, in the order of the recording; L labels; K images in all):
  names (M,) "class/stem", sorted     labels (E, T, 2)       label_folder (L,) label → class
  sizes (E, T) images in a step       image (K,) into names  angle (K,) degrees  flip (K,)
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from gconet.cli import new_parser
from gconet.errors import DataError, run_command


class Image(NamedTuple):
    name: str  # class/stem
    angle: float  # degrees
    flip: bool


class Step(NamedTuple):
    classes: dict[int, str]  # label → folder, of the first class and the second
    images: list[Image]


def main() -> int:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("checkout", type=Path, metavar="CHECKOUT", help="the authors' repository")
    default = Path("data/release_episodes.npz")
    add("out", type=Path, nargs="?", default=default, metavar="OUT", help=f"default {default}")
    add("--overwrite", action="store_true", help="replace OUT if it is there")
    args = parser.parse_args()
    if args.out.exists() and not args.overwrite:
        raise DataError(f"{args.out} is there already; name another file, or --overwrite it")
    groups, tables = args.checkout / "group_dir", args.checkout / "df_dir"
    count = len(list(groups.glob("group_*.txt")))
    if not count:
        raise DataError(f"no {groups}/group_0.txt; give a clone of the authors' repository")
    files = [(groups / f"group_{e}.txt", tables / f"df_group_{e}.csv") for e in range(count)]
    arrays = pack_epochs([read_epoch(*pair) for pair in tqdm(files, unit="epoch", disable=None)])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("wb") as file:  # savez appends .npz to a name, not to an open file
        np.savez_compressed(file, allow_pickle=False, **arrays)
    epochs, steps = arrays["sizes"].shape
    print(f"{args.out}: {epochs} epochs of {steps} steps, {len(arrays['names']):,} different images")
    return 0


def read_epoch(groups: Path, table: Path) -> list[Step]:
    """The steps of one epoch; raises DataError that names file and line for anything unexpected."""
    augmentations: dict[tuple[int, str], tuple[float, bool]] = {}  # by first label and path
    with table.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                augmentation = float(row["angle"]), {"0": False, "1": True}[row["flip"]]
                augmentations.setdefault((int(row["item"]), row["img_path"]), augmentation)
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{table}:{number}: not a row of the table ({error!r})") from None
    steps = []
    for number, line in enumerate(groups.read_text(encoding="utf-8").splitlines(), 1):
        try:
            _, _, pair, paths = line.split(":")
            first, second = map(int, pair.split(","))
            images = [
                Image(f"{Path(path).parent.name}/{Path(path).stem}", *augmentations[first, path])
                for path in paths.split(",")
                if path
            ]
        except ValueError as error:
            raise DataError(f"{groups}:{number}: not a step ({error})") from None
        except KeyError as error:
            label, path = error.args[0]
            raise DataError(f"{groups}:{number}: {path} of label {label} is not in {table}") from None
        folders = [image.name.split("/")[0] for image in images]
        half = len(folders) // 2
        if not half or folders != [folders[0]] * half + [folders[-1]] * half or folders[0] == folders[-1]:
            raise DataError(f"{groups}:{number}: not two classes with as many images each")
        steps.append(Step({first: folders[0], second: folders[-1]}, images))
    return steps


def pack_epochs(epochs: list[list[Step]]) -> dict[str, np.ndarray]:
    """The arrays of the episode file, as the command's help lists them; raises DataError."""
    shape = len(epochs), len(epochs[0])
    if any(len(epoch) != shape[1] for epoch in epochs):
        raise DataError("the epochs differ in their steps: complete the clone")
    steps = [step for epoch in epochs for step in epoch]
    pairs = sorted({pair for step in steps for pair in step.classes.items()})
    classes = [folder for _, folder in pairs]
    if [label for label, _ in pairs] != list(range(len(pairs))) or len(set(classes)) < len(classes):
        raise DataError(f"the labels are not 0 to {len(set(classes)) - 1}, one for each class")
    names, angles, flips = zip(*(image for step in steps for image in step.images), strict=True)
    ordered, image = np.unique(names, return_inverse=True)
    return {
        "names": ordered,
        "labels": np.array([list(step.classes) for step in steps], np.int16).reshape(*shape, 2),
        "sizes": np.array([len(step.images) for step in steps], np.int16).reshape(shape),
        "image": image.astype(np.min_scalar_type(len(ordered))),
        "angle": np.array(angles, np.float32),
        "flip": np.array(flips),
        "label_folder": np.array(classes),
    }


if __name__ == "__main__":
    run_command(main)
