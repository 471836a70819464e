"""The runs behind Table 1: what each is trained with, and what earlier calls left of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gconet.checkpoint import digest, read_checkpoint, saved_config
from gconet.config import Config, config_to_dict, load_config
from gconet.data.episodes import RecordedEpisodes
from gconet.data.groups import scan_set
from gconet.device import pick_device, pick_precision
from gconet.errors import ConfigError, GCoNetError
from gconet.evaluation.ablation import MODULES, RunScores
from gconet.run import LAST

ROWS = {int(stem[0]): stem for stem in ("1-baseline", "2-gam", "3-gcm", "4-acm", "5-gam-gcm", "6-full")}
# settings that change no figure, or are the budget
FREE = {
    "train.epochs", "train.steps", "train.save_minutes", "train.graph", "data.cache", "data.workers",
    "validation.set", "validation.every",
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One row with one seed."""

    row: int
    seed: int
    base: Path  # the row's configuration
    overrides: tuple[str, ...]
    config: Config  # what the two make

    @property
    def folder(self) -> Path:
        return Path("runs") / self.config.name

    @property
    def checkpoint(self) -> Path:
        return self.folder / LAST


class Plan:
    """One budget, one device and one precision for every row and seed."""

    def __init__(
        self, configs: Path, overrides: Sequence[str], *, epochs: int | None = None, steps: int | None = None
    ) -> None:
        """`configs`: the folder of the rows' files; one of `epochs` and `steps` is the budget.

        Raises ConfigError and DataError for what is wrong with settings or the training set.
        """
        self._configs = configs
        config = load_config(self._base(1), overrides)
        groups = scan_set(Path(config.data.root), config.data.train_set)
        recorded = config.data.episodes
        epoch = RecordedEpisodes(Path(recorded), groups).steps if recorded else len(groups)  # in steps
        self.last = steps or (epochs or 0) * epoch  # the step at which every run ends
        device, precision = pick_device(config.train.device), config.train.precision
        dtype = pick_precision(precision, device)
        if precision == "auto":  # means another thing on another machine
            precision = "bf16" if dtype.itemsize == 2 else "fp32"
        self._overrides = (
            *overrides,
            f"train.epochs={epochs or -(-self.last // epoch)}",
            f"train.steps={steps or 'null'}",
            f"train.device={device}",
            f"train.precision={precision}",
        )
        self.made = f"{self.last} steps a run, {precision} on {device.type}"

    def job(self, row: int, seed: int) -> Job:
        """Raises ConfigError for an invalid seed, and for settings that switch a module of the row."""
        overrides = (*self._overrides, f"seed={seed}", f"name=ablation-{ROWS[row]}-seed{seed}")
        config, own = load_config(self._base(row), overrides), load_config(self._base(row))
        for module in map(str.lower, MODULES):
            if (on := getattr(config, module).enabled) != getattr(own, module).enabled:
                raise ConfigError(
                    f"{module}.enabled={on}: row {row} is defined by its modules; --rows picks one"
                )
        return Job(row, seed, self._base(row), overrides, config)

    def _base(self, row: int) -> Path:
        return self._configs / f"{ROWS[row]}.yaml"


def settings_of(config: Config) -> dict[str, Any]:
    """What a run's figures depend on, as section.key → value."""
    flat: dict[str, Any] = {}
    for key, value in config_to_dict(config).items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    flat["data.root"] = str(Path(config.data.root).resolve())
    flat["train.device"] = config.train.device.partition(":")[0]
    return {name: value for name, value in flat.items() if name not in FREE}


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """The first setting that differs, in words. What an older record lacks had its default value."""
    theirs = {**settings_of(Config()), **theirs}
    key = next((key for key in ours if theirs[key] != ours[key]), None)
    return key and f"{key}={theirs[key]}, not {ours[key]}"


def saved_step(job: Job) -> int | None:
    """The step at which the job's run stands, None if it has no checkpoint yet.

    Raises ConfigError if it was trained with other settings.
    """
    if not job.checkpoint.is_file():
        return None
    content = read_checkpoint(job.checkpoint)
    if wrong := difference(settings_of(saved_config(content, job.checkpoint)), settings_of(job.config)):
        raise ConfigError(f"{job.folder} was trained with {wrong}; move it away, or give the same settings")
    step: int = (content.get("training") or {}).get("step", 0)
    return step


def why_not(scores: RunScores, job: Job, last: int) -> str | None:
    """Why `scores` are not what the job's run has at step `last`; None if they are.

    They stay valid once its checkpoint is gone or trained further.
    """
    if wrong := difference(scores.settings, settings_of(job.config)):
        return f"{job.config.name} was trained with {wrong}"
    if job.checkpoint.is_file() and scores.checkpoint != digest(job.checkpoint):
        try:
            further = (saved_step(job) or 0) > last
        except GCoNetError as error:
            return str(error)
        if not further:
            return f"{job.checkpoint} is no longer what was scored"
    return None
