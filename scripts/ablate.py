"""Train configurations one after another under one budget, score them, and put them into one table.

    python scripts/ablate.py --sets CoCA,CoSOD3k,Cosal2015 --epochs 50                 Table 1 of the paper
    python scripts/ablate.py --configs my/*.yaml --sets PASCAL_coseg --steps 200       your own rows
    python scripts/ablate.py --sets PASCAL_coseg --epochs 50 --seeds 0,1,2 --minutes 8 as many as fit

Within a seed, all runs see the same episodes and start from the same weights in the parts that they share.
Runs are runs/ablation-<config>-seed<k>; `tensorboard --logdir runs` shows their curves in one chart. The
first two configurations run with every seed before the others start.

<output>/<budget>-steps holds, for each run, the scores on each set (<set>.json), on distractors too if
data.root has distractors/<set>, and the losses (losses.csv); and the tables (text, Markdown, CSV, LaTeX) of
all runs there, a column for each setting that differs. It is all that a later call needs: copy it from one
machine to another to share the work. Stopped at any point, the same command resumes; --minutes 0 only
writes the tables. Compare runs of one kind of machine.

Exit status: 0 when all runs are scored or --minutes have passed, 1 for failures, 2 for wrong arguments.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

from gconet.ablation import (
    Job,
    Record,
    ablation_table,
    difference,
    keep_losses,
    plan_jobs,
    read_record,
    saved_step,
    settings_of,
)
from gconet.applications.consensus import group_distances
from gconet.data.episodes import RecordedEpisodes
from gconet.data.groups import scan_set
from gconet.data.pictures import read_groups
from gconet.errors import ConfigError, GCoNetError, counted, run_command
from gconet.evaluation import score_folders
from gconet.evaluation.scores import mean_known
from gconet.evaluation.tables import render_csv, render_latex, render_markdown, render_text
from gconet.inference import write_maps
from gconet.predictor import Predictor
from gconet.progress import progress
from gconet.resume import RESUMABLE
from gconet.run import LAST, hold

ROOT = Path(__file__).resolve().parents[1]
TABLE_1 = [ROOT / f"configs/ablation/{name}.yaml" for name in (
    "6-full", "1-baseline", "5-gam-gcm", "2-gam", "3-gcm", "4-acm",
)]  # fmt: skip
OVER = 128 + signal.SIGTERM
STYLES = {"txt": render_text, "md": render_markdown, "tex": render_latex, "csv": render_csv}


class TimeIsUp(Exception):
    """The run was stopped at the deadline; it can be resumed."""


def main() -> int:
    args = parse_args()
    deadline = None if args.minutes is None else time.monotonic() + 60 * args.minutes
    jobs = plan_jobs(args.configs, args.seeds, args.overrides)
    root = Path(jobs[0].config.data.root)
    for name in args.sets:
        scan_set(root, name)
    groups, recorded = scan_set(root, jobs[0].config.data.train_set), jobs[0].config.data.episodes
    epoch = RecordedEpisodes(Path(recorded), groups).steps if recorded else len(groups)
    last = args.steps or args.epochs * epoch
    budget = [f"train.epochs={args.epochs or last}", f"train.steps={args.steps or 'null'}"]
    output = args.output / f"{last}-steps"
    todo = {job: [name for name in args.sets if not is_scored(job, output, name)] for job in jobs}
    left = [job for job in jobs if todo[job]]
    for job in left:  # what cannot be used is found before hours of training
        if (step := saved_step(job) or 0) > last:
            raise ConfigError(
                f"{job.folder} has done {step} steps, more than {last}; move it away, or ask for {step}"
            )
    for path in output.glob("*/*.json"):
        read_record(path)
    try:
        for job in list(left):
            print(job.config.name, flush=True)
            train(job, last, budget, deadline)
            measure(job, output, todo[job])
            left.remove(job)
            write_tables(output, args.sets, last)
    except TimeIsUp:
        names = ", ".join(job.config.name for job in left)
        print(f"{args.minutes:g} minutes are over; not done: {names}. The same command resumes.")
    for table in write_tables(output, args.sets, last):
        print(table, end="\n\n")
    return 0


def is_scored(job: Job, output: Path, name: str) -> bool:
    """Whether the job's scores on set `name` are there; raises ConfigError if they are of another run."""
    path = output / job.config.name / f"{name}.json"
    if not path.is_file():
        return False
    if wrong := difference(read_record(path).settings, settings_of(job.config)):
        raise ConfigError(f"{path} is of a run with {wrong}; move it away, or name another --output")
    return True


