"""The scores of many maps: curves averaged over images, and the numbers read off the averages."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gconet.data.sets import known_sets
from gconet.evaluation.metrics import CURVES, F64, RESPONSES, U8, MapScore, score_map, thresholds


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What was measured over `images` maps: one image, one group or a whole set."""

    convention: str
    images: int
    figures: Mapping[str, float]  # by name; those on distractors can be NaN
    curves: Mapping[str, F64]  # "threshold" and the names in CURVES, (T,) each
    method: str = ""
    dataset: str = ""
    groups: Mapping[str, "Scores"] = field(default_factory=dict)  # of a whole set
    per_image: Mapping[str, dict[str, float]] = field(default_factory=dict)  # of a group, by stem

    @property
    def expected_images(self) -> int | None:
        """Number of images in the data set of that name, if it is known."""
        totals = {name.lower(): known.get("images") for name, known in known_sets().items()}
        return totals.get(self.dataset.lower())

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and strings, ready for `json.dump`; None in place of NaN."""
        return {
            "method": self.method,
            "set": self.dataset,
            "convention": self.convention,
            "images": self.images,
            "expected_images": self.expected_images,
            **without_nan(self.figures),
            "groups": {
                name: {
                    "images": group.images,
                    **without_nan(group.figures),
                    "per_image": {stem: without_nan(own) for stem, own in group.per_image.items()},
                }
                for name, group in self.groups.items()
            },
            "curves": {name: curve.tolist() for name, curve in self.curves.items()},
        }


def without_nan(figures: Mapping[str, float]) -> dict[str, float | None]:
    """`figures` with None in place of NaN, which JSON does not have."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def score_arrays(maps: Iterable[tuple[str, str, U8, U8]], *, convention: str = "toolbox") -> Scores:
    """Score maps in memory, one pair at a time: (group, stem, map, mask), the last two (H, W) uint8. Raises
    ValueError as `score_map` does, and if there are no maps."""
    found = ((group, stem, score_map(map_u8, gt_u8, convention)) for group, stem, map_u8, gt_u8 in maps)
    return summarise_groups(found, convention=convention)


def summarise_groups(found: Iterable[tuple[str, str, MapScore]], *, convention: str, **labels: Any) -> Scores:
    """Return the scores of a set, its groups and its images, from a group, a stem and a score for each.

    The set's average runs over all its images, not over groups. `labels`: other fields of `Scores`. Raises
    ValueError if there are no scores.
    """
    measured: dict[str, dict[str, MapScore]] = {}
    for name, stem, score in found:
        measured.setdefault(name, {})[stem] = score
    groups = {}
    for name, images in measured.items():
        alone = {stem: summarise([one], convention=convention).figures for stem, one in images.items()}
        groups[name] = summarise([*images.values()], convention=convention, per_image=alone)
    every = [one for images in measured.values() for one in images.values()]
    return summarise(every, convention=convention, groups=groups, **labels)


def summarise(scores: Sequence[MapScore], *, convention: str, **labels: Any) -> Scores:
    """Average the maps' scores: F and E are the maximum and the mean of the averaged curve.

    The means of `RESPONSES` skip images without such pixels; `object_ratio` is their ratio.
    Raises ValueError if there are no scores.
    """
    if not scores:
        raise ValueError("no maps to score")
    total = np.zeros_like(scores[0].curves)
    for score in scores:  # not `np.mean`, which would first copy the curves of a whole set
        total += score.curves
    f, e, precision, recall, fpr = curves = total / len(scores)
    columns = {name: [score.figures[name] for score in scores] for name in scores[0].figures}
    means = {n: mean_known(v) if n in RESPONSES else float(np.mean(v)) for n, v in columns.items()}
    figures = {
        "mae": means.pop("mae"),
        "max_f": float(f.max()),
        "mean_f": float(f.mean()),
        "max_e": float(e.max()),
        "mean_e": float(e.mean()),
        "s_measure": means.pop("s_measure"),
        "ap": average_precision(precision, recall),
        "auc": area_under_roc(recall, fpr),
        **means,
    }
    if RESPONSES[0] in means:
        on, off = (means[name] for name in RESPONSES)
        figures["object_ratio"] = on / off if off else math.nan
    named = {"threshold": thresholds(convention), **dict(zip(CURVES, curves, strict=True))}
    return Scores(convention=convention, images=len(scores), figures=figures, curves=named, **labels)


def mean_known(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def average_precision(precision: F64, recall: F64) -> float:
    """Area under the precision envelope over recall, as PASCAL VOC computes it since 2010.

    Uses the averaged curves (T,), closed by precision 0 at recalls 0 and 1, as eval-co-sod does. PySODMetrics
    has no AP and no AUC: under its convention, both are these areas under its 256 points.
    """
    order = np.argsort(recall)
    recall = np.concatenate([[0.0], recall[order], [1.0]])
    precision = np.concatenate([[0.0], precision[order], [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))


def area_under_roc(recall: F64, fpr: F64) -> float:
    """Area under the averaged true over the averaged false positive rate (T,), by trapezoids.

    As in eval-co-sod, no point (0, 0) is added, and points with equal false positive rates stay in the order
    of rising thresholds.
    """
    order = np.argsort(fpr, kind="stable")
    x, y = fpr[order], recall[order]
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def format_json(*scores: Scores) -> str:
    """Return `Scores.to_dict` of a single score, or {"results": [a dict each]} of several, as JSON."""
    dicts = [one.to_dict() for one in scores]
    return json.dumps(dicts[0] if len(dicts) == 1 else {"results": dicts}, indent=1, allow_nan=False)
