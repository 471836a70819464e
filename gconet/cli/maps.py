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
--overwrite also removes earlier results of pictures that are no longer in their group.

With --reference or --object, each picture is processed by itself, and any number fits into memory.
An unreadable picture is left out of its group and named at the end; with --strict, the run stops there.

Exit status: 0 when every map was written, 1 for failures (or files skipped), 2 for wrong arguments.
"""

import argparse
import math
from pathlib import Path

from gconet.applications.doubts import PRESENT, check_maps
from gconet.applications.jobs import score_results
from gconet.applications.outputs import FILE, MAPS, check_output, settle_results
from gconet.applications.page import write_maps_page
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
from gconet.data.groups import scan_sources
from gconet.errors import ConfigError, counted
from gconet.evaluation import format_table

DEMO = Path("data/demo")


def main() -> int:
    args = parse_args()
    from gconet.inference.folders import make_maps  # loads PyTorch, which --help does not need

    sources = {"--images": args.sources, "--gts": args.gts, "--distractors": args.distractors}
    wanted = scan_sources(args.sources, args.gts, distractors=args.distractors)
    check_output(args.output, wanted, sources, overwrite=args.overwrite, page=args.page, flat=True)
    references = settle_references(args, wanted)
    options = {"memory": args.memory, "references": references, **network_options(args)}
    groups, presence, errors = make_maps(wanted, args.output, **options)
    if not groups and not errors:
        return 0  # with torchrun, the first rank reports for all
    settle_results(
        args.output, MAPS, wanted, {item.map for group in groups for item in group.items if item.map}
    )
    if not groups:
        return report([], args.sources, errors)
    said = [f"{counted(len(presence), 'map')} of {counted(len(groups), 'group')} in {args.output}"]
    doubts, check = check_maps(
        groups, presence, args.output / FILE, least=args.presence if references else None
    )
    scores, failed = score_results(args.output, args.gts, groups, args.distractors)
    if scores:
        said.append(format_table(scores, segmentation=True, groups=args.distractors is not None))
    said += check
    if args.page:
        said.append(f"open: {write_maps_page(args.output, groups, scores, doubts)}")
    return report(said, args.sources, errors + failed)


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
