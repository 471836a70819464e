"""Cut the common object out of every picture of a group: maps, cut-outs and a page in one go.

    gconet cutouts photos/bikes --thumbnails                   to results/bikes
    gconet cutouts bikes cats more/*.jpg --output out          several groups; files from one folder form one
    gconet cutouts heap --reference cats                       what the pictures in cats show, if it is there
    gconet cutouts data/demo/images --maps results/demo --output results/cutouts

writes, for every picture, <output>/maps/<group>/<stem>.png, its co-saliency map, unless --maps gives it;
<output>/masks/<group>/<stem>.png, the object in white; <output>/cutouts/<group>/<stem>.png, only the
object, with soft, transparent edges; with --background, <output>/backgrounds/<group>/<stem>.jpg, the
object in front of it; with --thumbnails, <output>/crops/<group>/<stem>.jpg; and <output>/index.html, a
page that shows them all. The last lines name the maps to check: likely strays, and maps that are empty,
cover the whole picture, fall into pieces, or are mostly grey ("unsure"). With --reference or --object,
pictures that lack the object get a map but no cut-out, and are listed. With --maps, no network runs: about
15 pictures per second on each core. --overwrite also removes earlier results of pictures that are no longer
in their group and of options you no longer pass. The hidden file .gconet lists what was written.

Exit status: 0 if everything was written, 1 for failures (or files skipped), 2 for wrong arguments.
"""

import argparse
from functools import partial
from pathlib import Path

from gconet.applications.crops import make_thumbnails
from gconet.applications.cutting import cutout_panels, format_scores, read_background, write_cutout
from gconet.applications.doubts import PRESENT, check_maps
from gconet.applications.jobs import make_jobs, run_jobs, score_results
from gconet.applications.outputs import FILE, RESULTS, check_output, settle_results
from gconet.applications.page import make_entries, write_page
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
from gconet.data.groups import leave_out, scan_sources
from gconet.errors import ConfigError, DataError, counted


def main() -> int:
    args = parse_args()
    background = read_background(args.background)
    sources = {"--images": args.sources, "--maps": args.maps, "--gts": args.gts}
    wanted = scan_sources(args.sources, args.gts, args.maps)
    check_output(args.output, wanted, sources, overwrite=args.overwrite, page=args.page)
    references = settle_references(args, wanted)
    groups, presence, errors, said = list(wanted), dict[Path, float](), list[DataError](), list[str]()
    maps = args.maps or args.output / "maps"
    if not args.maps:
        from gconet.inference.folders import make_maps  # here: with --maps, torch is not needed

        groups, presence, errors = make_maps(wanted, maps, references=references, **network_options(args))
        if not groups and not errors:
            return 0  # with torchrun, the first rank reports for all
        said.append(f"{counted(len(presence), 'map')} of {counted(len(groups), 'group')} in {maps}")
    wished = {"mask": True, "cut-out": True, "new background": args.background, "thumbnail": args.thumbnails}
    absent = {image for image, level in presence.items() if references and level < args.presence}
    found = leave_out(groups, absent)
    jobs = make_jobs(found, args.output, {kind: RESULTS[kind] for kind, wish in wished.items() if wish})
    work = partial(write_cutout, background=background)
    done, failed = run_jobs(work, jobs, desc="cut-outs", strict=args.strict)
    errors += failed
    covered = [job for job, _ in done]
    images = {job.item.image for job in covered}
    written = {path for job in covered for kind, path in job.files.items() if kind != "thumbnail"}
    written |= set() if args.maps else {i.map for group in groups for i in group.items if i.map}
    if not covered:
        settle_results(args.output, RESULTS, wanted, written)
        said = check_maps(groups, presence, maps / FILE, least=args.presence)[1] if absent else []
        return report(said, args.sources, errors)
    groups = leave_out(groups, {job.item.image for job in jobs} - images)
    said.append(f"{counted(len(covered), 'cut-out')} of {counted(len(groups), 'group')} in {args.output}")
    if args.background:
        number = counted(len(covered), "picture")
        said.append(f"{number} with a new background in {args.output / 'backgrounds'}")
    failures = {job.item.image: doubt for job, doubt in done if doubt}
    doubts, check = check_maps(
        groups,
        presence,
        maps / FILE if presence else None,
        failures,
        least=args.presence if references else None,
    )
    if args.thumbnails:
        crops, failed = make_thumbnails(covered, aspect=(1, 1), shape=(256, 256), strict=args.strict)
        errors += failed
        written |= {job.files["thumbnail"] for job, _ in crops}
        said.append(f"{counted(len(crops), 'thumbnail')} in {args.output / 'crops'}")

    settle_results(args.output, RESULTS, wanted, written)
    scores, failed = score_results(args.output / "masks", args.gts, groups)
    errors += failed
    if args.strict and errors:
        raise errors[0]
    of_maps, _ = score_results(maps, args.gts if scores else None, groups)
    if scores and of_maps:
        said.append(format_scores(of_maps, scores))
    said += check
    if args.page:
        headings = ["picture", "map", *[kind for kind, wish in wished.items() if wish][1:]]
        title = f"Cut-outs: {args.output.resolve().name}"
        entries = make_entries(covered, "cut-out", cutout_panels, scores, doubts)
        page = write_page(args.output, entries, title=title, headings=headings)
        said.append(f"open: {page}")
    return report(said, args.sources, errors)


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add_photos(parser)
    gts, output = "prints P and J next to those of the maps", "results/ and the folder's name"
    add_results(parser, gts=gts, output=output)
    add_network(parser)
    add_reference(parser, PRESENT)
    add = parser.add_argument
    add("--maps", type=Path, metavar="DIR", help="maps, in the same tree (default: made here)")
    add("--thumbnails", action="store_true", help="also crops of 256x256 around the object")
    about = "also objects in front of a colour (white, #ffcc00), a picture or their blurred background"
    add("--background", metavar="COLOUR|FILE|blur", help=about)
    args = parser.parse_args()
    settle_sources(args)
    if args.maps and (args.reference or args.object):
        raise ConfigError("--maps gives the maps; leave out --reference and --object, or --maps")
    return args
