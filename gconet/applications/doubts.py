"""Which maps a person should check: likely strays, and maps that are empty, whole, unsure or in pieces."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from gconet.applications.jobs import run_jobs
from gconet.applications.markup import EMPTY, STRAY
from gconet.applications.matting import fit
from gconet.data.groups import Group
from gconet.data.images import load_map
from gconet.evaluation.segmentation import HALF
from gconet.opencv import cv2

WHOLE_PICTURE, PIECED, GREY = "the whole picture", "in pieces", "unsure map"
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


def find_doubts(
    groups: Sequence[Group], maps: Path, presence: Mapping[Path, float]
) -> dict[Path, tuple[str, ...]]:
    """Picture → its doubts, for those that have some.

    `maps`: the folder with <group>/<stem>.png; `presence` by picture. Raises DataError for a map that
    cannot be read.
    """
    strays = set()
    for group in groups:
        files = [item.image for item in group.items]
        found = find_strays([presence[file] for file in files])
        strays |= {file for file, stray in zip(files, found, strict=True) if stray}
    items = [(maps / group.name / f"{item.stem}.png", item.image) for group in groups for item in group.items]
    judged, _ = run_jobs(
        lambda one: map_doubts(np.asarray(load_map(one[0]))), items, desc="check", strict=True
    )
    doubts = {image: (*([STRAY] if image in strays else []), *own) for (_, image), own in judged}
    return {image: own for image, own in doubts.items() if own}


def write_presence(
    path: Path, groups: Sequence[Group], presence: Mapping[Path, float], doubts: Mapping[Path, Sequence[str]]
) -> None:
    """A line for each picture: group, image, presence (empty if it is alone), stray (yes or no), doubts."""
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        table = csv.writer(file)
        table.writerow(["group", "image", "presence", "stray", "check"])
        for group in groups:
            for item in group.items:
                value, own = presence[item.image], doubts.get(item.image, ())
                text = "" if value != value else f"{value:.4f}"  # NaN
                stray = "yes" if STRAY in own else "no"
                table.writerow([group.name, item.stem, text, stray, "; ".join(own)])
