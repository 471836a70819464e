"""Make an episode file from the authors' repository, to train on exactly what they trained on.

    python scripts/tools/import_release_episodes.py ../GCoNet data/release_episodes.npz

CHECKOUT is a clone of github.com/fanq15/GCoNet (as of commit a9868dbf). For each epoch e it records
  group_dir/group_<e>.txt    a line per step, <epoch>:<n>:<label>,<other label>:<path>,<path>,…,
                             the images of the first class, then as many of the second
  df_dir/df_group_<e>.csv    a row per image of a step: columns img_path, item (the step's first label),
                             angle (degrees), flip (0 or 1), and others that are not used
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
    parser.add_argument("out", type=Path, nargs="?", default=Path("data/release_episodes.npz"))
    args = parser.parse_args()
    check_files([args.out])
    epochs = len(list(args.checkout.glob("group_dir/group_*.txt")))
    if not epochs:
        raise DataError(f"no group_dir in {args.checkout}; give a clone of the authors' repository")
    steps: list[tuple[int, int, int]] = []  # its two labels, and its number of images
    images: list[tuple[str, float, bool]] = []  # "class/stem", angle, flip
    folders: dict[int, str] = {}  # label → class
    for e in tqdm(range(epochs), unit="epoch", disable=None):
        with (args.checkout / f"df_dir/df_group_{e}.csv").open(newline="") as table:
            rows = list(csv.DictReader(table))[::-1]  # so that the first of an image is kept
        augmentations = {
            (row["item"], row["img_path"]): (float(row["angle"]), row["flip"] == "1") for row in rows
        }
        for line in (args.checkout / f"group_dir/group_{e}.txt").read_text().splitlines():
            _, _, pair, joined = line.split(":")
            first, second = pair.split(",")
            paths = joined.rstrip(",").split(",")
            names = [f"{Path(path).parent.name}/{Path(path).stem}" for path in paths]
            images += [(name, *augmentations[first, path]) for name, path in zip(names, paths, strict=True)]
            steps.append((int(first), int(second), len(paths)))
            folders |= {int(first): names[0].split("/")[0], int(second): names[-1].split("/")[0]}
    own, angles, flips = zip(*images, strict=True)
    ordered, image = np.unique(own, return_inverse=True)
    recorded = np.array(steps, np.int16).reshape(epochs, -1, 3)
    np.savez_compressed(
        buffer := io.BytesIO(), format=FORMAT, names=ordered, labels=recorded[..., :2],
        sizes=recorded[..., 2], image=image.astype(np.min_scalar_type(len(ordered))),
        angle=np.array(angles, np.float32), flip=np.array(flips),
        label_folder=np.array([folders[label] for label in range(len(folders))]),
    )  # fmt: skip
    write_file(args.out, buffer.getbuffer())
    print(f"{args.out}: {epochs} epochs of {recorded.shape[1]} steps, {len(ordered):,} different images")
    return 0


if __name__ == "__main__":
    run_command(main)
