"""Measure how well the signs of trouble in presence.csv tell bad maps from good ones.

    python test.py --images data/images/PASCAL_coseg --output results/pascal --no-page
    python scripts/tools/measure_doubts.py --maps results/pascal --gts data/gts/PASCAL_coseg

Prints, for each sign and for any sign, the share of maps that have it: among maps whose Jaccard index at
0.5 is below 0.3, among those between, and among those above 0.7, for which it is a false alarm.
"""

import csv
from pathlib import Path

from gconet.applications.outputs import FILE
from gconet.cli import new_parser
from gconet.errors import run_command
from gconet.evaluation import score_folders


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--maps", type=Path, required=True, metavar="DIR", help="maps of test.py")
    parser.add_argument("--gts", type=Path, required=True, metavar="DIR", help="masks in the same tree")
    args = parser.parse_args()
    with (args.maps / FILE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    signs = {(row["group"], row["image"]): set(row["check"].split("; ")) - {""} for row in rows}
    kinds: dict[str, list[set[str]]] = {"J < .3": [], "between": [], "J > .7": []}
    for group, own in score_folders(args.maps, args.gts).groups.items():
        for stem, figures in own.per_image.items():
            j = figures["j_half"]
            kinds["J < .3" if j < 0.3 else "J > .7" if j > 0.7 else "between"].append(signs[group, stem])
    print(f"{'':20}" + "".join(f"{f'{kind} ({len(maps)})':>18}" for kind, maps in kinds.items()))
    for sign in [*sorted(set().union(*signs.values())), "any"]:
        found = [sum(sign in one or (sign == "any" and bool(one)) for one in maps) for maps in kinds.values()]
        cells = zip(found, kinds.values(), strict=True)
        print(f"{sign:20}" + "".join(f"{count / max(1, len(maps)):18.1%}" for count, maps in cells))
    return 0


if __name__ == "__main__":
    run_command(main)
