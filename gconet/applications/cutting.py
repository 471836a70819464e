"""Writes the cut-outs of picture files, for `gconet cutouts`."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from gconet.applications.cosegmentation import blend, blur_background, cover, cut_out, segment
from gconet.applications.doubts import EMPTY_CUTOUT, WHOLE_CUTOUT, map_doubts
from gconet.applications.imaging import RGB, Grey, fit
from gconet.applications.jobs import Job, Shelf, load_pair, save_jpeg
from gconet.applications.page import MAP, PICTURE, SMALL, Previews
from gconet.data.groups import Item
from gconet.data.images import load_image, load_mask
from gconet.errors import ConfigError, DataError
from gconet.evaluation import MapScore, Scores
from gconet.evaluation.scorer import score_picture
from gconet.files import save_picture

Background = RGB | Literal["blur"] | None


def read_background(text: str | None) -> Background:
    """Parse the value of --background: "blur", or the pixels of a picture or of a colour.

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
            f"--background {text} is not blur, a file or a colour; colours are names (white) or "
            "codes (#ffcc00)"
        ) from None
    return np.full((1, 1, 3), colour, np.uint8)


class Cut(NamedTuple):
    """What is known of a picture once it's cut out."""

    doubts: list[str]  # about its map or, if there are none, about the cut-out
    of_map: MapScore | DataError | None  # without a mask, None
    of_cutout: MapScore | DataError | None


def write_cutout(job: Job, *, background: Background, shelf: Shelf, previews: Previews, keep: bool) -> Cut:
    """Write the results for one picture, and small versions for the page.

    `keep`: what was read goes back to the `shelf`. Raises DataError if the picture or its map cannot be used.
    """
    item = job.item
    picture, own, m = load_pair(item, shelf)
    assert item.map is not None
    opacity = segment(picture, m)
    if own is not None:  # transparent pixels of the picture stay transparent
        opacity = (opacity.astype(np.uint16) * own // 255).astype(np.uint8)
    mask = opacity >= 128
    levels, cutout = 255 * mask.astype(np.uint8), cut_out(picture, opacity)
    if background is not None:  # first: a picture may be too long for a JPEG file
        h, w = mask.shape
        behind = blur_background(picture, opacity) if isinstance(background, str) else cover(background, w, h)
        shown = blend(picture, opacity, behind)
        save_jpeg(job.files["new background"], shown, item.image, 92)
        previews.save(item.image, "new background", shown)
    save_picture(job.files["mask"], levels)
    save_picture(job.files["cut-out"], cutout, compress_level=3)
    if keep:
        shelf.put(item.image, picture, own)
        shelf.put(item.map, m)
    for kind, pixels in ((PICTURE, picture), (MAP, m), ("cut-out", on_squares(cutout))):
        previews.save(item.image, kind, pixels)
    failure = [EMPTY_CUTOUT] if not mask.any() else [WHOLE_CUTOUT] if mask.all() else []
    return Cut(map_doubts(m) or failure, *score_both(item, m, job.files["mask"], levels))


def cut_files(job: Job) -> dict[str, Path]:
    """Return the `Card.files` of a picture that is cut out."""
    assert job.item.map is not None
    files = {PICTURE: job.item.image, MAP: job.item.map, **job.files}
    return {kind: file for kind, file in files.items() if kind != "mask"}


def score_both(item: Item, m: Grey, file: Path, levels: Grey) -> list[MapScore | DataError | None]:
    """Score a map (H,W) and the mask `levels` (H,W) that was made of it and saved as `file`."""
    if item.mask is None or item.map is None:
        return [None, None]
    try:
        truth = load_mask(item.mask)
        pairs = (item.map, m), (file, levels)
        return [score_picture(Image.fromarray(x), path, truth, item.mask, None) for path, x in pairs]
    except DataError as error:
        return [None, error]


def on_squares(cutout: npt.NDArray[np.uint8]) -> RGB:
    """A cut-out (H,W,4), small, on grey squares that stand for transparency; (h,w,3)."""
    small = Image.fromarray(fit(cutout, SMALL))
    y, x = np.mgrid[: small.height, : small.width] // max(4, small.height // 20)
    squares = Image.fromarray(np.where((x + y) % 2, 200, 240).astype(np.uint8)).convert("RGBA")
    return np.asarray(Image.alpha_composite(squares, small).convert("RGB"))


def format_scores(maps: Scores, masks: Scores) -> str:
    """Format P and J of the cut-outs, and of the same pictures' maps at plain thresholds."""
    pictures = [(name, stem) for name, group in masks.groups.items() for stem in group.per_image]
    lines = [f"{'':22}{'P':>7}{'J':>7}"]
    for title, scores, level in (
        ("map at 0.5", maps, "half"), ("map at twice its mean", maps, "adaptive"), ("cut-out", masks, "half"),
    ):  # fmt: skip
        figures = [scores.groups[name].per_image[stem] for name, stem in pictures]
        p, j = (np.mean([own[f"{kind}_{level}"] for own in figures]) for kind in "pj")
        lines.append(f"{title:22}{p:7.3f}{j:7.3f}")
    return "\n".join(lines)
