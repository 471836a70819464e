"""Finds maps that a person should check: likely strays, maps that are empty, whole, unsure or in pieces."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from gconet.applications.imaging import fit
from gconet.data.groups import Group
from gconet.data.names import name_some
from gconet.evaluation.histogram import HALF
from gconet.files import write_file
from gconet.opencv import cv2

STRAY, EMPTY, WHOLE_PICTURE = "likely a stray", "empty map", "the whole picture"
EMPTY_CUTOUT, WHOLE_CUTOUT = "empty cut-out", "cut-out of the whole picture"
PIECED, GREY = "in pieces", "unsure map"
KINDS = {  # worst first: doubt → what it means, and what to do
    STRAY: "it seems to lack the object that its group shares; if so, take it out and run again",
    EMPTY: "nothing was found; take the picture out if it lacks the object",
    EMPTY_CUTOUT: "nothing of the map was left in the cut-out; use the map",
    WHOLE_PICTURE: "nearly everything is marked, which is fine only for a close-up",
    WHOLE_CUTOUT: "the cut-out kept everything, which is fine only for a close-up",
    PIECED: "the marked parts do not touch, which is fine only for several objects",
    GREY: "much of the map is grey, so its outline is a guess",
}
MARGIN = 0.2  # a stray's presence is this far below its group's median; docs/results.md
# chosen on 400 pictures of 20 classes of DUTS_class, so that each flags at most 1 in 50 maps with J > 0.7
UNSURE = 0.6  # share of non-black pixels that are grey, between the two levels below
BLACK, WHITE = 38, 217
PIECES = 0.5  # an object is in pieces if its largest part has a smaller share of it
WHOLE = 0.9  # share of the picture
SIDE = 320  # pixels of the longer side at which maps are judged


def find_strays(presence: Sequence[float]) -> list[bool]:
    """Whether each picture of one group is a likely stray, by its `Predictor.predict` presence in [0,1]."""
    middle = median(presence) if presence else 0.0
    return [value < middle - MARGIN for value in presence]


def map_doubts(m: npt.NDArray[np.uint8]) -> list[str]:
    """Return the doubts about a map (H,W) judged by itself; usually none."""
    m = fit(m, SIDE)
    mask = (m >= HALF).astype(np.uint8)
    if not mask.any():
        return [EMPTY]
    doubts = []
    if mask.mean() >= WHOLE:
        doubts.append(WHOLE_PICTURE)
    if ((m > BLACK) & (m < WHITE)).sum() > UNSURE * (m > BLACK).sum():
        doubts.append(GREY)
    areas = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    if areas.max() < PIECES * areas.sum():
        doubts.append(PIECED)
    return doubts


def check_maps(
    groups: Sequence[Group],
    judged: Mapping[Path, Sequence[str]],
    presence: Mapping[Path, float],
    table: Path | None,
    *,
    least: float | None = None,
) -> tuple[dict[Path, tuple[str, ...]], list[str]]:
    """Return picture → doubts about its map, for the doubtful ones, and lines to print about them.

    `judged`: picture → the doubts that its map alone gives. `presence`: picture → its presence, if the maps
    were just made; then `table` gets a row for each. `least`: with a reference, a picture lacks the object if
    its presence is lower, whatever its group's median.
    """
    number = sum(len(group.items) for group in groups)
    doubts: dict[Path, tuple[str, ...]] = {}
    found, mostly, absent = list[tuple[int, str]](), list[str](), list[str]()
    rows = [["group", "image", "presence", "stray", "check"]]
    for group in groups:
        levels = [presence.get(item.image, math.nan) for item in group.items]
        strays = find_strays(levels) if least is None else [level < least for level in levels]
        for item, level, stray in zip(group.items, levels, strays, strict=True):
            name, check = f"{group.name}/{item.stem}", [STRAY] * stray + [*judged.get(item.image, ())]
            if check:
                doubts[item.image] = tuple(check)
            if stray and least is not None:
                absent.append(name)
            elif check:
                found.append(([*KINDS].index(check[0]), f"{name} ({', '.join(check)})"))
            cells = ["", ""] if math.isnan(level) else [f"{level:.4f}", "yes" if stray else "no"]
            rows.append([group.name, item.stem, *cells, "; ".join(check)])
        if least is None and 1 < len(group.items) < 2 * sum(item.image in doubts for item in group.items):
            mostly.append(group.name)
    where = f"; see {table}" if table else ""
    said = []
    if absent:
        said.append(f"{len(absent)} of {number} seem to lack the object: {name_some(absent)}{where}")
    if found:
        names = name_some([name for _, name in sorted(found)])  # worst first
        said.append(f"check {len(found)} of {number}: {names}{where}")
    if mostly and table:
        said.append(
            f"most maps of {name_some(mostly)} are doubtful; if some pictures may lack the object, take them "
            "out, lowest presence first, and run again"
        )
    if table:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        write_file(table, text.getvalue())
    return doubts, said
