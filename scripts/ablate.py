"""Table 1 of the paper under one budget: trains its six rows one after another and scores them.

    python scripts/ablate.py --sets CoCA,CoSOD3k,Cosal2015 --epochs 10
    python scripts/ablate.py --sets PASCAL_coseg --steps 200 --seeds 0,1 data.root=/data
    python scripts/ablate.py --sets PASCAL_coseg --steps 200 --rows 1,6      two of its rows

Every row is configs/ablation/<row>.yaml with the same budget; for a seed, all rows see the same
episodes and start from the same weights in the parts that they share. Runs are
runs/ablation-<row>-seed<k>; `tensorboard --logdir runs` shows their curves in one chart. Scores and the
table (Markdown, CSV, LaTeX) go to --output; what earlier calls with the same settings measured there stands
in the table too. Stopped at any point, the same command goes on.

Exit status: 0 when the table is complete, 1 for failures, 2 for wrong arguments.
"""

import argparse
import csv
import hashlib
import json
import math
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from gconet.config import Config, config_to_dict, load_config
from gconet.data.groups import scan_set
from gconet.errors import ConfigError, GCoNetError, run_command
from gconet.evaluation import score_folders
from gconet.evaluation.ablation import DISTANCES, AblationRow, ablation_table
from gconet.evaluation.tables import render_csv, render_latex, render_markdown, render_text

ROOT = Path(__file__).resolve().parents[1]
BY_NUMBER = {row.stem.split("-")[0]: row for row in sorted((ROOT / "configs/ablation").glob("*.yaml"))}


def main() -> int:
    args = parse_args()
    first = load_config(BY_NUMBER[args.rows[0]], args.overrides)
    root = Path(first.data.root)
    for name in args.sets:
        scan_set(root, name)  # all that is needed is there, before hours of training
    epoch = len(scan_set(root, first.data.train_set))  # steps
    last = args.steps or args.epochs * epoch
    if args.epochs:
        budget = [f"train.epochs={args.epochs}", "train.steps=null"]
    else:
        budget = [f"train.epochs={-(-args.steps // epoch)}", f"train.steps={args.steps}"]
    common = [*args.overrides, *budget]
    folders = {name: (root / "images" / name, root / "gts" / name) for name in args.sets}
    measured: dict[str, dict[str, list[dict[str, float]]]] = {
        name: {number: [] for number in BY_NUMBER} for name in args.sets
    }
    asked = [(number, seed) for seed in args.seeds for number in args.rows]
    for number, seed in earlier_runs():
        _, config = plan_run(number, seed, common)
        if (number, seed) in asked or not is_comparable(config, last):
            continue
        for name, own in folders.items():
            if figures := earlier_figures(config, *own, args.output / config.name / name):
                measured[name][number].append(figures)
    for number, seed in asked:
        settings, config = plan_run(number, seed, common)
        print(f"{config.name}", flush=True)
        train_row(BY_NUMBER[number], config, settings, last)
        for name, own in folders.items():
            measured[name][number].append(measure_row(config, *own, args.output / config.name / name))
        for name, rows in measured.items():
            write_table(args.output, name, rows)
    for name in args.sets:
        print((args.output / f"ablation-{name}.txt").read_text(encoding="utf-8"))
    return 0


def plan_run(number: str, seed: int, common: list[str]) -> tuple[list[str], Config]:
    """The settings of a row's run, over its configuration, and what they make."""
    row = BY_NUMBER[number]
    settings = [*common, f"seed={seed}", f"name=ablation-{row.stem}-seed{seed}"]
    return settings, load_config(row, settings)


def earlier_runs() -> list[tuple[str, int]]:
    """Row and seed of the runs that earlier calls began."""
    return [
        (number, int(seed))
        for number, row in BY_NUMBER.items()
        for path in sorted(Path("runs").glob(f"ablation-{row.stem}-seed*"))
        if (seed := path.name.rpartition("seed")[2]).isdecimal()
    ]


def is_comparable(config: Config, last: int) -> bool:
    """Whether an earlier call's run has these settings and budget; says so where it has others."""
    try:
        if is_trained(config, last):
            return True
        print(f"not in the table: runs/{config.name} is not known to stand at step {last}", flush=True)
    except GCoNetError as error:
        print(f"not in the table: {error}", flush=True)
    return False


def is_trained(config: Config, last: int) -> bool:
    """Whether a run stands at the end of the budget, step `last`; raises ConfigError where it had other
    settings."""
    from gconet.checkpoint import read_checkpoint, saved_config
    from gconet.run import LAST, RESUMABLE

    checkpoint = Path("runs") / config.name / LAST
    if not checkpoint.is_file():
        return False
    content = read_checkpoint(checkpoint)
    saved = saved_config(content, checkpoint)
    theirs, ours = (flatten(config_to_dict(one)) for one in (saved, config))
    fixed = [k for k in ours if k == "train.precision" or not f"{k}=".startswith(RESUMABLE)]
    if odd := [k for k in fixed if theirs[k] != ours[k]]:
        raise ConfigError(
            f"{checkpoint.parent} was trained with {odd[0]}={theirs[odd[0]]}, not {ours[odd[0]]}; move it "
            "away, or give the same settings"
        )
    training = content.get("training")
    return config.data.episodes is None and isinstance(training, dict) and training.get("step") == last


