"""Crop every picture of a group to its common object, from the maps that test.py saved.

    gconet thumbnails --images photos --maps results/photos --output results/thumbnails
    python scripts/thumbnails.py --images data/demo/images --maps results/demo --output results/thumbnails

writes <output>/crops/<group>/<stem>.jpg, all of one size and with the object about as large and as
central in each; with --explain, <output>/explained/<group>/<stem>.jpg, the picture with the
object's box in yellow, enlarged in red, and the crop in white; and <output>/index.html, a page to
look at them all. Needs no GPU; about 30 pictures a second.

Exit status: 0 if everything was written, 1 for failures (or files skipped), 2 for wrong arguments.
"""

import argparse
from pathlib import Path

from gconet.applications.doubts import check_maps
from gconet.applications.jobs import make_jobs, report, run_jobs
from gconet.applications.outputs import RESULTS, check_output, settle_results
from gconet.applications.page import make_entries, write_page
from gconet.applications.thumbnails import format_kept, keep_share, make_thumbnails, thumbnail_panels
from gconet.cli import add_results, new_parser
from gconet.data.groups import leave_out, scan_groups
from gconet.errors import ConfigError, counted


def main() -> int:
    args = parse_args()
    groups = scan_groups(args.images, args.gts, args.maps)
    sources = {"--images": args.images, "--maps": args.maps, "--gts": args.gts}
    check_output(args.output, groups, sources, overwrite=args.overwrite, page=args.page)
    patterns = {kind: RESULTS[kind] for kind in ("thumbnail", "explained")}
    kinds = ("thumbnail", "explained") if args.explain else ("thumbnail",)
    jobs = make_jobs(groups, args.output, {kind: patterns[kind] for kind in kinds})
    width, height = shape = output_size(args.aspect, args.size)
    crops, errors = make_thumbnails(jobs, aspect=args.aspect, shape=shape, strict=args.strict)
    done = [job for job, _ in crops]
    images = {job.item.image for job in done}
    settle_results(args.output, patterns, groups, {path for job in done for path in job.files.values()})
    made, there = counted(len(crops), "thumbnail"), counted(len({job.group for job in done}), "group")
    said = [f"{made} of {width}x{height} of {there} in {args.output}"]
    doubts, check = check_maps(leave_out(groups, {job.item.image for job in jobs} - images), {}, None)
    said += check
    if args.gts:
        kept, failed = run_jobs(keep_share, crops, desc="masks", strict=args.strict)
        errors += failed
        if kept:
            said.append(format_kept([share for _, share in kept]))
    if args.page and crops:
        boxes = "Picture with the object's box (yellow), enlarged (red), the crop (white); thumbnail"
        legend = boxes if args.explain else ""
        entries = make_entries(done, "thumbnail", thumbnail_panels, doubts=doubts)
        title = f"Thumbnails: {args.output.resolve().name}"
        page = write_page(args.output, entries, title=title, legend=legend, headings=("picture", "thumbnail"))
        said.append(f"to look at: {page}")
    return report(said if crops else [], [args.images], errors)


def output_size(aspect: tuple[int, int], longer: int) -> tuple[int, int]:
    """(width, height) of the thumbnails, by their longer side."""
    width, height = aspect
    return max(1, round(longer * width / max(aspect))), max(1, round(longer * height / max(aspect)))


def parse_aspect(text: str) -> tuple[int, int]:
    """W:H; raises ConfigError."""
    width, _, height = text.partition(":")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) < 10000 and 0 < int(height) < 10000):
        raise ConfigError(f"--aspect {text}: give two whole numbers, width:height, as in 1:1 or 16:9")
    return int(width), int(height)


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR", help="one group, or a folder of groups")
    add("--maps", type=Path, required=True, metavar="DIR", help="their maps, in the same tree")
    add_results(parser, gts="prints how much of the objects the crops keep")
    add("--aspect", default="1:1", metavar="W:H", help="shape of the thumbnails (default: %(default)s)")
    add("--size", type=int, default=256, metavar="PIXELS", help="their longer side (default: %(default)s)")
    add("--explain", action="store_true", help="also the pictures with the boxes drawn in")
    args = parser.parse_args()
    args.aspect = parse_aspect(args.aspect)
    if not 1 <= args.size <= 10000:
        raise ConfigError(f"--size {args.size}: give 1 to 10000 pixels")
    return args
