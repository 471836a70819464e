"""Score co-saliency maps against their masks, as the published tables do.

Maps and masks pair by folder and stem; DIR is one group or a folder of groups. To compare methods, repeat
--maps, each as NAME=DIR or named after its folder. With --sets, every DIR holds one folder per set:

    python scripts/evaluate.py --maps results/toy_test --gts data/gts/toy_test --json toy.json
    python scripts/evaluate.py --sets CoCA,CoSOD3k,Cosal2015 --gts data/gts \\
        --maps ours=results --maps GICD=other/gicd --markdown table.md --plot curves.png

P is the share of pixels labelled correctly and J the intersection over the union, of the map cut at 0.5
(@.5) and at twice its mean (@ad). With --distractors, the tables also show, for each group, the mean of the
map on the common object ("on"), on the other objects ("off"), and on/off, about 1 for a map that marks every
object. Means are taken per image, then over the images that have such pixels; "-": no image has any.

Conventions: "toolbox" is eval-co-sod's, which the published tables follow. "pysodmetrics" stretches maps for
MAE too and binarises masks; that changes MAE by about 0.007, the rest by less than 0.003. AP and AUC, which
PySODMetrics lacks, are then the toolbox's areas under PySODMetrics' curves.

A map without a mask, a mask without a map and an unreadable file are errors. One core scores 100 to 200 maps
per second.
"""

import argparse
from pathlib import Path

from gconet.cli import new_parser, note_unfinished
from gconet.data.names import check_name, name_folders
from gconet.errors import say
from gconet.evaluation import CONVENTIONS, format_table, score_folders
from gconet.evaluation.plots import plot_curves
from gconet.evaluation.scores import format_json
from gconet.files import check_files, write_file
from gconet.machine import processors


def main() -> int:
    args = parse_arguments()
    methods = name_folders(args.maps or ["results/demo"], "--maps")
    gts = args.gts or Path("data/gts" if args.sets else "data/demo/gts")
    sets = {name: Path(name) for name in args.sets} if args.sets else {gts.resolve().name: Path()}
    groups = args.groups or args.distractors is not None
    inputs = [folder for folder in (gts, args.distractors, *methods.values()) if folder]
    files = [path for path in (args.json, args.markdown, args.plot) if path]
    check_files(files, overwrite=args.overwrite, plot=args.plot, inputs=inputs)
    note_unfinished(*(maps / folder for folder in sets.values() for maps in methods.values()))
    scores = []
    for name, folder in sets.items():
        others = args.distractors / folder if args.distractors else None
        how = {"convention": args.convention, "workers": args.workers}
        for method, maps in methods.items():
            own = {"distractors": others, "method": method, "dataset": name, **how}
            scores.append(score_folders(maps / folder, gts / folder, **own))
    if args.json:
        write_file(args.json, format_json(*scores))
    if args.markdown:
        write_file(args.markdown, format_table(*scores, markdown=True, groups=groups) + "\n")
    if args.plot:
        write_file(args.plot, plot_curves(scores, args.plot.suffix[1:]))
    say(*format_table(*scores, groups=groups).splitlines())
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--maps", action="append", metavar="[NAME=]DIR", help="8-bit maps (default results/demo); repeatable")
    add("--gts", type=Path, metavar="DIR", help="masks (default data/demo/gts; with --sets data/gts)")
    add("--distractors", type=Path, metavar="DIR", help="masks of the other objects, one for each of --gts")
    about = "score these sub-folders of --maps, --gts and --distractors, one set each"
    add("--sets", type=lambda names: names.split(","), metavar="A,B", help=about)
    add("--convention", choices=CONVENTIONS, default="toolbox", help="default toolbox")
    add("--workers", type=int, default=processors(), help="processes (default: one per CPU)")
    add("--groups", action="store_true", help="a row per group in the tables (--distractors adds them too)")
    add("--json", type=Path, metavar="FILE", help="figures, curves, groups and images")
    add("--markdown", type=Path, metavar="FILE", help="the table")
    add("--plot", type=Path, metavar="FILE", help="PR, F and E curves: .png, .pdf or .svg (needs matplotlib)")
    add("--overwrite", action="store_true", help="replace output files that exist")
    args = parser.parse_args()
    if args.plot and args.plot.suffix.lower() not in (".png", ".pdf", ".svg"):
        parser.error(f"--plot {args.plot}: give a file name that ends in .png, .pdf or .svg")
    for name in args.sets or []:
        check_name(name, "--sets")
    return args
