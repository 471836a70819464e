"""Table 1 of the paper under one budget: trains its six rows one after another and scores them.

    python scripts/ablate.py --sets CoCA,CoSOD3k,Cosal2015 --epochs 10
    python scripts/ablate.py --sets PASCAL_coseg --steps 200 --seeds 0,1 data.root=/data

Every row is configs/ablation/<row>.yaml with the same budget; for a seed, all rows see the same
episodes and start from the same weights in the parts that they share. Runs are
runs/ablation-<row>-seed<k>; `tensorboard --logdir runs` shows their curves in one chart. Scores and the
table (Markdown, CSV, LaTeX) go to --output. Stopped at any point, the same command goes on.

Exit status: 0 when the table is complete, 1 for failures, 2 for wrong arguments.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from gconet.config import Config, config_from_dict, config_to_dict, load_config
from gconet.data.groups import scan_set
from gconet.errors import ConfigError, GCoNetError, run_command
from gconet.evaluation import score_folders
from gconet.evaluation.ablation import DISTANCES, AblationRow, ablation_table
from gconet.evaluation.tables import render_csv, render_latex, render_markdown, render_text

ROOT = Path(__file__).resolve().parents[1]
ROWS = sorted((ROOT / "configs/ablation").glob("*.yaml"))


def main() -> int:
    args = parse_args()
    budget = {"train.epochs": args.epochs} if args.epochs else {"train.steps": args.steps}
    overrides = [*args.overrides, *(f"{key}={value}" for key, value in budget.items())]
    configs = {
        (row, seed): load_config(row, [*overrides, f"seed={seed}", f"name=ablation-{row.stem}-seed{seed}"])
        for seed in args.seeds
        for row in ROWS
    }
    root = Path(next(iter(configs.values())).data.root)
    for name in args.sets:
        scan_set(root, name)  # all that is needed is there, before hours of training

    results: dict[Path, dict[str, list[dict[str, float]]]] = {row: {} for row in ROWS}
    for (row, seed), config in configs.items():
        print(f"{row.stem}, seed {seed}", flush=True)
        train_row(row, config, overrides=[*overrides, f"seed={seed}", f"name={config.name}"])
        for name in args.sets:
            measured = measure_row(config, root, name, args.output / config.name / name)
            results[row].setdefault(name, []).append(measured)
        write_tables(args.output, args.sets, results, describe(args, budget))
    for name in args.sets:
        print((args.output / f"{name}.txt").read_text(encoding="utf-8"))
    return 0


def train_row(row: Path, config: Config, *, overrides: list[str]) -> None:
    """Train to the end of the budget, from where an earlier call stopped."""
    from gconet.checkpoint import read_checkpoint

    folder = Path("runs") / config.name
    if (folder / "last.pt").is_file():
        theirs = config_to_dict(config_from_dict(read_checkpoint(folder / "last.pt")["config"]))
        ours = config_to_dict(config)
        for one in (theirs, ours):  # what --resume may change
            one.pop("train")
            one["data"] = {k: v for k, v in one["data"].items() if k not in ("root", "cache", "workers")}
        if theirs != ours:
            raise ConfigError(f"{folder} was trained with other settings; move it away, or give those again")
        budget = [o for o in overrides if o.startswith("train.")]
        run_python("train.py", "--resume", str(folder), *budget)
        return
    if folder.exists():  # stopped before its first checkpoint: nothing is lost
        shutil.rmtree(folder)
    run_python("train.py", "--config", str(row), *overrides)


def measure_row(config: Config, root: Path, name: str, output: Path) -> dict[str, float]:
    """Scores and distances of a trained row on one set; those of an earlier call if they still hold."""
    from gconet.checkpoint import read_checkpoint

    checkpoint, record = Path("runs") / config.name / "last.pt", output / "scores.json"
    step = read_checkpoint(checkpoint)["training"]["step"]
    if record.is_file():
        measured: dict[str, float] = json.loads(record.read_text(encoding="utf-8"))
        if measured["step"] == step:
            return measured
    device = ["--device", config.train.device, "--precision", config.train.precision, "--overwrite"]
    common = ["--checkpoint", str(checkpoint), "--images", str(root / "images" / name), *device]
    run_python("test.py", *common, "--output", str(output / "maps"), "--no-page")
    run_python("scripts/visualize.py", "consensus", *common, "--output", str(output / "consensus"))
    figures = score_folders(output / "maps", root / "gts" / name).figures()
    with (output / "consensus/distances.csv").open(encoding="utf-8", newline="") as file:
        groups = list(csv.DictReader(file))
    distances = {name: float(np.nanmean([float(group[name]) for group in groups])) for name in DISTANCES}
    measured = {"step": step, **figures, **distances}
    partial = record.with_suffix(".partial")
    partial.write_text(json.dumps(measured, indent=1), encoding="utf-8")
    partial.replace(record)
    return measured


def run_python(script: str, *arguments: str) -> None:
    """Run one of the repository's commands; its failure ends this one."""
    done = subprocess.run([sys.executable, str(ROOT / script), *arguments], check=False)
    if done.returncode > 128 or done.returncode < 0:
        raise KeyboardInterrupt
    if done.returncode:
        raise GCoNetError(f"{script} failed (status {done.returncode}), see above; mend that and start again")


