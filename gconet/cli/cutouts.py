"""Cut the common object out of every picture of a group: maps, cut-outs and a page in one go.

    gconet cutouts photos/bikes --output out --thumbnails
    gconet cutouts bikes cats more/*.jpg --output out          several groups; single files of a folder
    gconet cutouts data/demo/images --maps results/demo --output results/cutouts

writes, for every picture, <output>/maps/<group>/<stem>.png, its co-saliency map, unless --maps has them;
<output>/masks/<group>/<stem>.png, the object in white; <output>/cutouts/<group>/<stem>.png, the object
alone with soft, transparent edges; with --background, <output>/backgrounds/<group>/<stem>.jpg, the
object before it; with --thumbnails, <output>/crops/<group>/<stem>.jpg; and <output>/index.html, a page to
look at them all. The last lines name the maps to check: likely strays, and maps that are empty, cover the
whole picture, fall into pieces, or are mostly grey ("unsure"). With --maps it runs no network; about 15
pictures a second on each core.

Exit status: 0 if everything was written, 1 for failures (or files skipped), 2 for wrong arguments.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageColor

from gconet.applications.cosegmentation import blend, blur_background, cover, cut_out, segment
from gconet.applications.figures import RGB
from gconet.applications.jobs import (
    Job,
    add_options,
    check_sides,
    load_pair,
    make_entries,
    make_jobs,
    plan_jobs,
    report_skipped,
    run_jobs,
)
from gconet.applications.markup import EMPTY_CUTOUT
from gconet.applications.outputs import check_masks, check_output
from gconet.applications.page import jaccard, write_page
from gconet.cli import add_checkpoint
from gconet.cli.thumbnails import make_thumbnails
from gconet.data.groups import Group, scan_sources
from gconet.data.images import load_image, load_opacity
from gconet.data.names import name_some
from gconet.errors import ConfigError, DataError, counted, one_line
from gconet.evaluation import Scores, score_folders

Background = RGB | Literal["blur"] | None


def main() -> int:
    args = parse_args()
    background = read_background(args.background)
    kinds = {"masks": "png", "cutouts": "png"} | ({} if background is None else {"backgrounds": "jpg"})
    kinds |= {"crops": "jpg"} if args.thumbnails else {}
    errors: list[DataError] = []
    said: list[str] = []
    doubts: dict[Path, tuple[str, ...]] = {}
    if args.maps:
        jobs = plan_jobs(args, kinds)
    else:
        groups, doubts, said, errors = make_maps(args, kinds)
        jobs = make_jobs(groups, args.output, kinds)
    work = partial(write_cutout, background=background)
    done, failed = run_jobs(work, jobs, desc="cut-outs", strict=args.strict)
    errors += failed
    covered = dict(done)
    names = sorted({job.group for job in covered})
    for share, what in ((0.0, "empty cut-out"), (1.0, "full cut-out")):
        if some := [f"{job.group}/{job.item.stem}" for job, own in covered.items() if own == share]:
            print(f"warning: {counted(len(some), what)} ({one_line(name_some(some))})", file=sys.stderr)
    made = f"{counted(len(covered), 'cut-out')} of {counted(len(names), 'group')} in {args.output}"
    said, check = [*said[:1], made], said[1:]
    if args.thumbnails:
        crops, failed = make_thumbnails(list(covered), aspect=(1, 1), shape=(256, 256), strict=args.strict)
        errors += failed
        said.append(f"{counted(len(crops), 'thumbnail')} in {args.output / 'crops'}")

    scores = None
    if covered and args.gts:
        try:
            scores = score_folders(args.output / "masks", args.gts, allow_missing=True, groups=names)
            errors += map(DataError, scores.unreadable)
            maps = args.maps or args.output / "maps"
            said.append(format_scores(score_folders(maps, args.gts, allow_missing=True), scores))
        except DataError as error:  # no mask at all can be read: the cut-outs are there all the same
            errors.append(error)
        if args.strict and errors:
            raise errors[0]
    said += check
    if covered and args.page:
        legend = "Picture, co-saliency map, cut-out" + (", new background" if background is not None else "")
        for job, own in covered.items():
            if own in (0, 1) and job.item.image not in doubts:
                doubts[job.item.image] = ("full cut-out" if own else EMPTY_CUTOUT,)
        entries = make_entries(covered, "cutouts", cutout_panels, jaccard(scores, names), doubts)
        headings = ("picture", "map", "cut-out", "new background")
        title = f"Cut-outs: {args.output.resolve().name}"
        said.append(
            f"to look at: {write_page(args.output, entries, title=title, legend=legend, headings=headings)}"
        )
    if covered:
        print("\n".join(said))  # when all files are written: the reader may have gone
    return report_skipped(args.sources, errors)


def make_maps(
    args: argparse.Namespace, kinds: Mapping[str, str]
) -> tuple[list[Group], dict[Path, tuple[str, ...]], list[str], list[DataError]]:
    """Write the maps to <output>/maps; returns the groups with them, doubts, what to say, and errors."""
    groups = scan_sources(args.sources, args.gts)
    sources = {"--images": args.sources, "--gts": args.gts}
    check_output(args.output, sources, overwrite=args.overwrite, page=args.page)
    if args.gts:
        check_masks(args.gts, groups)
    from gconet.cli.maps import settle
    from gconet.predictor import Predictor, write_maps  # here: with --maps, torch is not needed

    predictor = Predictor.load(args.checkpoint, device=args.device, precision=args.precision)
    folder = args.output / "maps"
    presence, skipped = write_maps(predictor, groups, folder, strict=args.strict)
    for group in groups:
        for item in group.items:
            if item.image in skipped:  # an earlier result must not pass for this picture's
                for kind, suffix in kinds.items():
                    (args.output / kind / group.name / f"{item.stem}.{suffix}").unlink(missing_ok=True)
    done, doubts, said = settle(groups, folder, presence, skipped)
    with_maps = [
        replace(g, items=tuple(replace(i, map=folder / g.name / f"{i.stem}.png") for i in g.items))
        for g in done
    ]
    return with_maps, doubts, said, list(skipped.values())


def write_cutout(job: Job, *, background: Background) -> float:
    """Write the results for one picture; returns the share of its pixels that are the object."""
    for path in job.files.values():
        path.unlink(missing_ok=True)  # an earlier result must not pass for this one's
    picture, m = load_pair(job.item)
    if "backgrounds" in job.files:
        check_sides(job.item.image, picture)
    opacity = segment(picture, m)
    own = load_opacity(job.item.image)
    if own is not None:  # what is transparent in the picture stays so
        opacity = (opacity.astype(np.uint16) * own // 255).astype(np.uint8)
    mask = opacity >= 128
    Image.fromarray(255 * mask.astype(np.uint8)).save(job.files["masks"])
    Image.fromarray(cut_out(picture, opacity)).save(job.files["cutouts"], compress_level=3)
    if background is not None:
        h, w = mask.shape
        behind = blur_background(picture, opacity) if isinstance(background, str) else cover(background, w, h)
        Image.fromarray(blend(picture, opacity, behind)).save(job.files["backgrounds"], quality=92)
    return float(mask.mean())


def read_background(text: str | None) -> Background:
    """The value of --background: "blur", or the pixels of a picture or of a colour.

    Raises ConfigError, and DataError for a picture that cannot be read.
    """
    if text is None:
        return None
    if text == "blur":
        return "blur"
    if Path(text).is_file():
        return np.asarray(load_image(Path(text)))
    try:
        colour = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise ConfigError(
            f"--background {text} is neither blur nor a file nor a colour; colours are names (white) and "
            "codes (#ffcc00)"
        ) from None
    return np.full((1, 1, 3), colour, np.uint8)


def format_scores(maps: Scores, masks: Scores) -> str:
    """P and J of the cut-outs beside plain thresholds of the same pictures' maps."""
    figures: dict[str, list[Mapping[str, float]]] = {"maps": [], "masks": []}
    for name, group in masks.groups.items():
        for stem, own in group.per_image.items():
            figures["masks"].append(own)
            figures["maps"].append(maps.groups[name].per_image[stem])
    rows = (
        ("map at 0.5", "maps", "half"),
        ("map at twice its mean", "maps", "adaptive"),
        ("cut-out", "masks", "half"),
    )
    lines = [f"{'':22}{'P':>7}{'J':>7}"]
    for title, kind, level in rows:
        p, j = (np.mean([own[f"{name}_{level}"] for own in figures[kind]]) for name in "pj")
        lines.append(f"{title:22}{p:7.3f}{j:7.3f}")
    return "\n".join(lines)


