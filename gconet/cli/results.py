"""What `maps`, `cutouts` and `thumbnails` share: their options, and the way from pictures to results."""

import argparse
import math
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gconet.applications.cutting import write_cutout, write_thumbnails
from gconet.applications.desk import Desk
from gconet.applications.doubts import check_maps
from gconet.applications.jobs import Seen, look_at, make_jobs, run_jobs, sum_up
from gconet.applications.outputs import FILE, RESULTS, new_results
from gconet.applications.page import write_page
from gconet.cli import add_network, load_predictor, note_unfinished, report
from gconet.data.groups import Group, leave_out, scan_sources
from gconet.errors import ConfigError, DataError, counted
from gconet.evaluation import format_table
from gconet.inference.reference import PRESENT, Reference, References, pair_references


def add_photos(parser: argparse.ArgumentParser, title: str) -> None:
    """Add the options of `maps` and `cutouts`, for `settle`; `title`: of the page."""
    add = parser.add_argument
    add("sources", nargs="*", type=Path, metavar="PHOTOS", help="folders, like --images, or single pictures")
    add("--images", type=Path, metavar="DIR", help="one group, or a folder of groups")
    add_results(parser, title, default="results/ and the folder's name")
    add("--gts", type=Path, metavar="DIR", help="masks in the same tree as the images: prints the scores")
    about = """group: maps as in the paper; vote: bolder for clear groups; for others, and with a reference,
        refined by what the object looks like (default: vote with distractors, else group)"""
    add("--consensus", choices=("group", "vote"), help=about)
    about = """the object to find: clear pictures of it, or a file of gconet remember; folders in DIR pair up
        with the groups of the same names"""
    add("--reference", type=Path, metavar="DIR|FILE", help=about)
    add("--object", metavar="NAME", help="the object to find, by a name that gconet objects lists")
    about = f"with --reference or --object: pictures of lower presence lack the object (default: {PRESENT})"
    add("--presence", type=float, metavar="P", help=about)
    about = """memory for a group beside the network (default: on a GPU what is free; on a CPU half of that,
        at most 1 unless the group needs more); with less, more is computed twice"""
    add("--memory", type=float, metavar="GIB", help=about)
    add_network(parser)


def add_results(parser: argparse.ArgumentParser, title: str, *, default: str = "") -> None:
    """Add the options of the results' folder; `default`: where it is, if --output may be left out."""
    parser.set_defaults(title=title, maps=None, gts=None, distractors=None, reference=None, background=None)
    about = "where the results go" + (f" (default: {default})" if default else "")
    parser.add_argument("--output", type=Path, required=not default, metavar="DIR", help=about)
    about = "move earlier results to OUTPUT.old"
    parser.add_argument("--overwrite", action="store_true", help=about)


def settle(args: argparse.Namespace) -> None:
    """Set `args.sources` from PHOTOS or --images, and a default `args.output`; raises ConfigError."""
    if bool(args.sources) == bool(args.images):
        raise ConfigError("give PHOTOS or --images DIR, not both; example: gconet cutouts photos/bikes")
    args.sources = args.sources or [args.images]
    source, several = Path(os.path.realpath(args.sources[0])), len(args.sources) > 1
    for option in ("gts", "maps"):
        if getattr(args, option) and (several or source.is_file()):
            raise ConfigError(f"--{option} works only with a single folder")
    if several and not args.output:
        raise ConfigError(f"{len(args.sources)} folders or pictures need --output FOLDER")
    args.output = args.output or Path("results") / (source.stem if source.is_file() else source.name)
    if args.memory is not None and not 0 < args.memory < math.inf:
        raise ConfigError(f"--memory {args.memory}: give a number of GiB above 0")
    if args.presence is None:
        args.presence = PRESENT
    elif not (args.reference or args.object) or not math.isfinite(args.presence):
        raise ConfigError(f"--presence {args.presence}: give it with --reference or --object, from 0 to 1")
    ways = {"--maps": args.maps, "--reference": args.reference, "--object": args.object}
    if args.maps:
        ways["--consensus"] = args.consensus
    if len(given := [option for option, value in ways.items() if value]) > 1:
        raise ConfigError(f"{' and '.join(given)} exclude each other; give one of them")


