"""Train configurations one after another under one budget, score them, and put them into one table.

    python scripts/ablate.py --sets CoCA,CoSOD3k,Cosal2015 --epochs 50                 Table 1 of the paper
    python scripts/ablate.py --configs my/*.yaml --sets PASCAL_coseg --steps 200       your own rows
    python scripts/ablate.py --sets PASCAL_coseg --epochs 50 --seeds 0,1,2 --minutes 8 as many as fit

Within a seed, runs share episodes and the initial weights of the parts that they share. The first two
configurations run with every seed before the others start. A run is runs/ablation-<config>-seed<k>-<code>,
where the code stands for its settings; its scores are <output>/<budget>/<set>/<run>.json, and <set>.md is a
table of all of them, with a column for each setting that differs. A run is not trained again if its JSON file
exists: to share the work, copy these files between machines of one kind. After a stop, run it again.
"""

import hashlib
import json
import math
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gconet.cli import new_parser
from gconet.config import Config, config_to_dict, flatten, load_config
from gconet.data.groups import Group, scan_set
from gconet.errors import ConfigError, DataError, GCoNetError, run_command, say
from gconet.evaluation import score_folders
from gconet.evaluation.tables import COLUMNS, DISTRACTOR_COLUMNS, Table, render_markdown
from gconet.files import write_file

ROOT = Path(__file__).resolve().parents[1]
ROWS = ("6-full", "1-baseline", "5-gam-gcm", "2-gam", "3-gcm", "4-acm")  # of Table 1, most telling first
SHOWN = {name: COLUMNS[name] for name in ("max_e", "s_measure", "max_f", "mae")}
SHOWN |= {"j_half": "J@.5", **DISTRACTOR_COLUMNS}
FREE = ("name", "seed", "data.root", "data.cache", "data.workers", "train.epochs", "train.steps",
        "train.device", "train.graph", "train.save_minutes", "validation.set",
        "validation.every")  # fmt: skip


def main() -> int:
    args = parse_args()
    deadline = math.inf if args.minutes is None else time.monotonic() + 60 * args.minutes
    pairs = [(seed, p) for part in (args.configs[:2], args.configs[2:]) for seed in args.seeds for p in part]
    for job, command in [plan(path, [*args.overrides, f"seed={seed}"]) for seed, path in pairs]:
        records = {name: args.output / name / f"{job.name}.json" for name in args.sets}
        todo = {name: scan_set(Path(job.data.root), name) for name in args.sets if not records[name].exists()}
        if todo and not train(job.name, command, deadline):
            say(f"{args.minutes:g} minutes have passed, in {job.name}; run this again to resume")
            break
        for name, groups in todo.items():
            measure(job, name, groups, records[name])
    for name in args.sets:
        if found := [read_record(path) for path in sorted(args.output.glob(f"{name}/*.json"))]:
            table = render_markdown(ablation_table(f"{name}, {args.output.name}", found))
            write_file(args.output / f"{name}.md", table + "\n")
            print(table, end="\n\n")
    return 0


def plan(path: Path, overrides: Sequence[str]) -> tuple[Config, list[str]]:
    """Return a run's settings and train.py's arguments for them. The name tells apart all that matters."""
    settings = json.dumps(settings_of(job := load_config(path, overrides)), sort_keys=True)
    code = hashlib.sha256(settings.encode()).hexdigest()[:6]
    overrides = [*overrides, f"name=ablation-{path.stem}-seed{job.seed}-{code}"]
    return load_config(path, overrides), ["--config", str(path), *overrides]


