"""Make an episode file from the authors' repository, to train on exactly what they trained on.

    python scripts/tools/import_release_episodes.py ../GCoNet data/release_episodes.npz

CHECKOUT is a clone of github.com/fanq15/GCoNet (as of commit a9868dbf). For each epoch e it records
  group_dir/group_<e>.txt    a line per step, <epoch>:<n>:<label>,<other label>:<path>,<path>,…,
                             the images of the first class, then as many of the second
  df_dir/df_group_<e>.csv    a row per image of a step: columns img_path, item (the step's
                             first label), other_item, angle (degrees), flip (0 or 1), and
                             sums that are not used
with paths ./data/images/DUTS_class/<class>/<stem>.jpg. As in their dataset.py, the first row for
an image and a first label counts, and the flip comes before the rotation.

The file holds (E epochs of T steps, in the order of the recording; L labels; K images in all):
  names (M,) "class/stem", sorted     labels (E, T, 2)       label_folder (L,) label → class
  sizes (E, T) images in a step       image (K,) into names  angle (K,) degrees  flip (K,)
  format "gconet-episodes-1"
"""

import csv
import io
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gconet.cli import new_parser
from gconet.data.episodes import FORMAT
from gconet.errors import DataError, run_command
from gconet.files import check_files, write_file


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("checkout", type=Path, metavar="CHECKOUT", help="the authors' repository")
    out = Path("data/release_episodes.npz")
    parser.add_argument("out", type=Path, nargs="?", default=out, help=f"a new file (default {out})")
    args = parser.parse_args()
    check_files([args.out])
    epochs = len(list(args.checkout.glob("group_dir/group_*.txt")))
    if not epochs:
        raise DataError(f"no group_dir in {args.checkout}; give a clone of the authors' repository")
    labels: list[tuple[int, int]] = []  # of each step
    sizes: list[int] = []  # of each step
    ends: list[int] = []  # of each epoch, in steps
    images: list[tuple[str, float, bool]] = []  # "class/stem", angle, flip
    folders: dict[int, str] = {}  # label → class
    for e in tqdm(range(epochs), unit="epoch", disable=None):
        augmentations: dict[tuple[int, str], tuple[float, bool]] = {}  # by first label and path
        with (args.checkout / f"df_dir/df_group_{e}.csv").open(newline="") as table:
            for row in csv.DictReader(table):
                key = int(row["item"]), row["img_path"]
                augmentations.setdefault(key, (float(row["angle"]), row["flip"] == "1"))
        for line in (args.checkout / f"group_dir/group_{e}.txt").read_text().splitlines():
            _, _, pair, joined = line.split(":")
            first, second = map(int, pair.split(","))
            paths = joined.rstrip(",").split(",")
            names = [f"{Path(path).parent.name}/{Path(path).stem}" for path in paths]
            images += [(name, *augmentations[first, path]) for name, path in zip(names, paths, strict=True)]
            labels.append((first, second))
            sizes.append(len(paths))
            folders |= {first: names[0].split("/")[0], second: names[-1].split("/")[0]}
        ends.append(len(labels))
    if len(set(np.diff([0, *ends]))) > 1 or sorted(folders) != list(range(len(set(folders.values())))):
        raise DataError(f"{args.checkout}: epochs or labels are inconsistent; give an unchanged clone")
    own, angles, flips = zip(*images, strict=True)
    ordered, image = np.unique(own, return_inverse=True)
    np.savez_compressed(
        buffer := io.BytesIO(), format=FORMAT, names=ordered,
        labels=np.array(labels, np.int16).reshape(epochs, -1, 2),
        sizes=np.array(sizes, np.int16).reshape(epochs, -1),
        image=image.astype(np.min_scalar_type(len(ordered))), angle=np.array(angles, np.float32),
        flip=np.array(flips), label_folder=np.array([folders[label] for label in sorted(folders)]),
    )  # fmt: skip
    write_file(args.out, buffer.getbuffer())
    print(f"{args.out}: {epochs} epochs of {len(sizes) // epochs} steps, {len(ordered):,} different images")
    return 0


if __name__ == "__main__":
    run_command(main)
