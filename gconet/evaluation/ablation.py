"""Table 1 of the paper, measured: what GAM, GCM and ACM add."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gconet.errors import DataError
from gconet.evaluation.published import ORDER, load_tables
from gconet.evaluation.tables import COLUMNS, DISTRACTOR_COLUMNS, SEGMENTATION_COLUMNS, Table

MODULES = ("GAM", "GCM", "ACM")
DISTANCES = {"within": "d within", "between": "d between"}
PAPER = {name: COLUMNS[name] for name in ORDER}
MEASURED = {**PAPER, "j_half": SEGMENTATION_COLUMNS["j_half"], **DISTANCES}


@dataclass(frozen=True)
class RunScores:
    """What one run, a row of the paper's table with one seed, measured on one set."""

    row: int  # the paper's number
    seed: int
    figures: Mapping[str, float]  # at least `MEASURED`'s; `DISTRACTOR_COLUMNS`' if the set has distractors
    settings: Mapping[str, Any]  # section.key → value: what it was trained with, `gam.enabled` and others
    checkpoint: str  # SHA-256 of the file that was scored

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        partial.replace(path)


def read_scores(path: Path) -> RunScores:
    """What `RunScores.write` wrote; raises DataError for a file that is anything else."""
    try:
        scores = RunScores(**json.loads(path.read_text(encoding="utf-8")))
        whole = (
            scores.row in [row["id"] for row in load_tables()["gconet_table_1"]["rows"]]
            and isinstance(scores.seed, int)
            and scores.seed >= 0
            and all(name in scores.figures for name in MEASURED)
            and all(isinstance(scores.figures[name], int | float) for name in scores.figures)
            and hasattr(scores.settings, "get")
        )
    except (ValueError, TypeError, KeyError):
        whole = False
    if not whole:
        raise DataError(f"{path} holds no scores of a run; move it away, and the run is scored again")
    return scores


def ablation_table(dataset: str, runs: Iterable[RunScores], notes: Sequence[str]) -> Table:
    """The paper's table for one set: mean over seeds ± half the range, and the paper's figures.

    For a set that is not in the paper, the table shows the paper's S-measures on its own sets. `notes`
    say how the runs were made; their seeds are added. If all runs have figures on distractors, there are
    columns for them.
    """
    runs = list(runs)
    with_distractors = all(name in run.figures for run in runs for name in DISTRACTOR_COLUMNS)
    columns = MEASURED | (DISTRACTOR_COLUMNS if runs and with_distractors else {})
    published = {row["id"]: row for row in load_tables()["gconet_table_1"]["rows"]}
    known = {name.lower(): name for name in ("CoCA", "CoSOD3k", "Cosal2015")}
    if own := known.get(dataset.lower()):
        beside = {f"paper {heading}": (own, i) for i, heading in enumerate(PAPER.values())}
    else:
        beside = {f"paper S, {name}": (name, ORDER.index("s_measure")) for name in known.values()}
    header = ("", *MODULES, *columns.values(), *beside)
    rows: dict[int, list[RunScores]] = {}
    for run in sorted(runs, key=lambda run: (run.row, run.seed)):
        rows.setdefault(run.row, []).append(run)
    lines = []
    for number, group in rows.items():
        measured = [format_spread([run.figures[name] for run in group]) for name in columns]
        theirs = [f"{published[number][name][i]:.3f}" for name, i in beside.values()]
        ticks = ["x" if group[0].settings[f"{module.lower()}.enabled"] else "" for module in MODULES]
        lines.append((str(number), *ticks, *measured, *theirs))
    explained = "d: mean cosine distance of images' parts of the consensus, within and between groups"
    return Table(dataset, header, tuple(lines), (*notes, name_seeds(rows), explained))


def name_seeds(rows: Mapping[int, Sequence[RunScores]]) -> str:
    """Which seeds the rows are of: a difference within one seed is not one of means."""
    seeds = {number: ", ".join(str(run.seed) for run in group) for number, group in rows.items()}
    if len(set(seeds.values())) == 1:
        text = f"seeds of every row: {next(iter(seeds.values()))}"
    else:
        text = "seeds differ; " + "; ".join(f"row {number}: {own}" for number, own in seeds.items())
    spread = any(len(group) > 1 for group in rows.values())
    return text + (" (mean ± half the range)" if spread else "")


def format_spread(values: Sequence[float]) -> str:
    """Mean ± half the range, the latter if there is more than one value; "-" for NaN."""
    if any(map(math.isnan, values)):
        return "-"
    mean, half = sum(values) / len(values), (max(values) - min(values)) / 2
    return f"{mean:.3f}" + (f" ± {half:.3f}" if len(values) > 1 else "")
