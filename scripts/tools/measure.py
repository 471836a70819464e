"""Measure the figures of docs/references.md and docs/results.md again.

    python scripts/tools/measure.py references --counts 1,3,5,10,20     J, on and off, by where E comes from
    python scripts/tools/measure.py heap                                presence in two heaps of 200 pictures
    python scripts/tools/measure.py strays --set iCoseg --every 2       presence in groups with strays

`references` scores COCO_distractors with the first pictures of PASCAL co-seg's classes as references, beside
what the group itself reaches there. `heap` looks for each kind with three pictures that are not in the heap.
`strays` adds to every group one random picture of other groups for each `--every` of its own.
"""

from argparse import Namespace
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gconet.applications.doubts import find_strays
from gconet.cli import add_network, load_predictor, new_parser
from gconet.data.groups import Item, scan_groups
from gconet.data.images import load_mask
from gconet.errors import ConfigError, run_command
from gconet.evaluation.histogram import HALF
from gconet.inference.predictor import Map, Predictor
from gconet.inference.reference import PRESENT, Reference

PASCAL = {
    "bottle": "bottle", "car": "car", "cat": "cat", "chair": "chair", "couch": "sofa",
    "dining_table": "table", "dog": "dog", "person": "person", "potted_plant": "plant", "tv": "monitor",
}  # fmt: skip
HEAPS = (  # a folder's first word or name → pictures
    {"022": 28, "028": 30, "041": 21, "car": 42, "cat": 42, "horse": 37},
    {"042": 38, "023": 22, "021": 12, "aero": 43, "bus": 42, "dog": 43},
)


def main() -> int:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("subject", choices=("references", "heap", "strays"))
    add("--root", type=Path, default=Path("data"), metavar="DIR", help="(default: data)")
    add("--counts", default="3,10", metavar="N,N", help="numbers of references (default: 3,10)")
    add("--set", default="PASCAL_coseg", metavar="NAME", help="for strays (default: PASCAL_coseg)")
    add("--every", type=int, default=5, metavar="N", help="a group's own pictures per stray (default: 5)")
    add_network(parser)
    args = parser.parse_args()
    globals()[f"measure_{args.subject}"](load_predictor(args), args)
    return 0


def list_files(root: Path, name: str) -> dict[str, list[Path]]:
    """Group name → pictures of the set `name`."""
    return {group.name: [i.image for i in group.items] for group in scan_groups(root / "images" / name)}


def measure_references(predictor: Predictor, args: Namespace) -> None:
    """Print J of every group, then J, on, off and their ratio, for each kind of reference."""
    pascal = list_files(args.root, "PASCAL_coseg")
    images, gts, others = (args.root / side / "COCO_distractors" for side in ("images", "gts", "distractors"))
    counts = args.counts.split(",")
    rows: dict[str, dict[str, np.ndarray]] = {}  # where E comes from → group → scores
    for group in tqdm(scan_groups(images, gts, distractors=others), unit="group", disable=None):
        name, items = group.name, group.items
        models: dict[str, Reference | None] = {"the group": None}
        for count in counts if name in PASCAL else ():
            reference = predictor.remember(pascal[PASCAL[name]][: int(count)])
            models |= dict.fromkeys((f"{count} pictures", f"{count} pictures and the group"), reference)
        with suppress(ConfigError):  # no object of that name, or other weights
            models["by name"] = predictor.recall(Reference.named(name))
        line = f"{name:14} {len(items):3}"
        for what, model in models.items():
            whole = what.endswith("and the group")
            maps = predictor([item.image for item in items], reference=model, include_group=whole)
            rows.setdefault(what, {})[name] = found = np.array(list(map(score, items, maps)))
            line += f"  {what} {found[:, 0].mean():.3f}"
        tqdm.write(line)
    rows["any reference"] = rows.get("by name", {}) | rows.get(f"{counts[-1]} pictures", {})
    for what, own in rows.items():
        for title, those in ((what, own), ("   the group there", rows["the group"])):
            J, on, off = np.nanmean(every := np.concatenate([those[name] for name in own]), 0)
            ratio = f"on {on:.3f} off {off:.3f} on/off {on / off:.2f}"
            print(f"{title:27} {len(every):3} pictures: J {J:.3f} {ratio}")


def score(item: Item, m: Map) -> tuple[float, float, float]:
    """J at 0.5, and the means of the map on the object and on the others."""
    assert item.mask and item.distractors
    own, other = (np.asarray(load_mask(path)) >= HALF for path in (item.mask, item.distractors))
    J = ((m >= HALF) & own).sum() / max(1, ((m >= HALF) | own).sum())
    return J, m[own].mean() / 255, m[other].mean() / 255 if other.any() else np.nan


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
