"""Ablation studies: the settings of each run, its scores, and one table of all runs."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from gconet.config import Config, config_to_dict, flatten, load_config
from gconet.data.sets import known_sets
from gconet.device import pick_device, pick_precision
from gconet.errors import ConfigError, DataError
from gconet.evaluation.published import ORDER, load_tables
from gconet.evaluation.tables import COLUMNS, DISTRACTOR_COLUMNS, SEGMENTATION_COLUMNS, Table
from gconet.files import write_file

MODULES = {"gam.enabled": "GAM", "gcm.enabled": "GCM", "acm.enabled": "ACM"}
MEASURED = {name: COLUMNS[name] for name in ORDER} | {
    "j_half": SEGMENTATION_COLUMNS["j_half"], "within": "d within", "between": "d between",
}  # fmt: skip
# settings that only name a run, do not affect its figures, or are the budget (in the name of the folder)
FREE = {
    "name", "seed", "data.root", "data.cache", "data.workers", "train.epochs", "train.steps",
    "train.save_minutes", "train.graph", "validation.set", "validation.every",
}  # fmt: skip


def plan_jobs(configs: Sequence[Path], seeds: Sequence[Any], overrides: Sequence[str]) -> list[Config]:
    """Return each run's settings, most informative first: two configurations with all seeds, then the others.

    A device or precision of `auto` is resolved, because it differs between machines. Raises ConfigError for
    invalid settings, and for two files with the same name.
    """
    labels = [path.stem for path in configs]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise ConfigError(f"--configs: two files are called {min(twice)}; their runs would share a folder")
    jobs = []
    for part in (configs[:2], configs[2:]):
        for seed in seeds:
            for path in part:
                config = load_config(path, [*overrides, f"seed={seed}"])
                train, device = config.train, pick_device(config.train.device)
                dtype = pick_precision(train.precision, device)  # raises ConfigError if the machine lacks it
                if train.precision == "auto":
                    train = replace(train, precision="bf16" if dtype.itemsize == 2 else "fp32")
                train = replace(train, device=str(device))
                jobs.append(replace(config, name=f"ablation-{path.stem}-seed{config.seed}", train=train))
    for key in ("root", "train_set", "episodes"):  # otherwise their budgets would differ
        if len({getattr(job.data, key) for job in jobs}) > 1:
            raise ConfigError(f"data.{key} differs between the configurations; use one value for all")
    return jobs


def settings_of(config: Config) -> dict[str, Any]:
    """Return what a run's figures depend on, except its seed and length, as section.key → value."""
    flat = flatten(config_to_dict(config))
    flat["train.device"] = config.train.device.partition(":")[0]
    for key in ("encoder.weights", "data.episodes", "init"):  # the folder may differ on another machine
        flat[key] = flat[key] and Path(flat[key]).name
    return {name: value for name, value in flat.items() if name not in FREE}


