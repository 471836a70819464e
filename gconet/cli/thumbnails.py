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
from collections.abc import Sequence
from functools import partial
from itertools import groupby

import numpy as np
from PIL import Image

from gconet.applications.figures import RGB
from gconet.applications.jobs import (
    Job,
    add_options,
    check_sides,
    load_pair,
    make_entries,
    plan_jobs,
    report_skipped,
    run_jobs,
)
from gconet.applications.page import write_page
from gconet.applications.thumbnails import Box, Found, choose_sizes, find_boxes, place_crop
from gconet.data.images import load_image, load_with_mask
from gconet.errors import ConfigError, DataError, counted
from gconet.opencv import cv2

YELLOW, RED, WHITE = (255, 215, 0), (225, 30, 30), (255, 255, 255)
SHARPEST = 2  # times a crop is enlarged at most, if its picture is large enough


def main() -> int:
    args = parse_args()
    shape = output_size(args.aspect, args.size)
    jobs = plan_jobs(args, {"crops": "jpg"} | ({"explained": "jpg"} if args.explain else {}))
    for job in jobs:
        for path in job.files.values():
            path.unlink(missing_ok=True)  # an earlier result must not pass for this one's
    crops, errors = make_thumbnails(jobs, aspect=args.aspect, shape=shape, strict=args.strict)
    groups = len({job.group for job, _ in crops})
    made = f"{counted(len(crops), 'thumbnail')} of {shape[0]}x{shape[1]}"
    said = [f"{made} of {counted(groups, 'group')} in {args.output}"]
    if args.gts:
        kept, failed = run_jobs(keep_share, crops, desc="masks", strict=args.strict)
        errors += failed
        if kept:
            said.append(format_kept([share for _, share in kept]))
    if args.page and crops:
        legend = "Picture, thumbnail"
        if args.explain:
            legend = "Picture with the object's box (yellow), enlarged (red), the crop (white); thumbnail"
        entries = make_entries((job for job, _ in crops), "crops", thumbnail_panels)
        title = f"Thumbnails: {args.output.resolve().name}"
        page = write_page(args.output, entries, title=title, legend=legend, headings=("picture", "thumbnail"))
        said.append(f"to look at: {page}")
    if crops:
        print("\n".join(said))  # when all files are written: the reader may have gone
    return report_skipped(args.images, errors)


def make_thumbnails(
    jobs: Sequence[Job], *, aspect: tuple[int, int], shape: tuple[int, int], strict: bool
) -> tuple[list[tuple[Job, Box]], list[DataError]]:
    """Write the files `crops` (and `explained`) of all jobs; returns the crops, and the errors.

    `aspect`: width : height; `shape`: (width, height) of the thumbnails in pixels.
    """
    found, errors = run_jobs(find_in, jobs, desc="objects", strict=strict)
    planned = []
    for _, members in groupby(found, key=lambda pair: pair[0].group):  # each group is a collection
        collection = list(members)
        sizes = choose_sizes([f for _, f in collection], aspect, -(-shape[1] // SHARPEST))
        planned += [(job, f, size) for (job, f), size in zip(collection, sizes, strict=True)]
    done, failed = run_jobs(partial(write_thumbnail, shape=shape), planned, desc="crops", strict=strict)
    return [(job, crop) for (job, _, _), crop in done], errors + failed


def find_in(job: Job) -> Found:
    """The object of one picture, by its map."""
    return find_boxes(load_pair(job.item)[1])


def write_thumbnail(planned: tuple[Job, Found, tuple[int, int]], *, shape: tuple[int, int]) -> Box:
    """Write the results for one picture, the thumbnail resized to `shape`; returns the crop."""
    job, found, size = planned
    picture, m = load_pair(job.item)
    crop = place_crop(m, found, size)
    part = Image.fromarray(picture[crop.top : crop.bottom, crop.left : crop.right])
    part.resize(shape, Image.Resampling.LANCZOS).save(job.files["crops"], quality=90)
    if "explained" in job.files:
        check_sides(job.item.image, picture)
        explained, line = picture.copy(), max(1, round(max(picture.shape) / 200))
        for box, colour in ((crop, WHITE), (found.enlarged, RED), (found.box, YELLOW)):
            corner = box.right - 1, box.bottom - 1
            cv2.rectangle(explained, (box.left, box.top), corner, colour, line)
        Image.fromarray(explained).save(job.files["explained"], quality=90)
    return crop


def keep_share(cropped: tuple[Job, Box]) -> tuple[float, bool]:
    """The share of a mask's object pixels that its crop holds, and whether they are one piece."""
    item, crop = cropped[0].item, cropped[1]
    assert item.mask is not None  # asked for
    objects = np.asarray(load_with_mask(item.image, item.mask)[1]) >= 128
    inside = objects[crop.top : crop.bottom, crop.left : crop.right]
    single = cv2.connectedComponents(objects.astype(np.uint8))[0] == 2  # with the background
    return float(inside.sum() / max(1, objects.sum())), single


def format_kept(kept: list[tuple[float, bool]]) -> str:
    """How much of the objects the crops hold."""
    rows = {"all": [share for share, _ in kept], "in one piece": [share for share, single in kept if single]}
    lines = ["object pixels inside the crop   images  median  mean  10th percentile"]
    for name, shares in rows.items():
        if shares:
            figures = np.median(shares), np.mean(shares), np.percentile(shares, 10)
            lines.append(
                f"{name:30}{len(shares):8}"
                + "".join(f"{f:{w}.1%}" for f, w in zip(figures, (8, 6, 17), strict=True))
            )
    return "\n".join(lines)


def thumbnail_panels(job: Job) -> list[RGB]:
    """What the page shows of one picture."""
    first = job.files.get("explained", job.item.image)
    return [np.asarray(load_image(path)) for path in (first, job.files["crops"])]


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, gts="prints how much of the objects the crops keep")
    add = parser.add_argument
    add("--aspect", default="1:1", metavar="W:H", help="shape of the thumbnails (default: %(default)s)")
    add("--size", type=int, default=256, metavar="PIXELS", help="their longer side (default: %(default)s)")
    add("--explain", action="store_true", help="also the pictures with the boxes drawn in")
    args = parser.parse_args()
    args.aspect = parse_aspect(args.aspect)
    if not 1 <= args.size <= 10000:
        raise ConfigError(f"--size {args.size}: give 1 to 10000 pixels")
    return args
