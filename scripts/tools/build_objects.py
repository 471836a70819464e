"""Build gconet/weights/objects.npz, the references behind `--object NAME`, for the weights that ship.

    python scripts/tools/build_objects.py
    python scripts/tools/build_objects.py --sets DUTS_class,VOC_class --checkpoint runs/photos/last.pt

Remembers the first five pictures of every class of the training sets. DUTS_class's folders are class numbers
of ImageNet; the folders of other sets are names. `TOGETHER` adds names that stand for several classes.
"""

from pathlib import Path

import numpy as np
from torchvision.models import VGG16_Weights
from tqdm import tqdm

from gconet.cli import add_network, load_predictor, new_parser
from gconet.data.groups import scan_set
from gconet.errors import run_command
from gconet.inference.reference import OBJECTS, Reference, write_references

TOGETHER = {  # name → folders; where a word of the names does not say it
    "airplane": "404 895 aeroplane", "bear": "294-297", "bird": "7-24 80-100 127-146 bird",
    "boat": "484 814 914 boat", "bottle": "898 907 bottle", "bowl": "659 809", "bus": "654 779 874 bus",
    "butterfly": "321-326", "car": "436 511 656 817 car", "cat": "281-285 cat", "chair": "423 559 chair",
    "couch": "831 sofa", "cow": "345 cow", "cup": "504 968", "dining table": "diningtable",
    "dog": "151-268 dog", "handbag": "748", "horse": "339 horse", "laptop": "620 681", "monkey": "373-382",
    "motorcycle": "motorbike", "oven": "827", "phone": "487 707", "piano": "881",
    "potted plant": "738 pottedplant", "sandwich": "933 934", "sheep": "348 349 sheep", "ship": "510 628",
    "snake": "52-68", "train": "547 705 train", "turtle": "33-37", "tv": "664 782 851 tvmonitor",
}  # fmt: skip


def main() -> int:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--root", type=Path, default=Path("data"), metavar="DIR", help="(default: data)")
    add("--sets", default="DUTS_class", metavar="A,B", help="(default: DUTS_class)")
    add("--output", type=Path, default=OBJECTS, metavar="FILE")
    add_network(parser)
    args = parser.parse_args()
    predictor = load_predictor(args)
    names = VGG16_Weights.IMAGENET1K_V1.meta["categories"]
    groups = [group for name in args.sets.split(",") for group in scan_set(args.root, name)]
    made: dict[str, Reference] = {}
    for group in tqdm(groups, unit="class", disable=None):
        name = names[int(group.name)] if group.name.isdigit() else group.name
        made[group.name] = predictor.remember([item.image for item in group.items[:5]], name)
    objects = {one.name: one for one in made.values()}
    for name, folders in TOGETHER.items():
        parts = [part.partition("-") for part in folders.split()]  # 7-9 stands for 7, 8 and 9
        named = [range(int(a), int(b) + 1) if dash else [a] for a, dash, b in parts]
        if some := [made[str(folder)] for own in named for folder in own if str(folder) in made]:
            objects[name] = Reference.mean(some, name)
    write_references(args.output, [objects[name] for name in sorted(objects)], np.float16)
    print(f"{args.output}: {len(objects)} objects, {args.output.stat().st_size / 2**10:.0f} KiB")
    return 0


if __name__ == "__main__":
    run_command(main)
