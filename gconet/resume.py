"""What a run is resumed from, and with which settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gconet.checkpoint import saved_config
from gconet.config import Config, config_from_dict, config_to_dict
from gconet.data.names import name_some
from gconet.errors import CheckpointError, ConfigError
from gconet.run import LAST, RESUMABLE
from gconet.settings import apply_overrides


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
    saved = config_to_dict(saved_config(content, path))
    return config_from_dict(apply_overrides(saved, overrides))
