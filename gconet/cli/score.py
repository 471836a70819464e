"""Score co-saliency maps against their masks, as the published tables do."""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gconet.data.names import check_option, name_folders
from gconet.errors import ConfigError, DataError, one_line
from gconet.evaluation import CONVENTIONS, Scores, format_table, score_folders
from gconet.evaluation.plots import find_events, plot_curves, write_tensorboard
from gconet.evaluation.published import published_methods
from gconet.evaluation.records import format_csv, format_json

EPILOG = """\
Maps and masks pair by folder and stem; DIR is one group, or folders of groups:
  $ python scripts/evaluate.py --maps results/toy_test --gts data/gts/toy_test --json toy.json
  toy_test, toolbox convention
            images  max E      S  max F    MAE  mean E  mean F     AP    AUC
  toy_test      96  0.713  0.556  0.392  0.218   0.635   0.380  0.305  0.733

Several methods are several --maps, named NAME=DIR or else after the folder. With --sets, every DIR
of maps, masks and distractors holds a folder per set:
  $ python scripts/evaluate.py --sets CoCA,CoSOD3k,Cosal2015 --gts data/gts \\
        --maps ours=results --maps GICD=other/gicd --latex table.tex --plot curves.png

With masks of the other objects, the tables also show, for each group, the mean of the map on the common
object ("on"), on the other objects ("off"), and on/off, about 1 for a map that marks every object:
  $ python scripts/evaluate.py --distractors data/demo/others
Means are taken per image, then over the images that have such pixels; "-" stands for no such image.

Conventions: "toolbox" is eval-co-sod's, which the published co-saliency tables follow.
"pysodmetrics" stretches maps for MAE too and binarises masks; that moves MAE by about 0.007, the
rest by less than 0.003. AP and AUC, which PySODMetrics lacks, are then the toolbox's areas under
PySODMetrics' curves.

Exit status: 0 when all was scored, 1 for failures (a map that is missing or without a mask, unless
--allow-missing; a map or mask that cannot be read), 2 for wrong arguments. A core scores 100 to
200 maps of 400x300 a second."""

FILES = ("json", "csv", "markdown", "latex", "plot")


def main() -> int:
    args = parse_arguments()
    methods = name_folders(args.maps or ["results/demo"], "--maps")
    gts = args.gts or Path("data/gts" if args.sets else "data/demo/gts")
    sets = {name: Path(name) for name in args.sets} if args.sets else {gts.resolve().name: Path()}
    files = {kind: path for kind in FILES if (path := getattr(args, kind))}
    check_outputs(list(files.values()), overwrite=args.overwrite)
    runs = (
        [args.tensorboard / method / name for method in methods for name in sets] if args.tensorboard else []
    )
    check_outputs([event for run in runs for event in find_events(run)], overwrite=args.overwrite)

    scores = [
        score_folders(
            maps / folder,
            gts / folder,
            distractors=args.distractors / folder if args.distractors else None,
            convention=args.convention,
            workers=args.workers,
            allow_missing=args.allow_missing,
            method=method,
            dataset=name,
        )
        for name, folder in sets.items()
        for method, maps in methods.items()
    ]
    layout: dict[str, Any] = {"published": args.published, "rows": args.rows}
    layout |= {"groups": args.groups or args.distractors is not None, "segmentation": args.segmentation}
    for kind, path in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink() or (path.exists() and not path.is_file()):  # /dev/stdout, say
                write_file(kind, path, scores, layout)
                continue
            with TemporaryDirectory(dir=path.parent, prefix=".") as folder:  # path is whole, or as it was
                write_file(kind, Path(folder) / path.name, scores, layout)
                (Path(folder) / path.name).replace(path)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}; choose another place") from None
    if args.tensorboard:
        write_tensorboard(scores, args.tensorboard)
    print(format_table(*scores, **layout))
    unreadable = [reason for one in scores for reason in one.unreadable]
    for reason in unreadable:
        print(f"skipped: {one_line(reason)}", file=sys.stderr)
    return 1 if unreadable else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--maps", action="append", metavar="[NAME=]DIR", help="8-bit maps (default results/demo); repeatable")
    add("--gts", type=Path, metavar="DIR", help="masks (default data/demo/gts; with --sets data/gts)")
    add(
        "--distractors",
        type=Path,
        metavar="DIR",
        help="masks of the other objects, one for each mask of --gts",
    )
    add(
        "--sets",
        type=lambda names: names.split(","),
        metavar="A,B",
        help="score these sub-folders of --maps, --gts and --distractors, one set each",
    )
    add("--convention", choices=CONVENTIONS, default="toolbox", help="default toolbox")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per CPU)")
    add("--allow-missing", action="store_true", help="score the maps that pair, and say what was left out")
    add("--groups", action="store_true", help="a row per group in the tables (--distractors adds them too)")
    add("--segmentation", action="store_true", help="columns for P and J, cut at 0.5 and at twice the mean")
    add(
        "--published",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="published rows below CoCA, CoSOD3k and Cosal2015 (default: yes)",
    )
    add("--rows", type=lambda names: names.split(","), metavar="A,B", help="only these published methods")
    add("--json", type=Path, metavar="FILE", help="figures, curves, groups and images")
    add("--csv", type=Path, metavar="FILE", help="figures of sets, groups and images")
    add("--markdown", type=Path, metavar="FILE", help="the table")
    add("--latex", type=Path, metavar="FILE", help="sets side by side, best in bold, for booktabs")
    add("--plot", type=Path, metavar="FILE", help="PR, F and E curves: .png, .pdf or .svg (needs matplotlib)")
    add("--tensorboard", type=Path, metavar="DIR", help="curves and figures as scalars, run <method>/<set>")
    add("--overwrite", action="store_true", help="replace output files that exist")
    args = parser.parse_args()
    if args.plot and args.plot.suffix.lower() not in (".png", ".pdf", ".svg"):
        parser.error(f"--plot {args.plot}: name a file that ends in .png, .pdf or .svg")
    if unknown := [name for name in args.rows or [] if name not in published_methods()]:
        raise ConfigError(
            f"--rows: no published row of {unknown[0]}; there are {', '.join(published_methods())}"
        )
    if args.workers < 0:
        parser.error("--workers must be 0 or more")
    if args.sets is not None and not all(args.sets):
        parser.error("--sets takes names with commas between them, as in CoCA,CoSOD3k")
    for name in args.sets or []:
        check_option("--sets", name)
    return args


def check_outputs(paths: list[Path], *, overwrite: bool) -> None:
    """Raise ConfigError for an output that exists, unless `overwrite`, that is named twice, or that
    cannot be written."""
    if there := [str(path) for path in paths if path.exists() and not overwrite]:
        raise ConfigError(f"{', '.join(there)} exists already; name another file, or --overwrite it")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("two outputs go to one file; give each a name of its own")
    for path in paths:
        place = next(folder for folder in path.absolute().parents if folder.exists())
        if path.is_dir() or not place.is_dir() or not (path.exists() or os.access(place, os.W_OK)):
            raise ConfigError(f"cannot write {path}: choose a file in a folder that can be written to")


def write_file(kind: str, path: Path, scores: list[Scores], layout: dict[str, Any]) -> None:
    """Write the scores to `path` as one of `FILES`."""
    if kind == "plot":
        plot_curves(scores, path)
        return
    if kind in ("json", "csv"):
        text = {"json": format_json, "csv": format_csv}[kind](*scores)
    else:
        text = format_table(*scores, style=kind, **layout) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")  # names may not be valid text
