"""Published results, to print next to measured ones."""

from functools import cache
from importlib import resources
from typing import Any

import yaml

ORDER = ("max_e", "s_measure", "max_f", "mae")  # of the four figures in the file


def published_results(dataset: str) -> dict[str, dict[str, float]]:
    """Method with its source → figures on `dataset` (CoCA, CoSOD3k or Cosal2015, in any case); else empty.
    The source is the venue, and the backbone and training data if the table gives them."""
    found = {}
    for row in load_rows():
        values = next((own for name, own in row.items() if name.lower() == dataset.lower()), None)
        if isinstance(values, list):
            source = ", ".join(row[key] for key in ("venue", "backbone", "train") if key in row)
            found[f"{row['method']} ({source})"] = dict(zip(ORDER, values, strict=True))
    return found


@cache
def load_rows() -> list[dict[str, Any]]:
    """The rows of Table 2 and of later methods; Table 1 is the paper's ablation."""
    tables = yaml.safe_load(
        (resources.files("gconet.evaluation") / "published_results.yaml").read_text("utf-8")
    )
    return [row for name in ("gconet_table_2", "later_methods") for row in tables[name]["rows"]]
