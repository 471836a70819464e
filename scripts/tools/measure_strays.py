"""Measure how well `presence` detects a picture without its group's object.

    python scripts/tools/measure_strays.py --images data/images/PASCAL_coseg

Adds strays to every group, one for every five of its pictures, drawn at random from the other groups
(no file that the group has), and runs the network once on each group with them. Prints the area under
the ROC curve (AUC) over all pictures, and what test.py would mark at a few margins.
"""

from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gconet.applications.doubts import MARGIN, find_strays
from gconet.cli import add_network, new_parser
from gconet.data.groups import scan_groups
from gconet.errors import run_command

MARGINS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="a folder of groups")
    parser.add_argument("--every", type=int, default=5, help="pictures of the group per stray (default: 5)")
    add_network(parser)
    args = parser.parse_args()
    from gconet.inference.predictor import Predictor  # here, so that --help does not wait for torch

    predictor = Predictor.load(args.checkpoint, device=args.device, precision=args.precision)
    groups = {group.name: [item.image for item in group.items] for group in scan_groups(args.images)}
    random = np.random.RandomState(5)
    presence, is_stray = [], []
    for name, own in tqdm(groups.items(), desc="groups", unit="group", disable=None):
        contents = {path.read_bytes() for path in own}
        others = [path for other, files in groups.items() if other != name for path in files]
        drawn = (others[i] for i in random.permutation(len(others)))
        foreign = (path for path in drawn if path.read_bytes() not in contents)
        strays = list(islice(foreign, max(1, len(own) // args.every)))
        presence.append(predictor([*own, *strays]).presence)
        is_stray.append(np.arange(len(own) + len(strays)) >= len(own))
    stray = np.concatenate(is_stray)
    print(f"{args.images}: {(~stray).sum()} own pictures and {stray.sum()} strays in {len(groups)} groups")
    print(f"AUC {auc(-np.concatenate(presence), stray):.3f}")
    for margin in sorted({*MARGINS, MARGIN}):
        marked = np.concatenate([find_strays(p.tolist(), margin) for p in presence])
        print(
            f"margin {margin:.2f}: {marked[stray].mean():6.1%} of strays marked, "
            f"{marked[~stray].mean():6.1%} of own pictures" + ("  (test.py's)" if margin == MARGIN else "")
        )
    return 0


def auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Return the share of (positive, negative) pairs whose positive has the higher value; ties count half."""
    ranks = np.searchsorted(np.sort(values), values) + np.searchsorted(np.sort(values), values, "right")
    p, n = positive.sum(), (~positive).sum()
    return float((ranks[positive].sum() / 2 - p * p / 2) / (p * n))


if __name__ == "__main__":
    run_command(main)
