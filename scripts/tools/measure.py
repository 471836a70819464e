"""Measure the figures of docs/references.md and docs/results.md again.

    python scripts/tools/measure.py heap                                presence in two heaps of 200 pictures
    python scripts/tools/measure.py strays --set iCoseg --every 2       presence in groups with strays

`heap` looks for each kind with three pictures that are not in the heap. `strays` adds to every group one
random picture of other groups for each `--every` of its own.
"""

from argparse import Namespace
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gconet.applications.doubts import find_strays
from gconet.cli import add_network, load_predictor, new_parser
from gconet.data.groups import scan_groups
from gconet.errors import run_command
from gconet.inference.predictor import Predictor
from gconet.inference.reference import PRESENT

HEAPS = (  # a folder's first word or name → pictures
    {"022": 28, "028": 30, "041": 21, "car": 42, "cat": 42, "horse": 37},
    {"042": 38, "023": 22, "021": 12, "aero": 43, "bus": 42, "dog": 43},
)


def main() -> int:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("subject", choices=("heap", "strays"))
    add("--root", type=Path, default=Path("data"), metavar="DIR", help="(default: data)")
    add("--set", default="PASCAL_coseg", metavar="NAME", help="for strays (default: PASCAL_coseg)")
    add("--every", type=int, default=5, metavar="N", help="a group's own pictures per stray (default: 5)")
    add_network(parser)
    args = parser.parse_args()
    (measure_heap if args.subject == "heap" else measure_strays)(load_predictor(args), args)
    return 0


def list_files(root: Path, name: str) -> dict[str, list[Path]]:
    """Group name → pictures of the set `name`."""
    return {group.name: [i.image for i in group.items] for group in scan_groups(root / "images" / name)}


def measure_heap(predictor: Predictor, args: Namespace) -> None:
    """Print the AUC of presence, and what the threshold keeps, for each kind of two heaps."""
    known = list_files(args.root, "iCoseg") | list_files(args.root, "PASCAL_coseg")
    for sizes in HEAPS:
        sized = [(name, own, sizes.get(name.split()[0], 0)) for name, own in known.items()]
        kinds = {name: own[: 3 + size] for name, own, size in sized if size}
        files = [path for own in kinds.values() for path in own[3:]]
        for name, own in kinds.items():
            level = predictor.predict(files, lambda m: None, reference=own[:3])
            is_own = np.array([path in own for path in files])
            kept = [(level >= PRESENT)[some].mean() for some in (is_own, ~is_own)]
            found = f"AUC {auc(level, is_own):.3f}, kept {kept[0]:6.1%}, of the others {kept[1]:6.1%}"
            print(f"{name[:20]:20} {is_own.sum():3} of {len(files)} pictures: {found}", flush=True)


def measure_strays(predictor: Predictor, args: Namespace) -> None:
    """Print the AUC of presence, and which pictures test.py would mark, in groups with strays."""
    groups, random = list_files(args.root, args.set), np.random.RandomState(5)
    presence, marked, is_stray = [], [], []
    for name, own in tqdm(groups.items(), unit="group", disable=None):
        contents = {path.read_bytes() for path in own}
        others = [path for other, files in groups.items() if other != name for path in files]
        drawn = (others[i] for i in random.permutation(len(others)))
        foreign = (path for path in drawn if path.read_bytes() not in contents)
        strays = list(islice(foreign, max(1, len(own) // args.every)))
        presence += predictor([*own, *strays]).presence.tolist()
        marked += find_strays(presence[-len(own) - len(strays) :])
        is_stray += [False] * len(own) + [True] * len(strays)
    stray, found = np.array(is_stray), np.array(marked)
    print(f"{args.set}: {(~stray).sum()} own pictures and {stray.sum()} strays in {len(groups)} groups")
    kept = f"{found[stray].mean():.1%} of strays, {found[~stray].mean():.1%} of own pictures"
    print(f"AUC {auc(np.array(presence), ~stray):.3f}; marked: {kept}")


def auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Return the share of (positive, negative) pairs whose positive has the higher value; ties count half."""
    a, b = values[positive][:, None], values[~positive]
    return float((a > b).mean() + (a == b).mean() / 2)


if __name__ == "__main__":
    run_command(main)