def train(job: Job, last: int, budget: list[str], deadline: float | None) -> None:
    """Train to step `last`, from where an earlier call stopped. Raises TimeIsUp at the deadline."""
    step = saved_step(job)
    if step == last:
        return
    if step is None and job.folder.exists():  # killed before its first checkpoint
        begun = (".lock", f".{LAST}.partial", "config.yaml", "log.jsonl", "tensorboard")
        if any(path.name not in begun for path in job.folder.iterdir()):
            raise ConfigError(f"{job.folder} holds no {LAST} but other files; move it away")
        held = hold(job.folder)
        shutil.rmtree(job.folder)
        if held:
            held.close()
    command = ["--config", str(job.base), *job.overrides, *budget]
    if step is not None:
        allowed = [override for override in job.overrides if override.startswith(RESUMABLE)]
        command = ["--resume", str(job.folder), *allowed, *budget]
    if deadline and time.monotonic() > deadline:
        raise TimeIsUp
    process = subprocess.Popen([sys.executable, str(ROOT / "train.py"), *command])
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        status = process.wait(deadline and max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.terminate()  # it saves, and ends
        status = process.wait()
        if status in (0, OVER, -signal.SIGTERM):  # the last: before its first step
            raise TimeIsUp from None
    except KeyboardInterrupt:
        process.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if status in (-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT, OVER):
        raise KeyboardInterrupt
    if status:
        raise GCoNetError(f"train.py failed (status {status}), see above; fix that and start again")


def measure(job: Job, output: Path, names: list[str]) -> None:
    """Score a trained run on each set, with the distances of its consensus, and keep its losses."""
    root, settings, folder = Path(job.config.data.root), job.config.train, output / job.config.name
    folder.mkdir(parents=True, exist_ok=True)
    keep_losses(job.folder / "log.jsonl", folder / "losses.csv")
    predictor = Predictor.load(job.folder / LAST, device=settings.device, precision=settings.precision)
    for name in names:
        groups = scan_set(root, name)
        with tempfile.TemporaryDirectory() as maps:
            write_maps(predictor, groups, Path(maps))
            others = root / "distractors" / name
            figures = score_folders(
                Path(maps), root / "gts" / name, distractors=others if others.is_dir() else None
            ).figures
        files = [[item.image for item in group.items] for group in groups]
        read = progress(read_groups(files, predictor.size), "consensus", len(files), unit="group")
        distances = group_distances([predictor.consensus(pictures) for pictures in read])
        within, between = (mean_known(map(float, values)) for values in distances)
        figures = {**figures, "within": within, "between": between}
        record = Record(job.label, job.config.seed, settings_of(job.config), figures)
        record.write(folder / f"{name}.json")


def write_tables(output: Path, names: list[str], last: int) -> list[str]:
    """The tables of all runs scored so far, a file in each style; returns the texts."""
    texts = []
    for name in names:
        records = [read_record(path) for path in sorted(output.glob(f"*/{name}.json"))]
        if not records:
            continue
        kinds = {f"{r.settings['train.precision']} on {r.settings['train.device']}" for r in records}
        table = ablation_table(name, records, f"{counted(last, 'step')} a run, {' and '.join(sorted(kinds))}")
        for suffix, render in STYLES.items():
            (output / f"ablation-{name}.{suffix}").write_text(render(table) + "\n", encoding="utf-8")
        texts.append(render_text(table))
    return texts


def split(text: str) -> list[str]:
    """The different names in a list with commas."""
    return list(dict.fromkeys(text.split(",")))


def parse_args() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--configs",
        nargs="+",
        default=[],
        metavar="FILE",
        help="default: Table 1, its most telling rows first",
    )
    add("--sets", type=split, required=True, metavar="A,B", help="score on these sets of data.root")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--epochs", type=int, metavar="N", help="train every run for so many epochs")
    budget.add_argument("--steps", type=int, metavar="N", help="or for so many steps: a short schedule")
    add("--seeds", type=split, default="0", metavar="0,1", help="default: %(default)s")
    add("--minutes", type=float, metavar="M", help="stop training after so long, to be resumed")
    add("--output", type=Path, default=Path("results/ablation"), metavar="DIR", help="default: %(default)s")
    add("overrides", nargs="*", metavar="key=value", help="settings of all runs")
    args = parser.parse_intermixed_args()  # settings and options in any order
    args.overrides += [text for text in args.configs if "=" in text]  # --configs a.yaml b.yaml key=value
    args.configs = [Path(text) for text in args.configs if "=" not in text] or TABLE_1
    if not all(seed.strip().isdecimal() for seed in args.seeds):
        raise ConfigError(
            f"--seeds {','.join(args.seeds)}: give whole numbers with commas between, as in 0,1"
        )
    args.seeds = sorted(set(map(int, args.seeds)))
    for name in ("epochs", "steps"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ConfigError(f"--{name} {value}: give at least 1")
    taken = ("seed=", "name=", "train.epochs=", "train.steps=")
    if wrong := [override for override in args.overrides if override.startswith(taken)]:
        raise ConfigError(f"{wrong[0]}: the options of this command set that")
    return args


if __name__ == "__main__":
    run_command(main)
