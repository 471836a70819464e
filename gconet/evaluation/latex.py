"""Formats scores as a paper's LaTeX table: sets side by side, best in bold, second best underlined."""

import math
from collections.abc import Mapping, Sequence

from gconet.errors import one_line
from gconet.evaluation.published import published_results
from gconet.evaluation.scores import Scores

LOWER = ("mae", "on_distractors")  # figures for which lower is better
SPECIAL = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\\": "\\textbackslash{}"}
)


def side_by_side(scores: Sequence[Scores], columns: Mapping[str, str]) -> str:
    """Return a tabular for the package booktabs: methods as rows, published ones first, and for each set its
    `columns`, figure → heading."""
    sets = list(dict.fromkeys(one.dataset for one in scores))
    rows: dict[str, dict[str, Mapping[str, float]]] = {}  # name → set → figures
    for set_ in sets:
        for name, figures in published_results(set_).items():
            rows.setdefault(name, {})[set_] = figures
    for one in scores:
        rows.setdefault(one.method or "maps", {})[one.dataset] = one.figures
    cells = [
        mark([own.get(set_, {}).get(figure) for own in rows.values()], figure)
        for set_ in sets
        for figure in columns
    ]
    width = len(columns)
    heads = [rf"\multicolumn{{{width}}}{{c}}{{{escape(one)}}}" for one in sets]
    rules = [rf"\cmidrule(lr){{{2 + i * width}-{1 + (i + 1) * width}}}" for i in range(len(sets))]
    arrows = [rf"{name} $\{'down' if figure in LOWER else 'up'}arrow$" for figure, name in columns.items()]
    notes = [
        f"{one.method}: {one.images} of {one.expected_images} images of {one.dataset}"
        for one in scores
        if one.expected_images not in (None, one.images)
    ]
    return "\n".join([
        *(f"% {one_line(comment)}" for comment in (f"{scores[0].convention} convention", *notes)),
        rf"\begin{{tabular}}{{l{'c' * len(cells)}}}",
        r"\toprule",
        line(["", *heads]),
        "".join(rules),
        line(["", *arrows * len(sets)]),
        r"\midrule",
        *map(line, zip(map(escape, rows), *cells, strict=True)),
        r"\bottomrule",
        r"\end{tabular}",
    ])  # fmt: skip


def mark(values: Sequence[float | None], figure: str) -> list[str]:
    """Return a column's cells; of several values the best, as printed, is bold, the next underlined. Three
    decimals without a leading zero; a dash for NaN, empty for None."""

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}".removeprefix("0").replace("nan", "--")

    known = [value for value in values if value is not None and not math.isnan(value)]
    best = dict.fromkeys(map(cell, sorted(known, reverse=figure not in LOWER)) if len(known) > 1 else ())
    styles = dict(zip(best, (r"\textbf", r"\underline"), strict=False))
    return [f"{styles[text]}{{{text}}}" if text in styles else text for text in map(cell, values)]


def escape(name: str) -> str:
    """Return `name` as LaTeX that prints it, in one line."""
    return one_line(name).translate(SPECIAL)


def line(cells: Sequence[str]) -> str:
    """Return one row of `cells`."""
    return " & ".join(cells).lstrip() + r" \\"