def with_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the `settings` of a record: keys that an older one lacks had their default values."""
    return {**settings_of(Config()), **settings}


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """Describe the first setting that differs; None if none does."""
    theirs = with_defaults(theirs)
    return next((f"{key}={theirs[key]}, not {ours[key]}" for key in ours if theirs[key] != ours[key]), None)


class Record(NamedTuple):
    """The scores of one run on one set: a few kilobytes, easy to copy to another machine."""

    label: str  # the configuration's file name, without .yaml
    seed: int
    settings: Mapping[str, Any]  # `settings_of`
    figures: Mapping[str, float]  # keys: at least `MEASURED`; `DISTRACTOR_COLUMNS` if the set has distractors

    def write(self, path: Path) -> None:
        """Write the record as JSON, atomically."""
        write_file(path, json.dumps(self._asdict(), indent=1))


def read_record(path: Path) -> Record:
    """Read what `Record.write` wrote; raise DataError for any other file."""
    with suppress(ValueError, TypeError, KeyError):
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
        named = isinstance(record.label, str) and type(record.seed) is int and record.seed >= 0
        figures = [record.figures[name] for name in MEASURED]
        if named and isinstance(record.settings, dict) and all(isinstance(f, int | float) for f in figures):
            return record
    raise DataError(f"{path} does not contain a run's scores; move it away to score the run again")


def mean_losses(log: Path, every: int = 100) -> list[dict[str, float]]:
    """Return the mean of each loss in a run's log over every hundred steps; `step`: steps done by then.

    Raises DataError if the log has no steps.
    """
    lines = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):  # a line cut off by a kill
            record = json.loads(line)
            if record["event"] == "step":
                lines[record["step"]] = record  # if a step was done twice, the later record counts
    if not lines:
        raise DataError(f"{log} has no steps; train first")
    steps, rows = list(lines.values()), []
    for part in (steps[begin : begin + every] for begin in range(0, len(steps), every)):
        row = {"step": part[-1]["step"] + 1}
        for name in ("saliency", "collaboration", "classification", "bce", "total"):
            if name in part[-1]:
                row[name] = sum(step[name] for step in part) / len(part)
        rows.append(row)
    return rows


def ablation_table(dataset: str, records: Sequence[Record], note: str) -> Table:
    """Build one set's table: a row for each configuration, a column for each setting that differs.

    Figures are means over seeds ± half the range. If only the paper's modules differ, the paper's figures
    are added: those on the same set, or else its S-measures on all three. Needs at least one record.
    """
    rows: dict[str, dict[int, Record]] = {}
    for record in sorted(records, key=lambda record: (record.label, record.seed)):
        same = json.dumps([record.label, with_defaults(record.settings)], sort_keys=True)
        rows.setdefault(same, {}).setdefault(record.seed, record)  # copies count once
    groups = [list(own.values()) for _, own in sorted(rows.items())]
    settings = [with_defaults(group[0].settings) for group in groups]
    differing = [key for key in settings[0] if any(row[key] != settings[0][key] for row in settings)]
    varying = [key for key in MODULES if key in differing]
    others = [key for key in differing if key not in MODULES]
    known = set.intersection(*(set(record.figures) for record in records))
    columns = MEASURED | (DISTRACTOR_COLUMNS if known >= set(DISTRACTOR_COLUMNS) else {})
    beside = published_columns(dataset) if varying and not others else {}
    published = {frozenset(row["modules"]): row for row in load_tables()["gconet_table_1"]["rows"]}
    lines = []
    for group, row in zip(groups, settings, strict=True):
        differs = ["x" if row[key] else "" for key in varying] + [str(row[key]) for key in others]
        measured = [format_spread([record.figures[name] for record in group]) for name in columns]
        theirs = published.get(frozenset(name for key, name in MODULES.items() if row[key]))
        printed = [f"{theirs[name][i]:.3f}" if theirs else "" for name, i in beside.values()]
        lines.append((group[0].label, *differs, *measured, *printed))
    header = ("", *(MODULES[key] for key in varying), *others, *columns.values(), *beside)
    seeds = [", ".join(str(record.seed) for record in group) for group in groups]
    named = f"seeds of every row: {seeds[0]}"
    if len(set(seeds)) > 1:  # the rows' means are then not over the same seeds
        own = [f"{line[0]}: {listed}" for line, listed in zip(lines, seeds, strict=True)]
        named = "; ".join(["seeds differ", *own])
    named += " (mean ± half the range)" if any("," in own for own in seeds) else ""
    explained = "d: mean cosine distance of images' parts of the consensus, within and between groups"
    return Table(dataset, header, tuple(lines), (note, named, explained))


def published_columns(dataset: str) -> dict[str, tuple[str, int]]:
    """Return the columns of the paper's figures to print next to ours: heading → (set, index in `ORDER`)."""
    known = {name.lower(): name for name, one in known_sets().items() if one.paper}
    if own := known.get(dataset.lower()):
        return {f"paper {COLUMNS[figure]}": (own, i) for i, figure in enumerate(ORDER)}
    return {f"paper S, {name}": (name, ORDER.index("s_measure")) for name in known.values()}


def format_spread(values: Sequence[float]) -> str:
    """Format as mean ± half the range, or only the mean of a single value; "-" for NaN."""
    if any(map(math.isnan, values)):
        return "-"
    mean, half = sum(values) / len(values), (max(values) - min(values)) / 2
    return f"{mean:.3f}" + (f" ± {half:.3f}" if len(values) > 1 else "")


def keep_losses(log: Path, table: Path) -> None:
    """Write `mean_losses` of a run's log to a CSV file."""
    rows = mean_losses(log)
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        writer.writerows([[row.pop("step"), *(f"{mean:.5g}" for mean in row.values())] for row in rows])
