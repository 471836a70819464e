"""Scores for other programs: JSON with everything, CSV with a line per set, group and image."""

import csv
import io
import json
from collections.abc import Mapping

from gconet.evaluation.scores import Scores, without_nan


def format_json(*scores: Scores) -> str:
    """`Scores.to_dict` of a single one; of several, {"results": [one of those each]}."""
    dicts = [one.to_dict() for one in scores]
    document = dicts[0] if len(dicts) == 1 else {"results": dicts}
    return json.dumps(document, indent=1, allow_nan=False)


def format_csv(*scores: Scores) -> str:
    """A header, then of each method: the set, its groups, their images; an empty name is "all".

    If any has figures on distractors, there are columns for them; a figure that is NaN is left empty.
    """
    columns = list(dict.fromkeys(name for one in scores for name in one.figures))

    def cells(figures: Mapping[str, float]) -> list[float | None]:
        return [without_nan(figures).get(name) for name in columns]

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["method", "set", "convention", "group", "image", "images", "expected_images", *columns])
    for one in scores:
        labels = [one.method, one.dataset, one.convention]
        table.writerow([*labels, "", "", one.images, one.expected_images, *cells(one.figures)])
        for name, group in one.groups.items():
            table.writerow([*labels, name, "", group.images, None, *cells(group.figures)])
            for stem, figures in group.per_image.items():
                table.writerow([*labels, name, stem, 1, None, *cells(figures)])
    return text.getvalue()