def cutout_panels(job: Job) -> list[RGB]:
    """What the page shows of one picture."""
    picture, m = load_pair(job.item)
    panels = [picture, np.repeat(m[..., None], 3, 2), on_squares(job.files["cutouts"])]
    if "backgrounds" in job.files:
        panels.append(np.asarray(load_image(job.files["backgrounds"])))
    return panels


def on_squares(path: Path) -> RGB:
    """A cut-out before the grey squares that stand for transparency."""
    cutout = Image.open(path)
    y, x = np.mgrid[: cutout.height, : cutout.width] // max(4, cutout.height // 20)
    squares = Image.fromarray(np.where((x + y) % 2, 200, 240).astype(np.uint8)).convert("RGBA")
    return np.asarray(Image.alpha_composite(squares, cutout).convert("RGB"))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "sources", nargs="*", type=Path, metavar="PHOTOS", help="folders, as --images, or single pictures"
    )
    add_options(parser, gts="prints P and J beside those of the maps", maps="default: they are made")
    add_checkpoint(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, … (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="auto, fp32, tf32 or bf16 (default: %(default)s)")
    parser.add_argument("--thumbnails", action="store_true", help="also crops of 256x256 around the object")
    parser.add_argument(
        "--background",
        metavar="COLOUR|FILE|blur",
        help="also objects before a colour (white, #ffcc00), a picture or their own background, blurred",
    )
    args = parser.parse_args()
    if bool(args.sources) == bool(args.images):
        raise ConfigError("give PHOTOS, or --images DIR, and not both: the pictures to cut out of")
    args.sources = args.sources or [args.images]
    if args.gts and (len(args.sources) > 1 or args.sources[0].is_file()):
        raise ConfigError("--gts goes with one folder alone")
    if args.maps:
        if len(args.sources) > 1:
            raise ConfigError("--maps goes with one folder alone; without it, the maps are made")
        [args.images] = args.sources
    return args
