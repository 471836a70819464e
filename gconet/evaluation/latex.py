"""Scores as a LaTeX table of a paper: sets side by side, the best bold, the second best underlined."""

import math
from collections.abc import Mapping, Sequence

from gconet.evaluation.published import published_results
from gconet.evaluation.scores import Scores

LOWER = ("mae", "on_distractors")  # the figures of which less is better
SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\\": "\\textbackslash{}"}
)


def side_by_side(
    scores: Sequence[Scores], columns: Mapping[str, str], published: Sequence[str] | None
) -> str:
    """A tabular for the package booktabs: methods as rows, and for each set its `columns`.

    `columns`: figure → heading; `published`: the methods whose published rows stand above ours, None for all.
    Among the rows of a column the best is bold and the second best underlined, as printed.
    """
    sets = list(dict.fromkeys(one.dataset for one in scores))
    rows: dict[str, dict[tuple[str, str], float]] = {}
    for dataset in sets:
        for row in published_results(dataset, published):
            own = rows.setdefault(f"{row.method} ({row.source})", {})
            own.update({(dataset, figure): value for figure, value in row.figures.items()})
    notes = []
    for one in scores:
        own = rows.setdefault(one.method or "maps", {})
        own.update({(one.dataset, figure): value for figure, value in one.figures.items()})
        if one.expected_images not in (None, one.images):
            notes.append(f"{one.method}: {one.images} of {one.expected_images} images of {one.dataset}")
    cells = [(dataset, figure) for dataset in sets for figure in columns]
    marks = {cell: rank([own[cell] for own in rows.values() if cell in own], cell[1]) for cell in cells}
    lines = [
        [name.translate(SPECIAL), *(mark(own.get(c), marks[c]) for c in cells)] for name, own in rows.items()
    ]
    heads = [rf"\multicolumn{{{len(columns)}}}{{c}}{{{one.translate(SPECIAL)}}}" for one in sets]
    ends = range(1, 1 + len(cells), len(columns))  # the column before each set's first
    rules = "".join(rf"\cmidrule(lr){{{end + 1}-{end + len(columns)}}}" for end in ends)
    arrows = [rf"{columns[f]} $\{'down' if f in LOWER else 'up'}arrow$" for _, f in cells]
    head = [line(["", *heads]), rules, line(["", *arrows])]
    return tabular([f"{scores[0].convention} convention", *notes], "l" + "c" * len(cells), head, lines)


def tabular(
    comments: Sequence[str], alignment: str, head: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    """A tabular for the package booktabs, from the lines of its head and the cells of its rows."""
    return "\n".join([
        *(f"% {comment}" for comment in comments),
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        *head,
        r"\midrule",
        *map(line, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ])  # fmt: skip


def line(cells: Sequence[str]) -> str:
    """The cells of one row."""
    return " & ".join(cells).lstrip() + r" \\"


def rank(values: Sequence[float], figure: str) -> tuple[str, str]:
    """The best and the second best of a column, as printed; empty texts for a column of one."""
    known = sorted((value for value in values if not math.isnan(value)), reverse=figure not in LOWER)
    if len(known) < 2:
        return "", ""
    best, *rest = dict.fromkeys(map(short, known))
    return best, rest[0] if rest else ""


def mark(value: float | None, best: tuple[str, str]) -> str:
    """A cell: bold if it is the best of its column, underlined if the second, empty if there is none."""
    if value is None:
        return ""
    text = short(value)
    styles = {best[0]: r"\textbf", best[1]: r"\underline"}
    return f"{styles[text]}{{{text}}}" if text and text in styles else text


def short(value: float) -> str:
    """Three decimals without the zero before the point; a dash for NaN."""
    return "--" if math.isnan(value) else f"{value:.3f}".removeprefix("0")
