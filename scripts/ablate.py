"""Table 1 of the paper under one budget: trains its six rows one after another and scores them.

    python scripts/ablate.py --sets CoCA,CoSOD3k,Cosal2015 --epochs 10
    python scripts/ablate.py --sets PASCAL_coseg --steps 200 --seeds 0,1 data.root=/data
    python scripts/ablate.py --sets PASCAL_coseg --steps 200 --rows 1,6      two of its rows

Every row is configs/ablation/<row>.yaml with the same budget; for a seed, all rows see the same
episodes and start from the same weights in the parts that they share. Runs are
runs/ablation-<row>-seed<k>; `tensorboard --logdir runs` shows their curves in one chart.

Scores and tables (text, Markdown, CSV, LaTeX) go to <output>/<budget>-steps. A table holds every run that
was scored there with the same settings, device and precision, also by other calls. If data.root has a
folder distractors/<set>, the table has the columns of evaluate.py --distractors too. Stopped at any point,
the same command resumes; a larger budget resumes a smaller one's runs and leaves its tables.

Exit status: 0 when all rows asked for are in the table, 1 for failures, 2 for wrong arguments.
"""

import argparse
import csv
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from gconet.ablation import ROWS, Job, Plan, saved_step, settings_of, why_not
from gconet.checkpoint import digest
from gconet.data.groups import scan_set
from gconet.errors import ConfigError, GCoNetError, run_command
from gconet.evaluation import score_folders
from gconet.evaluation.ablation import DISTANCES, RunScores, ablation_table, read_scores
from gconet.evaluation.distractors import mean_known
from gconet.evaluation.tables import render_csv, render_latex, render_markdown, render_text
from gconet.lock import hold
from gconet.run import LAST, RESUMABLE

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    args = parse_args()
    plan = Plan(ROOT / "configs/ablation", args.overrides, epochs=args.epochs, steps=args.steps)
    jobs = [plan.job(row, seed) for seed in args.seeds for row in args.rows]
    root = Path(jobs[0].config.data.root)
    for name in args.sets:
        scan_set(root, name)
    output = args.output / f"{plan.last}-steps"
    # what cannot be used is found before hours of training
    for name in args.sets:
        for path in records(output, name):
            read_scores(path)
    todo = {job: [name for name in args.sets if not is_scored(job, output, name, plan.last)] for job in jobs}
    for job in jobs:
        if todo[job] and (step := saved_step(job) or 0) > plan.last:
            raise ConfigError(
                f"{job.folder} has done {step} steps, more than {plan.last}; move it away, or ask for {step}"
            )
    for job in jobs:
        print(job.config.name, flush=True)
        if todo[job]:
            train_row(job, plan.last)
            for name in todo[job]:
                measure_row(job, output, name)
                write_table(output, name, plan)
    for name in args.sets:
        left_out = write_table(output, name, plan)
        print((output / f"ablation-{name}.txt").read_text(encoding="utf-8"))
        for reason in left_out:
            print(f"not in the table: {reason}")
    return 0


def record_of(job: Job, output: Path, name: str) -> Path:
    """The file with what the job's run scored on set `name`."""
    return output / job.config.name / name / "scores.json"


def records(output: Path, name: str) -> list[Path]:
    """The files of all runs scored on set `name` so far."""
    return sorted(output.glob(f"ablation-*/{name}/scores.json"))


def is_scored(job: Job, output: Path, name: str, last: int) -> bool:
    """Whether the job's run was scored on set `name` after step `last`."""
    record = record_of(job, output, name)
    return record.is_file() and why_not(read_scores(record), job, last) is None


