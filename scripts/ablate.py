"""Train configurations one after another under one budget, score them, and put them into one table.

    python scripts/ablate.py --sets CoCA,CoSOD3k,Cosal2015 --epochs 50                 Table 1 of the paper
    python scripts/ablate.py --configs my/*.yaml --sets PASCAL_coseg --steps 200       your own rows
    python scripts/ablate.py --sets PASCAL_coseg --epochs 50 --seeds 0,1,2 --minutes 8 as many as fit

Within a seed, all runs see the same episodes and start from the same weights in the parts that they share.
Runs go to runs/ablation-<config>-seed<k>; `tensorboard --logdir runs` shows their curves in one chart. The
first two configurations run with every seed before the others start.

<output>/<budget>-steps contains each run's scores on each set (<set>.json), including distractors if
data.root has distractors/<set>, and its losses (losses.csv). It also contains the tables of all runs (text,
Markdown, CSV, LaTeX), with a column for each setting that differs. A later call needs nothing else: to share
the work, copy the folder to another machine. If the command is stopped, run it again to resume; --minutes 0
only writes the tables. Only compare runs from one kind of machine.

Exit status: 0 when all runs are scored or --minutes have passed, 1 for failures, 2 for wrong arguments.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gconet import ablation
from gconet.ablation import Record, plan_jobs, read_record, settings_of
from gconet.applications.consensus import group_distances
from gconet.checkpoint import read_checkpoint
from gconet.config import Config, config_to_dict, flatten
from gconet.data.episodes import make_episodes
from gconet.data.groups import scan_set
from gconet.data.pictures import read_groups
from gconet.engine.resume import RESUMABLE
from gconet.engine.run import LAST, hold
from gconet.errors import ConfigError, GCoNetError, counted, run_command
from gconet.evaluation import score_folders
from gconet.evaluation.scores import mean_known
from gconet.evaluation.tables import render_csv, render_latex, render_markdown, render_text
from gconet.files import write_file
from gconet.inference.folders import write_maps
from gconet.inference.predictor import Predictor
from gconet.progress import progress

ROOT = Path(__file__).resolve().parents[1]
TABLE_1 = [ROOT / f"configs/ablation/{name}.yaml" for name in (
    "6-full", "1-baseline", "5-gam-gcm", "2-gam", "3-gcm", "4-acm",
)]  # fmt: skip
RUNS = Path("runs")
STYLES = {"txt": render_text, "md": render_markdown, "tex": render_latex, "csv": render_csv}
STOPPED = {n for signum in (signal.SIGINT, signal.SIGTERM) for n in (-signum, 128 + signum)}


def main() -> int:
    args = parse_args()
    deadline = None if args.minutes is None else time.monotonic() + 60 * args.minutes
    jobs = plan_jobs(args.configs, args.seeds, args.overrides)
    root = Path(jobs[0].data.root)
    for name in args.sets:
        scan_set(root, name)
    epoch = make_episodes(jobs[0], scan_set(root, jobs[0].data.train_set)).steps
    last = args.steps or args.epochs * epoch
    output = args.output / f"{last}-steps"
    # find unusable files before hours of training
    todo = {job: missing for job in jobs if (missing := unscored(job, output, args.sets))}
    for job in todo:
        if (step := saved_step(job) or 0) > last:
            raise ConfigError(
                f"{RUNS / job.name} has done {step} steps, more than {last}; move it away, or ask for {step}"
            )
    for path in output.glob("*/*.json"):
        read_record(path)
    for job in list(todo):
        print(job.name, flush=True)
        if not train(job, last, deadline):
            left = ", ".join(job.name for job in todo)
            print(f"{args.minutes:g} minutes have passed; not done: {left}. Run this again to resume.")
            break
        measure(job, output, todo.pop(job))
        write_tables(output, args.sets, last)
    for table in write_tables(output, args.sets, last):
        print(table, end="\n\n")
    return 0


def unscored(job: Config, output: Path, names: list[str]) -> list[str]:
    """Return the sets on which the job is not scored; raises ConfigError if scores are from another run."""
    paths = {name: output / job.name / f"{name}.json" for name in names}
    for path in paths.values():
        if path.is_file():
            refuse_other(path, read_record(path).settings, job)
    return [name for name, path in paths.items() if not path.is_file()]


def saved_step(job: Config) -> int | None:
    """Return the last saved step of the job's run, None if it has no checkpoint yet.

    Raises ConfigError if it was trained with other settings.
    """
    path = RUNS / job.name / LAST
    if not path.is_file():
        return None
    content = read_checkpoint(path)
    refuse_other(path.parent, settings_of(content["config"]), job)
    return int((content.get("training") or {}).get("step", 0))


def refuse_other(path: Path, settings: Mapping[str, Any], job: Config) -> None:
    """Raise ConfigError if `path` was made with `settings` that differ from the job's."""
    if wrong := ablation.difference(settings, settings_of(job)):
        raise ConfigError(
            f"{path} is from a run with {wrong}; move it away, change --output, or use the same settings"
        )


