"""Crop every picture of a group to its common object, from the maps that test.py saved.

    gconet thumbnails --images photos --maps results/photos --output results/thumbnails
    python scripts/thumbnails.py --images data/demo/images --maps results/demo --output results/thumbnails

writes <output>/crops/<group>/<stem>.jpg, all of one size, with the object about equally large and
central in each; and <output>/index.html, a page that shows them all. Needs no GPU; about 30 pictures
per second.

Exit status: 0 if everything was written, 1 for failures (or files skipped), 2 for wrong arguments.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from gconet.applications.crops import make_thumbnails
from gconet.applications.doubts import check_maps
from gconet.applications.jobs import Shelf, make_jobs
from gconet.applications.outputs import RESULTS, new_results
from gconet.applications.page import Previews, make_cards, write_page
from gconet.cli import add_results, new_parser, note_unfinished, report
from gconet.data.groups import Group, leave_out, scan_groups
from gconet.errors import ConfigError, DataError, counted


def main() -> int:
    args = parse_args()
    groups = scan_groups(args.images, maps=args.maps)
    note_unfinished(args.maps)
    inputs = {"--images": args.images, "--maps": args.maps}
    with new_results(args.output, inputs, groups, overwrite=args.overwrite):
        said, errors = write_results(args, groups)
    return report(said, [args.images], errors)


def write_results(args: argparse.Namespace, groups: Sequence[Group]) -> tuple[list[str], list[DataError]]:
    """Write the thumbnails and the page; returns what to print, and the errors."""
    previews = Previews(args.output, groups, wanted=args.page)
    jobs = make_jobs(groups, args.output, {"thumbnail": RESULTS["thumbnail"]})
    width, height = (max(1, round(args.size * side / max(args.aspect))) for side in args.aspect)
    how = {"aspect": args.aspect, "shape": (width, height), "strict": args.strict}
    judged, errors = make_thumbnails(jobs, shelf=Shelf(), previews=previews, **how)
    if not judged:
        return [], errors
    groups = leave_out(groups, {job.item.image for job in jobs} - set(judged))
    made, there = counted(len(judged), "thumbnail"), counted(len(groups), "group")
    doubts, check = check_maps(groups, judged, {}, None)
    said = [f"{made} of {width}x{height} of {there} in {args.output}", *check]
    if args.page:
        files = {job.item.image: {"picture": job.item.image, **job.files} for job in jobs}
        title = f"Thumbnails: {args.output.resolve().name}"
        cards = make_cards(groups, files, doubts=doubts)
        said.append(f"open: {write_page(args.output, cards, previews, title=title)}")
    return said, errors


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR", help="one group, or a folder of groups")
    add("--maps", type=Path, required=True, metavar="DIR", help="their maps, in the same tree")
    add_results(parser)
    add("--aspect", default="1:1", metavar="W:H", help="shape of the thumbnails (default: %(default)s)")
    add("--size", type=int, default=256, metavar="PIXELS", help="their longer side (default: %(default)s)")
    args = parser.parse_args()
    if not re.fullmatch(r"[1-9]\d{0,3}:[1-9]\d{0,3}", args.aspect):
        raise ConfigError(f"--aspect {args.aspect}: give two whole numbers, width:height, like 1:1 or 16:9")
    args.aspect = tuple(map(int, args.aspect.split(":")))
    if not 1 <= args.size <= 10000:
        raise ConfigError(f"--size {args.size}: give 1 to 10000 pixels")
    return args