def train_row(job: Job, last: int) -> None:
    """Train to step `last`, from where an earlier call stopped."""
    step = saved_step(job)
    if step == last:
        return
    if step is not None:
        changed = [setting for setting in job.overrides if setting.startswith(RESUMABLE)]
        run_python("train.py", "--resume", str(job.folder), *changed)
        return
    if job.folder.exists():  # stopped before its first checkpoint
        if any(
            path.name not in (".lock", f".{LAST}.partial", "config.yaml", "log.jsonl", "tensorboard")
            for path in job.folder.iterdir()
        ):
            raise ConfigError(f"{job.folder} holds no {LAST} but other files; move it away")
        held = hold(job.folder)
        shutil.rmtree(job.folder)
        if held:
            held.close()
    run_python("train.py", "--config", str(job.base), *job.overrides)


def measure_row(job: Job, output: Path, name: str) -> None:
    """Score a trained row on one set, with the distances of its consensus.

    If data.root has the set's distractors, also with the means of the map on the object and on them.
    """
    config, record = job.config, record_of(job, output, name)
    root, folder = Path(config.data.root), record.parent
    of = digest(job.checkpoint)
    device = ["--device", config.train.device, "--precision", config.train.precision, "--overwrite"]
    common = ["--checkpoint", str(job.checkpoint), "--images", str(root / "images" / name), *device]
    run_python("test.py", *common, "--output", str(folder / "maps"), "--no-page")
    run_python("scripts/visualize.py", "consensus", *common, "--output", str(folder / "consensus"))
    with (folder / "consensus/distances.csv").open(encoding="utf-8", newline="") as file:
        groups = list(csv.DictReader(file))
    others = root / "distractors" / name
    distractors = others if others.is_dir() else None
    figures = {
        **score_folders(folder / "maps", root / "gts" / name, distractors=distractors).figures(),
        **{name: mean_known([float(group[name]) for group in groups]) for name in DISTANCES},
    }
    RunScores(job.row, job.seed, figures, settings_of(config), of).write(record)


def run_python(script: str, *arguments: str) -> None:
    """Run one of the repository's commands; its failure ends this one.

    Ctrl-C reaches the command too, SIGTERM is passed on; either way it is given the time to save.
    """
    process = subprocess.Popen([sys.executable, str(ROOT / script), *arguments])
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if status in (-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise KeyboardInterrupt
    if status:
        raise GCoNetError(f"{script} failed (status {status}), see above; fix that and start again")


def write_table(output: Path, name: str, plan: Plan) -> list[str]:
    """The table of set `name` with all runs scored so far; returns why others are not in it."""
    runs, left_out = {}, []
    for path in records(output, name):
        scores = read_scores(path)
        job = plan.job(scores.row, scores.seed)
        if reason := why_not(scores, job, plan.last):
            left_out.append(reason)
        else:
            runs[job.config.name] = scores
    table = ablation_table(name, runs.values(), [plan.made])
    styles = {"txt": render_text, "md": render_markdown, "tex": render_latex, "csv": render_csv}
    for suffix, render in styles.items():
        (output / f"ablation-{name}.{suffix}").write_text(render(table) + "\n", encoding="utf-8")
    return left_out


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets",
        type=lambda text: list(dict.fromkeys(text.split(","))),
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
        "--rows", default=",".join(map(str, ROWS)), metavar="1,6", help="rows to train (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("results/ablation"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of all rows")
    args = parser.parse_intermixed_args()  # settings and options in any order
    for name in ("seeds", "rows"):
        text = getattr(args, name)
        try:
            setattr(args, name, sorted({int(number) for number in text.split(",")}))
        except ValueError:
            raise ConfigError(f"--{name} {text}: give whole numbers with commas between, as in 0,1") from None
    if wrong := [row for row in args.rows if row not in ROWS]:
        raise ConfigError(f"--rows: there is no row {wrong[0]}; choose from {','.join(map(str, ROWS))}")
    for name in ("epochs", "steps"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ConfigError(f"--{name} {value}: give at least 1")
    taken = ("seed=", "name=", "train.epochs=", "train.steps=")
    if wrong := [override for override in args.overrides if override.startswith(taken)]:
        raise ConfigError(f"{wrong[0]}: that is what the rows and the options of this command set")
    return args


if __name__ == "__main__":
    run_command(main)