def train(job: Config, last: int, deadline: float | None) -> bool:
    """Train to step `last`, from where an earlier call stopped. Return False if the deadline came first."""
    step, folder = saved_step(job), RUNS / job.name
    if step == last:
        return True
    if step is None and folder.exists():  # killed before its first checkpoint
        begun = (".lock", f".{LAST}.partial", "config.yaml", "log.jsonl", "tensorboard")
        if any(path.name not in begun for path in folder.iterdir()):
            raise ConfigError(f"{folder} has other files but no {LAST}; move it away")
        with hold(folder):
            shutil.rmtree(folder)
    if deadline and time.monotonic() > deadline:
        return False
    flat = flatten(config_to_dict(job))
    settings = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in flat.items()]
    if step is not None:
        settings = ["--resume", str(folder), *(text for text in settings if text.startswith(RESUMABLE))]
    process = subprocess.Popen([sys.executable, str(ROOT / "train.py"), *settings])
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        status = process.wait(deadline and max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.terminate()  # it saves and exits
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if status in STOPPED:
        if deadline and time.monotonic() >= deadline:
            return False
        raise KeyboardInterrupt
    if status:
        raise GCoNetError(f"train.py failed (status {status}), see above; fix the cause and run this again")
    return True


def measure(job: Config, output: Path, names: list[str]) -> None:
    """Score a trained run on each set, with the distances of its consensus, and save its losses."""
    root, run, folder = Path(job.data.root), RUNS / job.name, output / job.name
    folder.mkdir(parents=True, exist_ok=True)
    ablation.keep_losses(run / "log.jsonl", folder / "losses.csv")
    predictor = Predictor.load(run / LAST, device=job.train.device, precision=job.train.precision)
    label = job.name.removeprefix("ablation-").removesuffix(f"-seed{job.seed}")
    for name in names:
        groups, others = scan_set(root, name), root / "distractors" / name
        with tempfile.TemporaryDirectory() as maps:
            write_maps(predictor, groups, Path(maps))
            distractors = others if others.is_dir() else None
            figures = score_folders(Path(maps), root / "gts" / name, distractors=distractors).figures
        files = [[item.image for item in group.items] for group in groups]
        read = progress(read_groups(files, predictor.size), "consensus", len(files), unit="group")
        distances = group_distances([predictor.consensus(pictures) for pictures in read])
        within, between = (mean_known(map(float, values)) for values in distances)
        figures = {**figures, "within": within, "between": between}
        Record(label, job.seed, settings_of(job), figures).write(folder / f"{name}.json")


def write_tables(output: Path, names: list[str], last: int) -> list[str]:
    """Write the tables of all runs scored so far, one file per style; returns the texts."""
    texts = []
    for name in names:
        records = [read_record(path) for path in sorted(output.glob(f"*/{name}.json"))]
        if not records:
            continue
        kinds = {f"{r.settings['train.precision']} on {r.settings['train.device']}" for r in records}
        note = f"{counted(last, 'step')} per run, {' and '.join(sorted(kinds))}"
        table = ablation.ablation_table(name, records, note)
        for suffix, render in STYLES.items():
            write_file(output / f"ablation-{name}.{suffix}", render(table) + "\n")
        texts.append(render_text(table))
    return texts


def split(text: str) -> list[str]:
    """Return the distinct names in a comma-separated list."""
    return list(dict.fromkeys(text.split(",")))


def parse_args() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--configs", nargs="+", default=[], metavar="FILE", help="default: Table 1, most telling rows first")
    add("--sets", type=split, required=True, metavar="A,B", help="score on these sets of data.root")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--epochs", type=int, metavar="N", help="train every run for N epochs")
    budget.add_argument("--steps", type=int, metavar="N", help="or for N steps, a short schedule")
    add("--seeds", type=split, default="0", metavar="0,1", help="default: %(default)s")
    add("--minutes", type=float, metavar="M", help="stop training after M minutes, to be resumed")
    add("--output", type=Path, default=Path("results/ablation"), metavar="DIR", help="default: %(default)s")
    add("overrides", nargs="*", metavar="key=value", help="settings for all runs")
    args = parser.parse_intermixed_args()  # settings and options in any order
    args.overrides += [text for text in args.configs if "=" in text]  # --configs a.yaml b.yaml key=value
    args.configs = [Path(text) for text in args.configs if "=" not in text] or TABLE_1
    taken = ("seed=", "name=", "train.epochs=", "train.steps=")
    if wrong := [override for override in args.overrides if override.startswith(taken)]:
        raise ConfigError(f"{wrong[0]}: the options of this command set that")
    epochs = args.steps if args.epochs is None else args.epochs
    args.overrides += [f"train.epochs={epochs}", f"train.steps={args.steps or 'null'}"]
    return args


if __name__ == "__main__":
    run_command(main)
