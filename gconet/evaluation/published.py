"""Published results, to print next to measured ones."""

from collections.abc import Collection
from functools import cache
from importlib import resources
from typing import Any

import yaml

ORDER = ("max_e", "s_measure", "max_f", "mae")  # of the four figures in the file


def published_results(dataset: str, methods: Collection[str] | None = None) -> dict[str, dict[str, float]]:
    """Method with its source → figures on `dataset` (CoCA, CoSOD3k or Cosal2015, in any case).

    The source is the venue, and the backbone and training data if the table gives them. Empty for any other
    set. `methods`: only these, by default all.
    """
    found = {}
    for row in published_rows():
        values = next((own for name, own in row.items() if name.lower() == dataset.lower()), None)
        if isinstance(values, list) and (methods is None or row["method"] in methods):
            source = ", ".join(row[key] for key in ("venue", "backbone", "train") if key in row)
            found[f"{row['method']} ({source})"] = dict(zip(ORDER, values, strict=True))
    return found


def published_rows() -> list[dict[str, Any]]:
    """The rows of all methods: Table 2 and those after it; Table 1 is the paper's ablation."""
    return [row for table in ("gconet_table_2", "later_methods") for row in load_tables()[table]["rows"]]


@cache
def load_tables() -> dict[str, Any]:
    """The file as it is: table → {read_from, rows}."""
    file = resources.files("gconet.evaluation") / "published_results.yaml"
    tables: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return tables
