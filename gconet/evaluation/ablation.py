"""Table 1 of the paper, measured: what GAM, GCM and ACM add."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gconet.evaluation.published import ORDER, load_tables
from gconet.evaluation.tables import COLUMNS, Table

DISTANCES = {"within": "d within", "between": "d between"}
PAPER = {name: COLUMNS[name] for name in ORDER}


@dataclass(frozen=True)
class AblationRow:
    """One row: which modules are on, and what each of its runs (one for every seed) measured."""

    number: int  # of the paper's row
    modules: tuple[str, ...]
    runs: tuple[Mapping[str, float], ...]  # `ORDER`'s figures, and `DISTANCES`


def ablation_table(dataset: str, rows: Sequence[AblationRow], notes: Sequence[str]) -> Table:
    """The paper's table for one set: mean over seeds ± half the range, and the paper's figures.

    For a set that the paper has not, its S-measures on its own sets stand there. `notes` say how the
    rows were made.
    """
    published = {row["id"]: row for row in load_tables()["gconet_table_1"]["rows"]}
    known = {name.lower(): name for name in ("CoCA", "CoSOD3k", "Cosal2015")}
    if own := known.get(dataset.lower()):
        beside = {f"paper {heading}": (own, i) for i, heading in enumerate(PAPER.values())}
    else:
        beside = {f"paper S, {name}": (name, ORDER.index("s_measure")) for name in known.values()}
    header = ("", "GAM", "GCM", "ACM", *PAPER.values(), *DISTANCES.values(), *beside)
    lines = []
    for row in rows:
        measured = [format_spread([run[name] for run in row.runs]) for name in (*PAPER, *DISTANCES)]
        theirs = [f"{published[row.number][name][i]:.3f}" for name, i in beside.values()]
        ticks = ["x" if module in row.modules else "" for module in ("GAM", "GCM", "ACM")]
        lines.append((str(row.number), *ticks, *measured, *theirs))
    explained = "d: mean cosine distance of images' parts of the consensus, within and between groups"
    return Table(dataset, header, tuple(lines), (*notes, explained))


def format_spread(values: Sequence[float]) -> str:
    """Mean ± half the range, the latter where there is more than one value."""
    if not values:
        return ""
    mean, half = sum(values) / len(values), (max(values) - min(values)) / 2
    return f"{mean:.3f}" + (f" ± {half:.3f}" if len(values) > 1 else "")
