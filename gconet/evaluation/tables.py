"""Formats scores as text or Markdown tables, published rows below ours."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

import yaml

from gconet.errors import one_line
from gconet.evaluation.scores import Scores

COLUMNS = {  # in the order of the paper's tables; then what they leave out
    "max_e": "max E",
    "s_measure": "S",
    "max_f": "max F",
    "mae": "MAE",
    "mean_e": "mean E",
    "mean_f": "mean F",
    "ap": "AP",
    "auc": "AUC",
}
SEGMENTATION_COLUMNS = {"p_half": "P@.5", "j_half": "J@.5", "p_adaptive": "P@ad", "j_adaptive": "J@ad"}
DISTRACTOR_COLUMNS = {"on_object": "on", "on_distractors": "off", "object_ratio": "on/off"}


class Table(NamedTuple):
    """One data set's table; rows hold a name, a count of images and the figures, all as text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def format_table(*scores: Scores, markdown: bool = False, groups: bool = False) -> str:
    """One table per data set, methods as rows; the published rows of the three benchmarks stand below.

    `groups` adds a row per group. Scores with figures on distractors get columns for them.
    """
    others = DISTRACTOR_COLUMNS if any(one.figures.keys() & DISTRACTOR_COLUMNS for one in scores) else {}
    render = render_markdown if markdown else render_text
    sets: dict[tuple[str, str], list[Scores]] = {}
    for one in scores:
        sets.setdefault((one.dataset, one.convention), []).append(one)
    columns = COLUMNS | SEGMENTATION_COLUMNS | others
    return "\n\n".join(render(build_table(own, columns, groups)) for own in sets.values())


def build_table(scores: Sequence[Scores], columns: Mapping[str, str], groups: bool) -> Table:
    """Build one data set's table; `columns`: figure → heading. A cell is empty if the figure is unknown, and
    a dash for NaN."""
    lines: list[tuple[str, ...]] = []

    def add(name: str, images: object, figures: Mapping[str, float]) -> None:
        cells = [f"{figures[key]:.3f}".replace("nan", "-") if key in figures else "" for key in columns]
        lines.append((one_line(name), str(images), *cells))

    for one in scores:
        method, total = one.method or "maps", one.expected_images
        add(method, one.images if total in (None, one.images) else f"{one.images} of {total}", one.figures)
        for name, group in one.groups.items() if groups else ():
            add(f"  {name}", group.images, group.figures)
    others = published_results(scores[0].dataset)
    for name, figures in others.items():
        add(name, "", figures)
    notes = ("rows with a venue are published results, under the toolbox's convention",) if others else ()
    title = one_line(f"{scores[0].dataset or 'scores'}, {scores[0].convention} convention")
    return Table(title, ("", "images", *columns.values()), tuple(lines), notes)


@cache
def published_results(dataset: str) -> dict[str, dict[str, float]]:
    """Method with its source → figures on `dataset` (CoCA, CoSOD3k or Cosal2015, in any case), from Table 2
    and later methods; else empty. The source is the venue, and the backbone and training data if known."""
    text = (resources.files("gconet.evaluation") / "published_results.yaml").read_text("utf-8")
    tables, found = yaml.safe_load(text), {}
    for row in tables["gconet_table_2"]["rows"] + tables["later_methods"]["rows"]:
        source = ", ".join(row[key] for key in ("venue", "backbone", "train") if key in row)
        for name, values in row.items():
            if name.lower() == dataset.lower() and isinstance(values, list):
                found[f"{row['method']} ({source})"] = dict(zip(COLUMNS, values, strict=False))
    return found


def render_text(table: Table) -> str:
    """Aligned columns, names flush left and numbers flush right."""
    lines = [table.header, *table.rows]
    first, *widths = (max(map(len, column)) for column in zip(*lines, strict=True))
    body = ["  ".join([name.ljust(first), *map(str.rjust, cells, widths)]).rstrip() for name, *cells in lines]
    return "\n".join([table.title, *body, *table.notes])


def render_markdown(table: Table) -> str:
    """A pipe table below its title in bold."""
    rule = ("---", *("---:" for _ in table.header[1:]))
    lines = [table.header, rule, *table.rows]
    body = ["| " + " | ".join(cell.strip().replace("|", r"\|") for cell in line) + " |" for line in lines]
    return "\n".join([f"**{table.title}**\n", *body, *(f"\n{note}." for note in table.notes)])
