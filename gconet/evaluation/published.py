"""Published results, to print beside measured ones."""

from collections.abc import Collection
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import yaml

COMPARED = ("gconet_table_2", "later_methods")  # gconet_table_1 is the paper's ablation
ORDER = ("max_e", "s_measure", "max_f", "mae")  # of the four figures in the file


class Published(NamedTuple):
    """One method's row in a published table."""

    method: str
    source: str  # venue, and backbone and training data if the table gives them
    figures: dict[str, float]


def published_results(dataset: str, methods: Collection[str] | None = None) -> list[Published]:
    """The rows of `dataset` (CoCA, CoSOD3k or Cosal2015, in any case); empty for any other set.

    `methods`: the only ones, by default all.
    """
    found = []
    for table in COMPARED:
        for row in load_tables()[table]["rows"]:
            names = {name.lower(): name for name, value in row.items() if isinstance(value, list)}
            name = names.get(dataset.lower())
            if name and (methods is None or row["method"] in methods):
                notes = (row[key] for key in ("venue", "backbone", "train") if key in row)
                figures = dict(zip(ORDER, row[name], strict=True))
                found.append(Published(row["method"], ", ".join(notes), figures))
    return found


def published_methods() -> list[str]:
    """The names of all methods with published rows, each once."""
    names = [row["method"] for table in COMPARED for row in load_tables()[table]["rows"]]
    return list(dict.fromkeys(names))


@cache
def load_tables() -> dict[str, Any]:
    """The file as it is: table → {read_from, rows}."""
    file = resources.files("gconet.evaluation") / "published_results.yaml"
    tables: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return tables
