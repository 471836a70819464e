"""Resuming a run: its folder, its settings and its saved state."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.amp import GradScaler

from gconet.checkpoint import load_state
from gconet.config import Config, config_from_dict, config_to_dict
from gconet.data.names import name_some
from gconet.engine.optimizer import load_optimizer
from gconet.engine.run import LAST
from gconet.errors import CheckpointError, ConfigError
from gconet.models.training import TrainingGCoNet

# What --resume may change: where and how long a run continues, not what it learns.
RESUMABLE = ("train.", "validation.", "data.root=", "data.cache=", "data.workers=")


@dataclass(frozen=True)
class Fixed:
    """What a resumed run must share with its beginning."""

    ranks: int
    classes: list[str]
    images: list[int]  # in each class
    steps: int | None  # of the schedule, if the rate drops within it


def find_run(path: Path) -> Path:
    """Return a run's folder, given the folder or its `LAST`; raises CheckpointError that lists runs there."""
    folder = path.parent if path.name == LAST else path
    if not (folder / LAST).is_file():
        runs = sorted(path.parent.name for path in folder.absolute().parent.glob(f"*/{LAST}"))
        raise CheckpointError(f"{folder}: no run with a {LAST} (next to it: {name_some(runs)})")
    return folder


def resumed_config(saved: Config, overrides: Sequence[str]) -> Config:
    """Return the settings `saved` with a run, changed by `overrides`; only `RESUMABLE` ones are allowed."""
    if refused := [override for override in overrides if not override.startswith(RESUMABLE)]:
        raise ConfigError(f"{refused[0]}: --resume can only change {', '.join(RESUMABLE)}")
    return config_from_dict(config_to_dict(saved), overrides)


def restore(
    content: dict[str, Any],
    path: Path,
    config: Config,
    model: TrainingGCoNet,
    optimizer: torch.optim.Adam,
    scaler: GradScaler,
    *,
    expected: Fixed,
) -> dict[str, Any]:
    """Load the checkpoint `content` of `path` into `model` and what trains it; returns the saved progress.

    Raises CheckpointError if it does not fit the network or the `expected` progress.
    """
    try:
        training = content["training"]
        heads, state = training.pop("heads"), training.pop("optimizer")
        for name, value in vars(expected).items():
            if (saved := training.get(name)) != value:
                was, now = (f"a list of {len(v)}" if isinstance(v, list) else v for v in (saved, value))
                raise CheckpointError(f"{path}: the run's {name} were {was}, now {now}; resume with the same")
        net = {f"net.{name}": tensor for name, tensor in content["model"].items()}
        load_state(model, {**net, **heads}, path)
        load_optimizer(optimizer, state)
        if scale := training.get("scaler"):  # of a run in fp16
            scaler.load_state_dict(scale)
        if training["step"] < 0:
            raise ValueError(f"step {training['step']}")
        same_set = content["config"].validation.set == config.validation.set
        best = float(training["best"]) if same_set else -math.inf
        sums = {name: float(value) for name, value in training["sums"].items()}
        return {"step": int(training["step"]), "best": best, "sums": sums}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: its training state is missing or invalid ({error})") from None