def train(name: str, command: Sequence[str], deadline: float) -> bool:
    """Train to the end of the budget, from where an earlier call stopped; False if the time ran out first."""
    folder = Path("runs", name)
    if (folder / "last.pt").is_file():
        command = ["--resume", str(folder), *(text for text in command if text.startswith("train."))]
    elif folder.exists():  # killed before its first checkpoint
        folder.rename(f"{folder}.old-{time.time_ns()}")
    if time.monotonic() >= deadline:
        return False
    process = subprocess.Popen([sys.executable, str(ROOT / "train.py"), *command])
    try:
        status = process.wait(None if deadline == math.inf else max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    finally:
        process.terminate()  # if it still runs, it saves and exits
        process.wait()
    if status:
        raise GCoNetError(f"train.py failed (status {status}), see above; fix the cause and run this again")
    return True


def measure(job: Config, name: str, groups: Sequence[Group], record: Path) -> None:
    """Score a trained run on the `groups` of the set `name`."""
    from gconet.inference.folders import write_maps
    from gconet.inference.predictor import Predictor

    how = {"device": job.train.device, "precision": job.train.precision}
    predictor = Predictor.load(Path("runs", job.name, "last.pt"), **how)
    root, others = Path(job.data.root), Path(job.data.root, "distractors", name)
    with tempfile.TemporaryDirectory() as text:
        write_maps(predictor, groups, maps := Path(text))
        scores = score_folders(maps, root / "gts" / name, distractors=others if others.is_dir() else None)
    content = {"settings": settings_of(job), "figures": dict(scores.figures)}
    write_file(record, json.dumps(content, indent=1))


def read_record(path: Path) -> dict[str, Any]:
    """Read what `measure` wrote; raises DataError for anything else."""
    label, _, rest = path.stem.removeprefix("ablation-").rpartition("-seed")
    seed, _, code = rest.partition("-")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        figures = {name: float(figure) for name, figure in content["figures"].items()}
        settings = flatten(config_to_dict(Config())) | content["settings"]
        return {"row": (label, code), "seed": int(seed), "settings": settings, "figures": figures}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataError(f"{path} does not contain a run's scores; move it away to score it again") from None


def settings_of(config: Config) -> dict[str, Any]:
    """Return the settings that a run's figures depend on, except its seed and length, if not the default."""
    flat, default = (flatten(config_to_dict(c)) for c in (config, Config()))
    for key in ("encoder.weights", "data.episodes", "init"):  # the folder may differ on another machine
        flat[key] = flat[key] and Path(flat[key]).name
    return {key: value for key, value in flat.items() if key not in FREE and value != default[key]}


def ablation_table(title: str, records: Sequence[dict[str, Any]]) -> Table:
    """Build a table of mean figures ± half the range over seeds: a row for each configuration."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in sorted(records, key=lambda record: (*record["row"], record["seed"])):
        rows.setdefault(record["row"], []).append(record)
    settings = [own[0]["settings"] for own in rows.values()]
    differing = [key for key in settings[0] if any(row[key] != settings[0][key] for row in settings)]
    shown = [name for name in SHOWN if all(name in record["figures"] for record in records)]
    lines = []
    for (label, _), own in rows.items():
        changed = (str(own[0]["settings"][key]) for key in differing)
        figures = (mean_and_spread([record["figures"][name] for record in own]) for name in shown)
        lines.append((label, *changed, " ".join(str(record["seed"]) for record in own), *figures))
    header = ("", *differing, "seeds", *(SHOWN[name] for name in shown))
    return Table(title, header, tuple(lines), ("mean ± half the range over the seeds",))


def mean_and_spread(figures: Sequence[float]) -> str:
    values = [figure for figure in figures if not math.isnan(figure)]
    half = f" ± {np.ptp(values) / 2:.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{half}" if values else "-"


def parse_args() -> Namespace:
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--configs", nargs="+", default=[], metavar="FILE", help="default: Table 1, most telling rows first")
    add("--sets", required=True, metavar="A,B", help="score on these sets of data.root")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--epochs", type=int, metavar="N", help="train every run for N epochs")
    budget.add_argument("--steps", type=int, metavar="N", help="or for N steps, a short schedule")
    add("--seeds", default="0", metavar="0,1", help="default: %(default)s")
    add("--minutes", type=float, metavar="M", help="stop training after M minutes; 0: only write the tables")
    add("--output", type=Path, default=Path("results/ablation"), metavar="DIR", help="default: %(default)s")
    add("overrides", nargs="*", metavar="key=value", help="settings for all runs")
    args = parser.parse_intermixed_args()  # settings and options in any order
    args.sets, args.seeds = (list(dict.fromkeys(text.split(","))) for text in (args.sets, args.seeds))
    args.overrides += [text for text in args.configs if "=" in text]  # --configs a.yaml b.yaml key=value
    args.configs = [Path(text) for text in args.configs if "=" not in text]
    args.configs = args.configs or [ROOT / f"configs/ablation/{row}.yaml" for row in ROWS]
    taken = ("seed=", "name=", "train.epochs=", "train.steps=")
    if wrong := [override for override in args.overrides if override.startswith(taken)]:
        raise ConfigError(f"{wrong[0]}: the options of this command set that")
    length, unit = (args.steps, "steps") if args.epochs is None else (args.epochs, "epochs")
    args.overrides += [f"train.epochs={length}", f"train.steps={args.steps or 'null'}"]
    args.output /= f"{length}-{unit}"
    return args


if __name__ == "__main__":
    run_command(main)
