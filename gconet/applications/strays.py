"""Which pictures of a group probably lack its object."""

import csv
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from statistics import median

from gconet.data.groups import Group

FILE = "presence.csv"
MARGIN = 0.2  # a stray's presence is this far below its group's median; docs/distractors.md


def find_strays(presence: Sequence[float], margin: float = MARGIN) -> list[bool]:
    """Whether each picture of one group is a likely stray, by its `Predictor.predict` presence in [0,1]."""
    middle = median(presence) if presence else 0.0
    return [value < middle - margin for value in presence]


def list_strays(groups: Sequence[Group], presence: Mapping[Path, float]) -> set[Path]:
    """The likely strays of all groups; `presence` by picture."""
    strays: set[Path] = set()
    for group in groups:
        files = [item.image for item in group.items]
        found = find_strays([presence[file] for file in files])
        strays |= {file for file, stray in zip(files, found, strict=True) if stray}
    return strays


def write_presence(
    path: Path, groups: Sequence[Group], presence: Mapping[Path, float], strays: Container[Path]
) -> None:
    """A line for each picture: group, image, its presence (empty if it is alone), and yes for a stray."""
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        table = csv.writer(file)
        table.writerow(["group", "image", "presence", "stray"])
        for group in groups:
            for item in group.items:
                value = presence[item.image]
                text = "" if value != value else f"{value:.4f}"  # NaN
                table.writerow([group.name, item.stem, text, "yes" if item.image in strays else "no"])
