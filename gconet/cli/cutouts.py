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
15 pictures per second on each core. The results get a folder of their own; --overwrite moves earlier ones
to <output>.old.

Exit status: 0 if everything was written, 1 for failures (or files skipped), 2 for wrong arguments.
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gconet.applications.crops import make_thumbnails
from gconet.applications.cutting import Background, cut_files, format_scores, read_background, write_cutout
from gconet.applications.doubts import PRESENT, check_maps
from gconet.applications.jobs import Shelf, keep_map, make_jobs, run_jobs, sum_up
from gconet.applications.outputs import FILE, RESULTS, new_results
from gconet.applications.page import Previews, make_cards, write_page
from gconet.cli import (
    add_network,
    add_photos,
    add_reference,
    add_results,
    network_options,
    new_parser,
    note_unfinished,
    report,
    settle_references,
    settle_sources,
)
from gconet.data.groups import Group, leave_out, scan_sources
from gconet.errors import ConfigError, DataError, counted


def main() -> int:
    args = parse_args()
    background = read_background(args.background)
    inputs = {"--images": args.sources, "--maps": args.maps, "--gts": args.gts, "--reference": args.reference}
    wanted = scan_sources(args.sources, args.gts, args.maps)
    references = settle_references(args, wanted)
    first = True
    if args.maps:
        note_unfinished(args.maps)
    else:
        from gconet.device import launched_ranks  # here: with --maps, PyTorch is not needed

        first = launched_ranks()[0] == 0
    with new_results(args.output, inputs, wanted, overwrite=args.overwrite, first=first):
        said, errors = write_results(args, wanted, references, background)
    return report(said, args.sources, errors)


def write_results(
    args: argparse.Namespace,
    groups: Sequence[Group],
    references: Mapping[str, Any] | None,
    background: Background,
) -> tuple[list[str], list[DataError]]:
    """Write the maps, the cut-outs and the page; returns what to print, and the errors."""
    shelf, previews = Shelf(), Previews(args.output, groups, wanted=args.page)
    wanted, presence, errors, said = groups, dict[Path, float](), list[DataError](), list[str]()
    judged: dict[Path, list[str]] = {}
    maps = args.maps or args.output / "maps"
    if not args.maps:
        from gconet.inference.folders import make_maps

        keep = partial(keep_map, shelf=shelf)
        options = {
            "consensus": args.consensus,
            "references": references,
            "load": shelf.load,
            "look": keep,
            **network_options(args),
        }
        groups, presence, judged, errors = make_maps(wanted, maps, **options)
        if not groups:  # with torchrun, the first rank reports for all
            return [], errors
        said.append(f"{counted(len(presence), 'map')} of {counted(len(groups), 'group')} in {maps}")
    wished = {"mask": True, "cut-out": True, "new background": args.background, "thumbnail": args.thumbnails}
    absent = {image for image, level in presence.items() if references and level < args.presence}
    kinds = {kind: RESULTS[kind] for kind, wish in wished.items() if wish}
    jobs = make_jobs(leave_out(groups, absent), args.output, kinds)
    work = partial(
        write_cutout, background=background, shelf=shelf, previews=previews, keep=bool(args.thumbnails)
    )
    done, failed = run_jobs(work, jobs, desc="cut-outs", strict=args.strict)
    errors += failed
    covered = [job for job, _ in done]
    cuts = {job.item.image: cut for job, cut in done}
    judged |= {image: cut.doubts for image, cut in cuts.items()}
    groups = leave_out(groups, {job.item.image for job in jobs} - set(cuts))
    table = maps / FILE if presence else None
    doubts, check = check_maps(groups, judged, presence, table, least=args.presence if references else None)
    if not covered:
        return check if absent else [], errors
    said.append(f"{counted(len(covered), 'cut-out')} of {counted(len(groups), 'group')} in {args.output}")
    if args.background:
        number = counted(len(covered), "picture")
        said.append(f"{number} with a new background in {args.output / 'backgrounds'}")
    files = {job.item.image: cut_files(job) for job in covered}
    if args.thumbnails:
        how = {"aspect": (1, 1), "shape": (256, 256), "strict": args.strict}
        crops, failed = make_thumbnails(covered, shelf=shelf, previews=previews, **how)
        errors += failed
        for image in set(files) - set(crops):
            del files[image]["thumbnail"]
        said.append(f"{counted(len(crops), 'thumbnail')} in {args.output / 'crops'}")
    shown = leave_out(groups, absent)
    scores = None
    if args.gts:
        of_maps, _ = sum_up(shown, {i: c.of_map for i, c in cuts.items()}, method="", gts=args.gts)
        scores, failed = sum_up(shown, {i: c.of_cutout for i, c in cuts.items()}, method="", gts=args.gts)
        errors += failed
        if args.strict and failed:
            raise failed[0]
        if scores and of_maps:
            said.append(format_scores(of_maps, scores))
    said += check
    if args.page:
        title = f"Cut-outs: {args.output.resolve().name}"
        page = write_page(args.output, make_cards(shown, files, scores, doubts), previews, title=title)
        said.append(f"open: {page}")
    return said, errors


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
