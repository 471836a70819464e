"""Draw the losses of several runs: one panel per loss, one line per run.

    python scripts/tools/draw_losses.py runs/a runs/d --output losses.svg
    python scripts/tools/draw_losses.py results/ablation/2000-steps/*/ --output table1.svg

A run is a folder with the log.jsonl of train.py or the losses.csv of ablate.py. Lines show the means of
every hundred steps. Needs matplotlib: pip install 'gconet[plot]'.
"""

import csv
from pathlib import Path

from gconet.ablation import mean_losses
from gconet.cli import new_parser
from gconet.errors import ConfigError, DataError, run_command
from gconet.files import check_files

TITLES = {
    "saliency": "saliency (soft IoU)",
    "collaboration": "collaboration (GCM, focal)",
    "classification": "classification (ACM, cross-entropy)",
    "bce": "cross-entropy of the finest map",
}


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a folder, named in the legend")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="a new .svg, .png or .pdf")
    args = parser.parse_args()
    check_files([args.output])
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("plots need matplotlib: pip install 'gconet[plot]'") from None
    runs = {run.name: read_losses(run) for run in args.runs}
    if len(runs) < len(args.runs):
        raise ConfigError("two run folders have the same name; rename one of them")
    names = [name for name in TITLES if any(name in curves for curves in runs.values())]
    figure = Figure(figsize=(4.2 * len(names), 3.2), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for run, curves in runs.items():
            if name in curves:
                axis.plot(curves["step"], curves[name], label=run, linewidth=1.2)
        axis.set(title=TITLES[name], xlabel="step")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(args.output, dpi=110)
    return 0


def read_losses(run: Path) -> dict[str, list[float]]:
    """Read the curves of a run, by the columns of losses.csv; raises DataError if it has none."""
    table, log = run / "losses.csv", run / "log.jsonl"
    if table.is_file():
        with table.open(newline="") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    elif log.is_file():
        rows = mean_losses(log)
    else:
        raise DataError(f"{run} has neither losses.csv nor log.jsonl; give a run's folder")
    return {name: [row[name] for row in rows] for name in rows[0]}


if __name__ == "__main__":
    run_command(main)