def make_results(args: argparse.Namespace, kinds: Sequence[str], aspect: tuple[int, int] = (1, 1)) -> int:
    """Make the maps of all pictures, unless `args.maps` has them, and the `kinds` of `RESULTS` from them.
    `aspect`: of thumbnails, width : height. Returns the exit status."""
    wanted = scan_sources(args.sources, args.gts, args.maps, args.distractors)
    references: References = {}
    if args.maps:
        note_unfinished(args.maps)
    elif args.object:
        references = dict.fromkeys((group.name for group in wanted), Reference.named(args.object))
    elif args.reference:
        references = pair_references(args.reference, wanted)
    options = ("gts", "maps", "distractors", "reference")
    inputs = {"--images": args.sources} | {f"--{option}": getattr(args, option) for option in options}
    with new_results(args.output, inputs, wanted, overwrite=args.overwrite):
        said, errors = write_results(args, wanted, references, kinds, aspect)
    return report(said, args.sources, errors)


def write_results(
    args: argparse.Namespace,
    wanted: Sequence[Group],
    references: References,
    kinds: Sequence[str],
    aspect: tuple[int, int],
) -> tuple[list[str], list[DataError]]:
    """Write the maps, the `kinds` of results and the page; returns the lines to print, and the errors."""
    desk = Desk(args.output, wanted, keep=bool(kinds))
    maps = args.maps or (args.output / "maps" if kinds else args.output)
    groups, presence, errors, said = wanted, dict[Path, float](), list[DataError](), list[str]()
    seen: dict[Path, Seen] = {}
    if not args.maps:
        from gconet.inference.folders import write_maps  # loads PyTorch, which given maps do not need

        memory = args.memory and int(args.memory * 2**30)
        predictor = load_predictor(args, memory=memory, consensus=args.consensus)
        look = (lambda item, m: desk.put(item.map, m)) if kinds else partial(look_at, desk=desk)
        made = write_maps(predictor, wanted, maps, references, strict=False, load=desk.load, look=look)
        groups, presence, seen, errors = made
        if not groups:
            return [], errors
        said.append(f"{counted(len(presence), 'map')} of {counted(len(groups), 'group')} in {maps}")
    least = args.presence if references else None
    absent = {image for image, level in presence.items() if least is not None and level < least}
    if kinds:
        jobs = make_jobs(leave_out(groups, absent), args.output, kinds)
        work = partial(write_cutout, background=args.background, desk=desk)
        done, failed = run_jobs(work, jobs, desc="pictures")
        seen, errors = {job.item.image: one for job, one in done}, errors + failed
        groups = leave_out(groups, {job.item.image for job in jobs} - set(seen))
        if "thumbnail" in kinds:
            errors += write_thumbnails(done, aspect, desk=desk)
        for kind in (kind for kind in kinds if kind != "mask"):
            number, folder = sum(kind in one.files for one in seen.values()), RESULTS[kind].split("/")[0]
            said.append(f"{counted(number, kind)} in {args.output / folder}")
    errors += [one.error for one in seen.values() if one.error]
    table, name = maps / FILE if presence else None, args.output.resolve().name
    judged = {image: one.doubts for image, one in seen.items()}
    doubts, check = check_maps(groups, judged, presence, table, least=least)
    methods = ("maps", "cut-outs") if "cut-out" in kinds else (name,)
    scores = sum_up(leave_out(wanted, absent), seen, methods, args.gts.resolve().name) if args.gts else []
    if scores:
        said += format_table(*scores, groups=args.distractors is not None).splitlines()
    said += check
    if seen:
        files, shown = {image: one.files for image, one in seen.items()}, leave_out(groups, absent)
        title, last = f"{args.title}: {name}", scores[-1] if scores else None
        page = write_page(args.output, shown, files, desk, title=title, scores=last, doubts=doubts)
        said.append(f"open: {page}")
    return said, errors
