"""What a run is resumed from, and with which settings."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gconet.checkpoint import load_state, saved_config
from gconet.config import Config, config_from_dict, config_to_dict
from gconet.data.names import name_some
from gconet.errors import CheckpointError, ConfigError
from gconet.models.training import TrainingGCoNet
from gconet.optimizer import load_optimizer
from gconet.run import LAST
from gconet.settings import apply_overrides

# What --resume may change: where and how long a run continues, not what it learns.
RESUMABLE = ("train.", "validation.", "data.root=", "data.cache=", "data.workers=")


def find_run(path: Path) -> Path:
    """The folder of a run, given itself or its `LAST`; raises CheckpointError that lists runs there."""
    folder = path.parent if path.name == LAST else path
    if not (folder / LAST).is_file():
        runs = sorted(path.parent.name for path in folder.absolute().parent.glob(f"*/{LAST}"))
        raise CheckpointError(f"{folder}: no run with a {LAST} (beside it: {name_some(runs)})")
    return folder


def resumed_config(content: Mapping[str, Any], path: Path, overrides: Sequence[str]) -> Config:
    """The settings in the checkpoint `content` of `path`, changed by `overrides` of `RESUMABLE` ones."""
    if refused := [override for override in overrides if not override.startswith(RESUMABLE)]:
        raise ConfigError(
            f"{refused[0]}: --resume can only change data.root, data.cache, data.workers, and train and "
            "validation settings"
        )
    return config_from_dict(apply_overrides(config_to_dict(saved_config(content, path)), overrides))


def restore(
    content: dict[str, Any],
    path: Path,
    config: Config,
    model: TrainingGCoNet,
    optimizer: torch.optim.Adam,
    *,
    expected: dict[str, Any],
) -> dict[str, Any]:
    """Load the checkpoint `content` of `path` into `model` and `optimizer`; returns the saved progress.

    Raises CheckpointError if it does not fit the network or the `expected` progress.
    """
    training = content.get("training")
    if not training:
        raise CheckpointError(f"{path} holds no training state to continue from")
    if not (
        isinstance(training, dict)
        and all(isinstance(training.get(name), dict) for name in ("heads", "optimizer", "sums"))
        and all(isinstance(value, float) for value in training["sums"].values())
        and isinstance(training.get("best"), int | float)
        and isinstance(training.get("step"), int)
        and training["step"] >= 0
    ):
        raise CheckpointError(f"{path}: damaged, its training state is not whole")
    for name, value in expected.items():
        if (saved := training.get(name)) != value:
            was, now = (f"a list of {len(v)}" if isinstance(v, list) else v for v in (saved, value))
            raise CheckpointError(f"{path}: the run's {name} were {was}, now {now}; resume with the same")
    if content["config"].get("validation", {}).get("set") != config.validation.set:
        training["best"] = -math.inf
    net = {f"net.{name}": tensor for name, tensor in content["model"].items()}
    load_state(model, {**net, **training.pop("heads")}, path)
    try:
        load_optimizer(optimizer, training.pop("optimizer"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged, not this network's optimizer state ({error})") from None
    return training
