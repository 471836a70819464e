"""Draw the paper's figures for your own pictures.

    gconet figures attention --images data/demo/images --output results/attention
    gconet figures consensus --images data/demo/images --output results/consensus
    gconet figures grid --images data/demo/images --gts data/demo/gts \\
        --maps GCoNet=results/demo --output results/grid.png

attention  Figure 5: GAM's attention to what a group shares, overlaid on every picture; a page shows them all
consensus  Figure 1: how similar the groups' consensus vectors are (similarity.csv, similarity.png), and every
           image's part of the consensus, for t-SNE in TensorBoard (tensorboard --logdir OUTPUT, Projector)
grid       Figures 6 and 7: image, ground truth and the maps of several methods side by side; needs no network

Exit status: 0 if everything was written, 1 for failures (or files skipped), 2 for wrong arguments.
"""

import argparse
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from gconet.applications.consensus import write_consensus
from gconet.applications.desk import PICTURE, Desk
from gconet.applications.drawing import draw_grid, load_row, pick_rows, write_attention
from gconet.applications.jobs import make_jobs, run_jobs
from gconet.applications.outputs import new_results
from gconet.applications.page import write_page
from gconet.cli import add_care, add_network, load_predictor, new_parser, note_unfinished, report
from gconet.data.groups import leave_out, scan_groups
from gconet.data.names import name_folders
from gconet.errors import ConfigError, counted
from gconet.files import check_files, save_picture


def main() -> int:
    args = parse_args()
    if args.figure == "grid":
        return draw_figures_6_and_7(args)
    from gconet.inference.folders import look_inside  # loads PyTorch, which the grid does not need
    from gconet.inference.projector import write_projector

    wanted = scan_groups(args.images)
    desk = Desk(args.output, wanted)
    with new_results(args.output, {"--images": args.images}, wanted, overwrite=args.overwrite):
        predictor = load_predictor(args)
        if args.figure == "attention":
            how = {"strict": args.strict, "load": desk.load}
            groups, seen, errors = look_inside(predictor, predictor.attention, wanted, **how)
            jobs = make_jobs(groups, args.output, ["attention"])
            work = partial(write_attention, desk=desk)
            pairs = list(zip(jobs, chain.from_iterable(seen), strict=True))
            done, failed = run_jobs(work, pairs, desc="overlays", strict=args.strict)
            errors += failed
            files = {job.item.image: {PICTURE: job.item.image, **job.files} for (job, _), _ in done}
            groups = leave_out(groups, {job.item.image for job in jobs} - set(files))
            page = write_page(args.output, groups, files, desk, title="Attention of GAM")
            said = f"{counted(len(files), 'picture')} of {counted(len(groups), 'group')}", f"open: {page}"
        else:
            groups, seen, errors = look_inside(predictor, predictor.consensus, wanted, strict=args.strict)
            vectors = np.stack([parts.mean(0) for parts in seen])
            write_consensus(args.output, [group.name for group in groups], vectors)
            write_projector(args.output / "projector", groups, np.concatenate(seen))
            said = f"similarity of {counted(len(groups), 'group')}", f"open: {args.output / 'similarity.png'}"
    return report(said, [args.images], errors)


def draw_figures_6_and_7(args: argparse.Namespace) -> int:
    """Draw the grid; returns the exit status."""
    methods, output = name_folders(args.maps, "--maps"), args.output
    if output.suffix != ".png":
        raise ConfigError(f"--output {output}: the grid is a PNG file; use a name that ends in .png")
    for folder in (args.images, args.gts, *methods.values()):
        if folder and output.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"--output {output} lies in the input folder {folder}; choose another place")
    check_files([output], overwrite=args.overwrite)
    note_unfinished(*methods.values())
    rows = pick_rows(args.images, args.gts, methods, args.count)
    drawn, errors = run_jobs(load_row, rows, desc="pictures", strict=args.strict)
    if drawn:
        titles = ["image", *(["ground truth"] if args.gts else []), *methods]
        save_picture(output, draw_grid([row for _, row in drawn], titles))
    said = (f"{counted(len(drawn), 'picture')}", f"open: {output}") if drawn else ()
    return report(said, [args.images], errors)


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("figure", choices=("attention", "consensus", "grid"))
    add("--images", type=Path, required=True, metavar="DIR", help="one group, or a folder of groups")
    add("--output", type=Path, required=True, metavar="DIR", help="where the results go (grid: a PNG file)")
    add("--gts", type=Path, metavar="DIR", help="grid: masks in the same tree")
    add("--maps", action="append", metavar="[NAME=]DIR", help="grid: maps of one method; repeatable")
    add("--count", type=int, default=3, metavar="N", help="grid: images per group (default: %(default)s)")
    add_network(parser)
    add_care(parser)
    args = parser.parse_args()
    if (args.figure == "grid") != bool(args.maps) or args.count < 1:
        parser.error("the grid needs --maps, and a --count of at least 1; the other figures take no --maps")
    return args
