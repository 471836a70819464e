"""Measure what references gain: J, on and off with E from the group, from other pictures and by name.

    python scripts/tools/measure_references.py
    python scripts/tools/measure_references.py --heap

On COCO_distractors, with the first pictures of PASCAL co-seg's classes as references; each row also says
what the group itself reaches on the same pictures. With --heap: how well presence finds one kind in 200
pictures of six, from three pictures of it that are not among them.
"""

from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gconet.applications.doubts import PRESENT
from gconet.cli import add_network, new_parser
from gconet.data.groups import Group, scan_groups
from gconet.data.images import load_mask
from gconet.errors import ConfigError, run_command
from gconet.evaluation.histogram import HALF
from gconet.inference.predictor import Maps, Predictor
from gconet.inference.reference import Reference

PASCAL = {
    "bottle": "bottle", "car": "car", "cat": "cat", "chair": "chair", "couch": "sofa",
    "dining_table": "table", "dog": "dog", "person": "person", "potted_plant": "plant", "tv": "monitor",
}  # fmt: skip
HEAPS = {  # a folder's first word or name → pictures
    "A": {"022": 28, "028": 30, "041": 21, "car": 42, "cat": 42, "horse": 37},
    "B": {"042": 38, "023": 22, "021": 12, "aero": 43, "bus": 42, "dog": 43},
}


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--root", type=Path, default=Path("data"), metavar="DIR", help="(default: data)")
    parser.add_argument(
        "--counts", default="3,10", metavar="N,N", help="numbers of references (default: 3,10)"
    )
    parser.add_argument("--heap", action="store_true")
    add_network(parser)
    args = parser.parse_args()
    predictor = Predictor.load(args.checkpoint, device=args.device, precision=args.precision)
    if args.heap:
        measure_heaps(predictor, args.root)
    else:
        measure_scenes(predictor, args.root, [int(n) for n in args.counts.split(",")])
    return 0


def measure_scenes(predictor: Predictor, root: Path, counts: list[int]) -> None:
    """Print J, on, off and their ratio for each kind of reference."""
    sets = [root / side / "COCO_distractors" for side in ("images", "gts", "distractors")]
    groups = {group.name: group for group in scan_groups(sets[0], sets[1], distractors=sets[2])}
    pascal = {
        group.name: [i.image for i in group.items] for group in scan_groups(root / "images/PASCAL_coseg")
    }
    rows: dict[str, dict[str, np.ndarray]] = {}
    for name, group in tqdm(groups.items(), unit="group", disable=None):
        files = [item.image for item in group.items]
        score = rows.setdefault("the group", {})[name] = scores(group, predictor(files))
        line = f"{name:14} {len(files):3}  group {score[:, 0].mean():.3f}"
        if name in PASCAL:
            for count in counts:
                reference = predictor.remember(pascal[PASCAL[name]][:count])
                for mixed in (False, True):
                    what = f"{count} pictures" + " and the group" * mixed
                    maps = predictor(files, reference=reference, include_group=mixed)
                    score = rows.setdefault(what, {})[name] = scores(group, maps)
                    line += f"  {what} {score[:, 0].mean():.3f}"
        try:
            maps = predictor(files, reference=Reference.named(name))
            score = rows.setdefault("by name", {})[name] = scores(group, maps)
            line += f"  by name {score[:, 0].mean():.3f}"
        except ConfigError:  # no object of that name, or other weights
            pass
        tqdm.write(line)
    best = {n: rows.get(f"{counts[-1]} pictures", {}).get(n, s) for n, s in rows.get("by name", {}).items()}
    best |= rows.get(f"{counts[-1]} pictures", {})
    rows["any reference"] = best
    for what, found in rows.items():
        parts = [summary(np.concatenate([of[name] for name in found])) for of in (found, rows["the group"])]
        print(f"{what:24} {parts[0]}   the group there: {parts[1]}")


def scores(group: Group, maps: Maps) -> np.ndarray:
    """The pictures' J at 0.5, and the means of the map on the object and on the others: (N,3)."""
    found = []
    for item, m in zip(group.items, maps, strict=True):
        assert item.mask and item.distractors
        own, other = (np.asarray(load_mask(path)) >= HALF for path in (item.mask, item.distractors))
        J = ((m >= HALF) & own).sum() / max(1, ((m >= HALF) | own).sum())
        found.append([J, m[own].mean() / 255, m[other].mean() / 255 if other.any() else np.nan])
    return np.array(found)


def summary(rows: np.ndarray) -> str:
    """One line for rows of `scores`."""
    J, on, off = np.nanmean(rows, 0)
    return f"{len(rows):3} pictures: J {J:.3f} on {on:.3f} off {off:.3f} on/off {on / off:.2f}"


def measure_heaps(predictor: Predictor, root: Path) -> None:
    """Print the AUC of presence, and what the threshold keeps, for each kind of two heaps."""
    for heap, sizes in HEAPS.items():
        kinds = {}
        for group in chain(*(scan_groups(root / "images" / name) for name in ("iCoseg", "PASCAL_coseg"))):
            if size := sizes.get(group.name.split()[0]):
                kinds[group.name] = [item.image for item in group.items[: 3 + size]]
        files = [path for own in kinds.values() for path in own[3:]]
        for name, own in kinds.items():
            level = predictor.predict(files, lambda m: None, reference=own[:3])
            is_own = np.isin(np.array(files, str), np.array(own, str))
            kept = [(level >= PRESENT)[some].mean() for some in (is_own, ~is_own)]
            what = f"heap {heap}, {len(files)} pictures, {name[:20]:20} {is_own.sum():3}"
            found = f"kept {kept[0]:6.1%}, of the others {kept[1]:6.1%}"
            print(f"{what}: AUC {auc(level, is_own):.3f}, {found}", flush=True)


def auc(values: np.ndarray, positive: np.ndarray) -> float:
    """Return the share of (positive, negative) pairs whose positive has the higher value; ties count half."""
    a, b = values[positive][:, None], values[~positive]
    return float((a > b).mean() + (a == b).mean() / 2)


if __name__ == "__main__":
    run_command(main)