def write_tables(
    output: Path, sets: list[str], results: dict[Path, dict[str, list[dict[str, float]]]], notes: list[str]
) -> None:
    """A table of each set, as far as its rows are done."""
    for name in sets:
        rows = []
        for row, measured in results.items():
            config = load_config(row)
            on = {"GAM": config.gam.enabled, "GCM": config.gcm.enabled, "ACM": config.acm.enabled}
            modules = tuple(module for module, enabled in on.items() if enabled)
            number = int(row.stem.split("-")[0])
            if measured.get(name):
                rows.append(AblationRow(number, modules, tuple(measured[name])))
        table = ablation_table(name, rows, notes)
        styles = {"txt": render_text, "md": render_markdown, "tex": render_latex, "csv": render_csv}
        for suffix, render in styles.items():
            (output / f"{name}.{suffix}").write_text(render(table) + "\n", encoding="utf-8")


def describe(args: argparse.Namespace, budget: dict[str, int]) -> list[str]:
    """The notes below the table."""
    (key, value), *_ = budget.items()
    seeds = ", ".join(map(str, args.seeds))
    return [
        f"each row: {value} {key.removeprefix('train.')}, seeds {seeds}"
        + ("; mean and half the range" if len(args.seeds) > 1 else "")
    ]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets",
        type=lambda text: text.split(","),
        required=True,
        metavar="A,B",
        help="score on these sets of data.root",
    )
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--epochs", type=int, metavar="N", help="train every row for so many epochs")
    budget.add_argument("--steps", type=int, metavar="N", help="or for so many steps: a short schedule")
    parser.add_argument(
        "--seeds", default="0", metavar="0,1", help="seeds of the runs (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("results/ablation"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of all rows")
    args = parser.parse_args()
    try:
        args.seeds = [int(seed) for seed in args.seeds.split(",")]
    except ValueError:
        raise ConfigError(
            f"--seeds {args.seeds}: give whole numbers with commas between, as in 0,1"
        ) from None
    for name in ("epochs", "steps"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ConfigError(f"--{name} {value}: give at least 1")
    taken = (
        "seed=",
        "name=",
        "train.epochs=",
        "train.steps=",
        "gam.enabled=",
        "gcm.enabled=",
        "acm.enabled=",
    )
    if odd := [override for override in args.overrides if override.startswith(taken)]:
        raise ConfigError(f"{odd[0]}: that is what the rows and the options of this command set")
    return args


if __name__ == "__main__":
    run_command(main)
