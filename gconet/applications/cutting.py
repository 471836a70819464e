"""Writes the cut-outs and thumbnails of picture files."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from gconet.applications.cosegmentation import blend, blur_background, cover, cut_out, segment
from gconet.applications.crops import choose_sizes, find_boxes, place_crop
from gconet.applications.desk import SMALL, Desk
from gconet.applications.doubts import EMPTY_CUTOUT, WHOLE_CUTOUT
from gconet.applications.imaging import RGB, fit
from gconet.applications.jobs import Job, Seen, look_at, run_jobs, save_jpeg
from gconet.data.images import load_image
from gconet.errors import ConfigError, DataError
from gconet.files import save_picture

SIDE = 256  # pixels of a thumbnail's longer side
SHARPEST = 2  # largest factor by which a crop is enlarged, if its picture is large enough
Background = RGB | Literal["blur"] | None


def read_background(text: str | None) -> Background:
    """Parse the value of --background: "blur", or the pixels of a picture or of a colour. Raises ConfigError,
    and DataError for a picture that cannot be read."""
    if text is None or text == "blur":
        return cast(Background, text)
    if Path(text).is_file():
        return np.asarray(load_image(Path(text)))
    try:
        return np.full((1, 1, 3), ImageColor.getrgb(text)[:3], np.uint8)
    except ValueError:
        what = "is not blur, a file or a colour; colours are names (white) or codes (#ffcc00)"
        raise ConfigError(f"--background {text} {what}") from None


def write_cutout(job: Job, *, background: Background, desk: Desk) -> Seen:
    """Write a job's files except its thumbnail, and small versions for the page. Raises DataError if the
    picture or its map cannot be used."""
    item, levels, shown = job.item, None, dict[str, RGB]()
    picture, own, m = desk.pair(item)
    if "cut-out" in job.files:
        opacity = segment(picture, m)
        if own is not None:  # transparent pixels of the picture stay transparent
            opacity = (opacity.astype(np.uint16) * own // 255).astype(np.uint8)
        levels, cutout = 255 * (opacity >= 128).astype(np.uint8), cut_out(picture, opacity)
        shown["cut-out"] = on_squares(cutout)
        if background is not None:  # saved first: a picture may be too long for a JPEG file
            if isinstance(background, str):
                behind = blur_background(picture, opacity)
            else:
                behind = cover(background, *m.shape[::-1])
            shown["new background"] = blend(picture, opacity, behind)
            save_jpeg(job.files["new background"], shown["new background"], item.image, 92)
        save_picture(job.files["mask"], levels)
        save_picture(job.files["cut-out"], cutout, compress_level=3)
    seen = look_at(item, m, desk=desk, cut=levels)
    for kind, pixels in shown.items():
        desk.save(item.image, kind, pixels)
        seen.files[kind] = job.files[kind]
    if "thumbnail" in job.files:
        desk.put(item.image, picture, own)
        desk.put(item.map, m)
        seen = seen._replace(found=find_boxes(m))
    if levels is not None and levels.min() == levels.max():
        seen = seen._replace(doubts=seen.doubts or [WHOLE_CUTOUT if levels.any() else EMPTY_CUTOUT])
    return seen


def on_squares(cutout: npt.NDArray[np.uint8]) -> RGB:
    """A cut-out (H,W,4), small, on grey squares that stand for transparency; (h,w,3)."""
    small = Image.fromarray(fit(cutout, SMALL))
    y, x = np.mgrid[: small.height, : small.width] // max(4, small.height // 20)
    squares = Image.fromarray(np.where((x + y) % 2, 200, 240).astype(np.uint8)).convert("RGBA")
    return np.asarray(Image.alpha_composite(squares, small).convert("RGB"))


def write_thumbnails(
    done: Sequence[tuple[Job, Seen]], aspect: tuple[int, int], *, desk: Desk
) -> list[DataError]:
    """Write the thumbnails of jobs that `write_cutout` has done, and add them to `Seen.files`. `aspect`:
    width : height. Each group is a collection. Returns the errors, as `run_jobs` does."""
    width, height = (max(1, round(SIDE * side / max(aspect))) for side in aspect)

    def write(planned: tuple[Job, Seen, tuple[int, int]]) -> None:
        job, seen, size = planned
        picture, _, m = desk.pair(job.item)
        assert seen.found is not None
        crop = place_crop(m, seen.found, size)
        part = Image.fromarray(picture[crop.top : crop.bottom, crop.left : crop.right])
        thumbnail = np.asarray(part.resize((width, height), Image.Resampling.LANCZOS))
        save_picture(job.files["thumbnail"], thumbnail, quality=90)
        desk.save(job.item.image, "thumbnail", thumbnail)
        seen.files["thumbnail"] = job.files["thumbnail"]

    planned = []
    for _, members in groupby(done, key=lambda pair: pair[0].group):
        pairs = list(members)
        found = [seen.found for _, seen in pairs if seen.found]
        sizes = choose_sizes(found, aspect, -(-height // SHARPEST))
        planned += [(*pair, size) for pair, size in zip(pairs, sizes, strict=True)]
    return run_jobs(write, planned, desc="crops")[1]