def train_row(row: Path, config: Config, settings: list[str], last: int) -> None:
    """Train to the end of the budget, step `last`, from where an earlier call stopped; raises ConfigError
    where that one had other settings."""
    from gconet.lock import hold
    from gconet.run import LAST, RESUMABLE

    folder = Path("runs") / config.name
    if is_trained(config, last):
        return
    if (folder / LAST).is_file():
        changed = [setting for setting in settings if setting.startswith(RESUMABLE)]
        run_python("train.py", "--resume", str(folder), *changed)
        return
    if folder.exists():  # stopped before its first checkpoint
        if any(
            path.name not in (".lock", f".{LAST}.partial", "config.yaml", "log.jsonl", "tensorboard")
            for path in folder.iterdir()
        ):
            raise ConfigError(f"{folder} holds no {LAST} but other files; move it away")
        held = hold(folder)
        shutil.rmtree(folder)
        if held:
            held.close()
    run_python("train.py", "--config", str(row), *settings)


def flatten(settings: dict[str, Any]) -> dict[str, Any]:
    """Nested settings as section.key → value."""
    return {
        name: value
        for key, own in settings.items()
        for name, value in (
            {f"{key}.{k}": v for k, v in own.items()} if isinstance(own, dict) else {key: own}
        ).items()
    }


def earlier_figures(config: Config, images: Path, gts: Path, output: Path) -> dict[str, float] | None:
    """What an earlier call measured of a trained row on one set, if it still holds."""
    record = output / "scores.json"
    if not record.is_file():
        return None
    earlier = json.loads(record.read_text(encoding="utf-8"))
    figures: dict[str, float] = earlier["figures"]
    return figures if earlier["of"] == sources(config, images, gts) else None


def sources(config: Config, images: Path, gts: Path) -> dict[str, str]:
    """What a row's figures were made of."""
    checkpoint = Path("runs") / config.name / "last.pt"
    return {
        "checkpoint": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "images": str(images.resolve()),
        "masks": str(gts.resolve()),
    }


def measure_row(config: Config, images: Path, gts: Path, output: Path) -> dict[str, float]:
    """Scores and distances of a trained row on one set; those of an earlier call if they still hold."""
    from gconet.checkpoint import read_checkpoint

    if earlier := earlier_figures(config, images, gts, output):
        return earlier
    checkpoint, record = Path("runs") / config.name / "last.pt", output / "scores.json"
    device = ["--device", config.train.device, "--precision", config.train.precision, "--overwrite"]
    common = ["--checkpoint", str(checkpoint), "--images", str(images), *device]
    run_python("test.py", *common, "--output", str(output / "maps"), "--no-page")
    run_python("scripts/visualize.py", "consensus", *common, "--output", str(output / "consensus"))
    with (output / "consensus/distances.csv").open(encoding="utf-8", newline="") as file:
        groups = list(csv.DictReader(file))
    figures = {
        "step": read_checkpoint(checkpoint)["training"]["step"],
        **score_folders(output / "maps", gts).figures(),
        **{name: mean_of([float(group[name]) for group in groups]) for name in DISTANCES},
    }
    partial = record.with_suffix(".partial")
    content = {"of": sources(config, images, gts), "figures": figures}
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(record)
    return figures


def mean_of(values: list[float]) -> float:
    """The mean of what is no NaN; NaN where nothing is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def run_python(script: str, *arguments: str) -> None:
    """Run one of the repository's commands; its failure ends this one.

    Ctrl-C reaches the command too, which is then given the time to save.
    """
    process = subprocess.Popen([sys.executable, str(ROOT / script), *arguments])
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    if status in (-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise KeyboardInterrupt
    if status:
        raise GCoNetError(f"{script} failed (status {status}), see above; mend that and start again")


def write_table(output: Path, name: str, measured: dict[str, list[dict[str, float]]]) -> None:
    """The table of set `name` with the rows that are done."""
    rows = []
    for number, runs in measured.items():
        config = load_config(BY_NUMBER[number])
        on = {"GAM": config.gam.enabled, "GCM": config.gcm.enabled, "ACM": config.acm.enabled}
        modules = tuple(module for module, enabled in on.items() if enabled)
        if runs:
            rows.append(AblationRow(int(number), modules, tuple(runs)))
    steps = sorted({int(run["step"]) for row in rows for run in row.runs})
    seeds = sorted({len(row.runs) for row in rows})
    spread = f"{either(seeds)} seeds a row, mean and half the range" if seeds != [1] else "one seed"
    notes = [f"{either(steps)} steps a run, {spread}"]
    table = ablation_table(name, rows, notes)
    styles = {"txt": render_text, "md": render_markdown, "tex": render_latex, "csv": render_csv}
    for suffix, render in styles.items():
        (output / f"ablation-{name}.{suffix}").write_text(render(table) + "\n", encoding="utf-8")


def either(numbers: list[int]) -> str:
    """1 or 2 or 3."""
    return " or ".join(map(str, numbers))


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
        "--rows", default=",".join(BY_NUMBER), metavar="1,6", help="rows to train (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("results/ablation"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of all rows")
    args = parser.parse_intermixed_args()  # settings and options in any order
    try:
        args.seeds = [int(seed) for seed in args.seeds.split(",")]
    except ValueError:
        raise ConfigError(
            f"--seeds {args.seeds}: give whole numbers with commas between, as in 0,1"
        ) from None
    numbers = args.rows.split(",")
    if odd := [number for number in numbers if number not in BY_NUMBER]:
        raise ConfigError(f"--rows: there is no row {odd[0]!r}; choose from {','.join(BY_NUMBER)}")
    args.rows = [number for number in BY_NUMBER if number in numbers]  # in the paper's order
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
