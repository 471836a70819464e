"""Writes the cut-outs of picture files, for `gconet cutouts`."""

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageColor

from gconet.applications.cosegmentation import blend, blur_background, cover, cut_out, segment
from gconet.applications.doubts import EMPTY_CUTOUT, WHOLE_CUTOUT
from gconet.applications.imaging import RGB
from gconet.applications.jobs import Job, load_pair, save_jpeg
from gconet.data.images import load_image, load_opacity
from gconet.errors import ConfigError
from gconet.evaluation import Scores

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


def write_cutout(job: Job, *, background: Background) -> str | None:
    """Write the results for one picture; returns the doubt about them, if any.

    Removes earlier results for the picture first.
    """
    for path in job.files.values():
        path.unlink(missing_ok=True)
    picture, m = load_pair(job.item)
    opacity = segment(picture, m)
    own = load_opacity(job.item.image)
    if own is not None:  # transparent pixels of the picture stay transparent
        opacity = (opacity.astype(np.uint16) * own // 255).astype(np.uint8)
    mask = opacity >= 128
    Image.fromarray(255 * mask.astype(np.uint8)).save(job.files["mask"])
    Image.fromarray(cut_out(picture, opacity)).save(job.files["cut-out"], compress_level=3)
    if background is not None:
        h, w = mask.shape
        behind = blur_background(picture, opacity) if isinstance(background, str) else cover(background, w, h)
        save_jpeg(job.files["new background"], blend(picture, opacity, behind), job.item.image, 92)
    return EMPTY_CUTOUT if not mask.any() else WHOLE_CUTOUT if mask.all() else None


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


def cutout_panels(job: Job) -> list[RGB]:
    """Return the page's panels for a picture: itself, its map, the cut-out on grey squares that stand for
    transparency, and its new background and thumbnail if it has them."""
    picture, m = load_pair(job.item)
    cutout = Image.open(job.files["cut-out"])
    y, x = np.mgrid[: cutout.height, : cutout.width] // max(4, cutout.height // 20)
    squares = Image.fromarray(np.where((x + y) % 2, 200, 240).astype(np.uint8)).convert("RGBA")
    shown = np.asarray(Image.alpha_composite(squares, cutout).convert("RGB"))
    panels = [picture, np.repeat(m[..., None], 3, 2), shown]
    extras = [path for kind, path in job.files.items() if kind in ("new background", "thumbnail")]
    return panels + [np.asarray(load_image(path)) for path in extras]
