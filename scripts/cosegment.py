"""Cut the common object out of every picture of a group, from the maps that test.py saved.

    python scripts/cosegment.py --images data/demo/images --maps results/demo --output results/cutouts

writes, for every picture, <output>/masks/<group>/<stem>.png, the object in white;
<output>/cutouts/<group>/<stem>.png, the object alone with soft, transparent edges; with
--background, <output>/backgrounds/<group>/<stem>.jpg, the object before it; and
<output>/index.html, a page to look at them all. Needs no GPU; 10 to 30 pictures a second.

Exit status: 0 when everything was written, 1 for failures (or pictures skipped), 2 for wrong arguments.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageColor

from gconet.applications.cosegmentation import blend, blur_background, cover, cut_out, segment
from gconet.applications.files import check_masks, check_output, load_pair, report_skipped, run_jobs
from gconet.applications.page import RGB, Entry, jaccard, shrink, write_page
from gconet.data.groups import Item, name_some, scan_groups
from gconet.data.images import load_image
from gconet.errors import ConfigError, DataError, run_command
from gconet.evaluation import Scores, score_folders

Background = RGB | Literal["blur"] | None


@dataclass(frozen=True, eq=False)
class Job:
    """One picture and its result files, by kind."""

    group: str
    item: Item
    files: dict[str, Path]


def main() -> int:
    args = parse_args()
    background = read_background(args.background)
    groups = scan_groups(args.images, args.gts, args.maps)
    sources = {"--images": args.images, "--maps": args.maps, "--gts": args.gts}
    check_output(args.output, sources, overwrite=args.overwrite, page=args.page)
    if args.gts:
        check_masks(args.gts, groups)

    kinds = {"masks": "png", "cutouts": "png"} | ({} if background is None else {"backgrounds": "jpg"})
    jobs = []
    for group in groups:
        for kind in kinds:
            (args.output / kind / group.name).mkdir(parents=True, exist_ok=True)
        for item in group.items:
            files = {k: args.output / k / group.name / f"{item.stem}.{end}" for k, end in kinds.items()}
            jobs.append(Job(group.name, item, files))
    results = run_jobs(
        partial(write_cutout, background=background), jobs, desc="cut-outs", strict=args.strict
    )
    errors = [result for result in results if isinstance(result, DataError)]
    covered = {job: result for job, result in zip(jobs, results, strict=True) if isinstance(result, float)}
    for share, what in ((0.0, "nothing: those masks are empty"), (1.0, "all of the picture")):
        if names := [f"{job.group}/{job.item.stem}" for job, own in covered.items() if own == share]:
            print(f"warning: {len(names)} maps mark {what} ({name_some(names)})", file=sys.stderr)
    print(f"{len(covered)} masks and cut-outs of {len(groups)} groups in {args.output}")

    if covered:
        scores = (
            score_folders(args.output / "masks", args.gts, allow_missing=bool(errors)) if args.gts else None
        )
        if scores:
            print(format_scores(score_folders(args.maps, args.gts, allow_missing=bool(errors)), scores))
        if args.page:
            print(f"to look at: {write_cutouts_page(args.output, list(covered), jaccard(groups, scores))}")
    return report_skipped(args.images, errors)


def write_cutout(job: Job, *, background: Background) -> float:
    """Write the results for one picture; returns the share of its pixels that are the object."""
    picture, m = load_pair(job.item)
    opacity = segment(picture, m)
    mask = opacity >= 128
    Image.fromarray(255 * mask.astype(np.uint8)).save(job.files["masks"])
    Image.fromarray(cut_out(picture, opacity)).save(job.files["cutouts"], compress_level=3)
    if background is not None:
        h, w = mask.shape
        behind = blur_background(picture, opacity) if isinstance(background, str) else cover(background, w, h)
        Image.fromarray(blend(picture, opacity, behind)).save(job.files["backgrounds"], quality=92)
    return float(mask.mean())


def read_background(text: str | None) -> Background:
    """The value of --background: "blur", or the pixels of a picture or of a colour; raises ConfigError."""
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
    """P and J of the cut-outs beside plain thresholds of the maps."""
    of_maps, of_masks = maps.figures(), masks.figures()
    rows = {
        "map at 0.5": (of_maps["p_half"], of_maps["j_half"]),
        "map at twice its mean": (of_maps["p_adaptive"], of_maps["j_adaptive"]),
        "cut-out": (of_masks["p_half"], of_masks["j_half"]),
    }
    return "\n".join(
        [f"{'':22}{'P':>7}{'J':>7}", *(f"{name:22}{p:7.3f}{j:7.3f}" for name, (p, j) in rows.items())]
    )


def write_cutouts_page(output: Path, jobs: Sequence[Job], scores: Mapping[tuple[str, str], float]) -> Path:
    """The page: picture, map, cut-out and, where there is one, the object before its background."""
    entries: dict[str, list[Entry]] = {}
    for job in jobs:
        score = scores.get((job.group, job.item.stem))
        entry = Entry(job.item.stem, partial(cutout_panels, job), job.files["cutouts"], score)
        entries.setdefault(job.group, []).append(entry)
    legend = "Picture, co-saliency map, cut-out"
    if "backgrounds" in jobs[0].files:
        legend += ", new background"
    return write_page(output, entries, title=f"Cut-outs: {output.resolve().name}", legend=legend)


def cutout_panels(job: Job) -> list[RGB]:
    """What the page shows of one picture."""
    picture, m = load_pair(job.item)
    panels = [picture, np.repeat(m[..., None], 3, 2), on_squares(job.files["cutouts"])]
    if "backgrounds" in job.files:
        panels.append(np.asarray(load_image(job.files["backgrounds"])))
    return [shrink(panel) for panel in panels]


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
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR", help="one group, or a folder of groups")
    add("--maps", type=Path, required=True, metavar="DIR", help="their maps, in the same tree")
    add("--output", type=Path, required=True, metavar="DIR", help="where the results go")
    add(
        "--background",
        metavar="COLOUR|FILE|blur",
        help="also objects before a colour (white, #ffcc00), a picture or their own background, blurred",
    )
    add(
        "--gts",
        type=Path,
        metavar="DIR",
        help="masks in the same tree: prints P and J beside those of the maps",
    )
    add(
        "--page",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="index.html with previews (default: yes)",
    )
    add("--strict", action="store_true", help="stop at the first file that cannot be used (default: skip it)")
    add("--overwrite", action="store_true", help="replace files that are already there")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
