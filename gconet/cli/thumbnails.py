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
from pathlib import Path

from gconet.applications.crops import make_thumbnails, thumbnail_panels
from gconet.applications.doubts import check_maps
from gconet.applications.jobs import make_jobs
from gconet.applications.outputs import RESULTS, check_output, settle_results
from gconet.applications.page import make_entries, write_page
from gconet.cli import add_results, new_parser, report
from gconet.data.groups import leave_out, scan_groups
from gconet.errors import ConfigError, counted


def main() -> int:
    args = parse_args()
    groups = scan_groups(args.images, None, args.maps)
    sources = {"--images": args.images, "--maps": args.maps}
    check_output(args.output, groups, sources, overwrite=args.overwrite, page=args.page)
    patterns = {"thumbnail": RESULTS["thumbnail"]}
    jobs = make_jobs(groups, args.output, patterns)
    width, height = (max(1, round(args.size * side / max(args.aspect))) for side in args.aspect)
    crops, errors = make_thumbnails(jobs, aspect=args.aspect, shape=(width, height), strict=args.strict)
    done = [job for job, _ in crops]
    images = {job.item.image for job in done}
    settle_results(args.output, patterns, groups, {path for job in done for path in job.files.values()})
    made, there = counted(len(crops), "thumbnail"), counted(len({job.group for job in done}), "group")
    doubts, check = check_maps(leave_out(groups, {job.item.image for job in jobs} - images), {}, None)
    said = [f"{made} of {width}x{height} of {there} in {args.output}", *check]
    if args.page and crops:
        entries = make_entries(done, "thumbnail", thumbnail_panels, doubts=doubts)
        page = write_page(
            args.output,
            entries,
            title=f"Thumbnails: {args.output.resolve().name}",
            headings=("picture", "thumbnail"),
        )
        said.append(f"open: {page}")
    return report(said if crops else [], [args.images], errors)


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
