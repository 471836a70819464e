"""Write co-saliency maps: checkpoint + groups of images → one 8-bit PNG for each image.

    python test.py --checkpoint runs/gconet/last.pt --images data/images/CoCA --output results/CoCA
    gconet maps ~/photos/bikes                       to results/bikes; the same as test.py
    gconet maps bikes cats more/*.jpg --output maps  several groups; files from one folder form one
    gconet maps heap --reference cats                a map of what the pictures in cats show, for each in heap
    torchrun --nproc-per-node 2 test.py ...          the GPUs share the groups

--images is one group (pictures that share an object, directly inside) or a folder of groups; each
group is processed as a whole. A map has its picture's size and goes to <output>/<group>/<stem>.png,
with value = floor(255 * co-saliency), so 0 is background; <output>/index.html shows them all.
<output>/presence.csv gives each picture a score from 0 to 1, higher if it shows the group's object, and
lists what to check: likely strays, which are far below their group's median, and maps that are empty,
cover the whole picture, are mostly grey, or fall into pieces.
The results get a folder of their own; --overwrite moves earlier ones to <output>.old.

With --reference or --object, each picture is processed by itself, and any number fits into memory.
An unreadable picture is left out of its group and named at the end; with --strict, the run stops there.

Exit status: 0 when every map was written, 1 for failures (or files skipped), 2 for wrong arguments.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gconet.applications.doubts import PRESENT, check_maps
from gconet.applications.jobs import look_at, page_files, sum_up
from gconet.applications.outputs import FILE, check_names, new_results
from gconet.applications.page import Previews, make_cards, write_page
from gconet.cli import (
    add_network,
    add_photos,
    add_reference,
    add_results,
    network_options,
    new_parser,
    report,
    settle_references,
    settle_sources,
)
from gconet.data.groups import Group, scan_sources
from gconet.errors import ConfigError, DataError, counted
from gconet.evaluation import format_table

DEMO = Path("data/demo")


def main() -> int:
    args = parse_args()
    from gconet.device import launched_ranks  # loads PyTorch, which --help does not need

    reference = {"--reference": args.reference}
    inputs = {"--images": args.sources, "--gts": args.gts, "--distractors": args.distractors, **reference}
    wanted = scan_sources(args.sources, args.gts, distractors=args.distractors)
    check_names(wanted)
    references = settle_references(args, wanted)
    first = launched_ranks()[0] == 0
    with new_results(args.output, inputs, wanted, overwrite=args.overwrite, first=first):
        said, errors = write_results(args, wanted, references)
    return report(said, args.sources, errors)


def write_results(
    args: argparse.Namespace, wanted: Sequence[Group], references: Mapping[str, Any] | None
) -> tuple[list[str], list[DataError]]:
    """Write the maps, their scores and the page; returns what to print, and the errors."""
    from gconet.inference.folders import make_maps

    previews = Previews(args.output, wanted, wanted=args.page)
    options = {
        "memory": args.memory,
        "consensus": args.consensus,
        "references": references,
        **network_options(args),
    }
    look = partial(look_at, previews=previews)
    groups, presence, seen, errors = make_maps(wanted, args.output, load=previews.load, look=look, **options)
    if not groups:  # with torchrun, the first rank reports for all
        return [], errors
    said = [f"{counted(len(presence), 'map')} of {counted(len(groups), 'group')} in {args.output}"]
    least = args.presence if references else None
    judged = {image: one.doubts for image, one in seen.items()}
    doubts, check = check_maps(groups, judged, presence, args.output / FILE, least=least)
    scores = None
    if args.gts:
        found = {image: one.score for image, one in seen.items()}
        scores, failed = sum_up(wanted, found, method=args.output.resolve().name, gts=args.gts)
        errors += failed
    if scores:
        said.append(format_table(scores, segmentation=True, groups=args.distractors is not None))
    said += check
    if args.page:
        files = {i.image: page_files(i, seen[i.image]) for group in groups for i in group.items}
        title = f"Co-saliency maps: {args.output.resolve().name}"
        page = write_page(args.output, make_cards(groups, files, scores, doubts), previews, title=title)
        said.append(f"open: {page}")
    return said, errors


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_network(parser)
    add_reference(parser, PRESENT)
    add_photos(parser, f"{DEMO / 'images'}, with its masks")
    add_results(parser, gts="prints the scores", output="results/ and the folder's name")
    about = "with --gts, masks of the other objects in the same tree: scores the maps on both, for each group"
    parser.add_argument("--distractors", type=Path, metavar="DIR", help=about)
    about = """memory for a group, in addition to the network (default: on a GPU what is free; on a CPU half
        of that, at most 1 unless the group needs more); with less, more is computed twice; the minimum grows
        with the group"""
    parser.add_argument("--memory", type=float, metavar="GIB", help=about)
    args = parser.parse_args()
    if args.memory is not None:
        if not 0 < args.memory < math.inf:
            raise ConfigError(f"--memory {args.memory}: give a number of GiB above 0")
        args.memory = int(args.memory * 2**30)
    if not args.sources and not args.images:
        args.images = DEMO / "images"
    if [args.images, *args.sources] in ([DEMO / "images"], [None, DEMO / "images"]):
        args.gts, args.distractors = args.gts or DEMO / "gts", args.distractors or DEMO / "others"
        args.output = args.output or Path("results/demo")
    settle_sources(args)
    if args.distractors and not args.gts:
        raise ConfigError(f"--distractors {args.distractors} without --gts; give the masks of both")
    return args
