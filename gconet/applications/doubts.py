"""Which maps a person should check: likely strays, and maps that are empty, whole, unsure or in pieces."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from gconet.applications.jobs import run_jobs
from gconet.applications.matting import fit
from gconet.data.groups import Group
from gconet.data.images import load_map
from gconet.data.names import name_some
from gconet.errors import one_line
from gconet.evaluation.segmentation import HALF
from gconet.opencv import cv2

STRAY, EMPTY, WHOLE_PICTURE = "likely a stray", "empty map", "the whole picture"
PIECED, GREY = "in pieces", "unsure map"
KINDS = (STRAY, EMPTY, WHOLE_PICTURE, PIECED, GREY)  # the worst first
MARGIN = 0.2  # a stray's presence is this far below its group's median; docs/distractors.md
# chosen on 400 pictures of 20 classes of DUTS_class, so that each marks at most 1 in 50 maps of J > 0.7
UNSURE = 0.6  # share of what is not black that is grey, between the two levels
BLACK, WHITE = 38, 217
PIECES = 0.5  # the largest part's share of the object, below which it is in pieces
WHOLE = 0.9  # share of the picture
SIDE = 320  # pixels of the longer side on which maps are judged


def find_strays(presence: Sequence[float], margin: float = MARGIN) -> list[bool]:
    """Whether each picture of one group is a likely stray, by its `Predictor.predict` presence in [0,1]."""
    middle = median(presence) if presence else 0.0
    return [value < middle - margin for value in presence]


def map_doubts(m: npt.NDArray[np.uint8]) -> list[str]:
    """What is doubtful about a map (H,W) by itself, in words; mostly nothing."""
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


def find_doubts(groups: Sequence[Group], presence: Mapping[Path, float]) -> dict[Path, tuple[str, ...]]:
    """Picture → its doubts, for those that have some; raises DataError for a map that cannot be read.

    `presence`: of the pictures of which it is known.
    """
    doubts: dict[Path, tuple[str, ...]] = {}
    for group in groups:
        known = [presence.get(item.image, math.nan) for item in group.items]
        strays = zip(group.items, find_strays(known), strict=True)
        doubts |= {item.image: (STRAY,) for item, stray in strays if stray}
    maps = [(item.image, item.map) for group in groups for item in group.items if item.map]
    judged, _ = run_jobs(lambda m: map_doubts(np.asarray(load_map(m[1]))), maps, desc="check", strict=True)
    for (image, _), own in judged:
        if own:
            doubts[image] = (*doubts.get(image, ()), *own)
    return doubts


def describe_doubts(
    groups: Sequence[Group], doubts: Mapping[Path, Sequence[str]], table: Path | None
) -> list[str]:
    """Lines for the terminal; `table`: the file that lists all doubts, if there is one."""
    said = []
    names = {item.image: f"{group.name}/{item.stem}" for group in groups for item in group.items}
    found = sorted(
        (image for image in names if image in doubts), key=lambda image: KINDS.index(doubts[image][0])
    )
    if found:  # the worst first
        told = one_line(name_some([f"{names[image]} ({', '.join(doubts[image])})" for image in found]))
        more = f"; all are in {table}" if table else ""
        said.append(f"check {len(found)} of {len(names)}: {told}{more}")
    for group in groups:
        doubtful = sum(item.image in doubts for item in group.items)
        if table and 1 < len(group.items) < 2 * doubtful:
            said.append(
                f"{one_line(group.name)}: most maps are doubtful. If some pictures may lack the object, take "
                "them out, the lowest presence first, and run again"
            )
    if alone := [group.name for group in groups if len(group.items) == 1]:
        told = one_line(name_some(alone))
        said.append(f"{told}: a picture by itself has no group; its map marks what is salient")
    return said


def write_presence(
    path: Path, groups: Sequence[Group], presence: Mapping[Path, float], doubts: Mapping[Path, Sequence[str]]
) -> None:
    """A line for each picture: group, image, presence (empty if it is alone), stray (yes or no), doubts.

    Beside the table, a .json file has {group: {file name: {"presence": number or null, "check": doubts}}}.
    """
    rows: list[list[str]] = []
    document: dict[str, dict[str, object]] = {}
    for group in groups:
        document[group.name] = own = {}
        for item in group.items:
            value, check = presence[item.image], doubts.get(item.image, ())
            known = None if math.isnan(value) else round(value, 4)
            stray = "yes" if STRAY in check else "no"
            text = "" if known is None else f"{known:.4f}"
            rows.append([group.name, item.stem, text, stray, "; ".join(check)])
            own[item.image.name] = {"presence": known, "check": list(check)}
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        csv.writer(file).writerows([["group", "image", "presence", "stray", "check"], *rows])
    path.with_suffix(".json").write_text(json.dumps(document, indent=1), encoding="utf-8")
