"""Checkpoints: written whole or not at all, read without running code, and the authors' format.

A file is a dict of plain values and tensors: `format`, `config` (nested plain settings), `model`
(the state of a GCoNet) and, where training is to go on, `training`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gconet.config import Config, config_from_dict, config_to_dict
from gconet.errors import CheckpointError, ConfigError
from gconet.models import GCoNet, TrainingGCoNet, build_model

FORMAT = "gconet-1"


def save_checkpoint(
    path: Path, *, config: Config, model: GCoNet, training: Mapping[str, Any] | None = None
) -> None:
    """Write `path` atomically: a reader sees the old file or the whole new one, also after a crash."""
    content = {"format": FORMAT, "config": config_to_dict(config), "model": model.state_dict()}
    if training is not None:
        content["training"] = dict(training)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint of ours, tensors on the CPU; raises CheckpointError."""
    content = _read(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: no checkpoint of this project; one of the authors' is converted with "
            "python scripts/convert_checkpoint.py OFFICIAL.pth OURS.pt"
        )
    if missing := {"config", "model"} - set(content):
        raise CheckpointError(f"{path}: damaged, without {' and '.join(sorted(missing))}")
    return content


def load_model(path: Path) -> GCoNet:
    """The network for inference in the checkpoint at `path`, in eval mode, float32, on the CPU.

    Raises CheckpointError where the file is missing, damaged or of another architecture.
    """
    content = read_checkpoint(path)
    try:
        model = build_model(config_from_dict(content["config"]))
    except ConfigError as error:
        raise CheckpointError(f"{path}: its settings are not ours ({error})") from None
    load_state(model, content["model"], path)
    return model.eval()


def load_state(module: torch.nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy `state` into `module`; a name or a shape that does not fit is a CheckpointError."""
    try:
        module.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: weights of another architecture ({reason})") from None


def _read(path: Path) -> Any:
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.p*t*")) if path.parent.is_dir() else []
        raise CheckpointError(f"no checkpoint {path} (there: {', '.join(near[:8]) or 'none'})")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many unrelated types on damaged files
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: cannot be read as a checkpoint ({reason})") from None


# The authors' format: a bare state dict. Names on the left are theirs, on the right those of a
# TrainingGCoNet; the last part (weight, bias) stays.
OFFICIAL_NAMES = {
    **{f"backbone.conv{stage}.conv{stage}_{j + 1}": f"net.encoder.features.{layer}"
       for stage, layers in enumerate(
           ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)), start=1)
       for j, layer in enumerate(layers)},
    "co_x5.all_attention.query_transform": "net.affinity.query",
    "co_x5.all_attention.key_transform": "net.affinity.key",
    "co_x5.all_attention.conv6": "net.affinity.output",
    **{f"toplayer.{i}": f"net.decoder.top.{i}" for i in (0, 2)},
    **{f"latlayer{k}.convlayer.{i}": f"net.decoder.lateral{k}.{i}" for k in (4, 3, 2, 1) for i in (0, 2)},
    **{f"enlayer{k}.enlayer.{i}": f"net.decoder.smooth{k}.{i}" for k in (4, 3, 2, 1) for i in (0, 2)},
    **{f"dslayer{k}.enlayer.{i}": f"net.side{k}.layers.{i}" for k in (4, 3, 2, 1) for i in (0, 2)},
    **{f"dslayer{k}.predlayer.0": f"net.side{k}.layers.4" for k in (4, 3, 2, 1)},
    "pred_layer.enlayer.0": "gcm.layers.0",
    "pred_layer.predlayer.0": "gcm.layers.2",
    "classifier": "acm.linear",
}
# VGG's fully connected layers and three layers of the GAM, which no forward pass reads.
OFFICIAL_UNUSED = (
    "backbone.classifier.0", "backbone.classifier.3", "backbone.classifier.6",
    "co_x5.conv_output", "co_x5.conv_transform", "co_x5.fc_transform",
)


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict with our names (of a TrainingGCoNet), the unused layers dropped.

    Raises CheckpointError for any name that is unknown or missing.
    """
    ours, unknown = {}, []
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        if layer in OFFICIAL_NAMES and kind in ("weight", "bias"):
            ours[f"{OFFICIAL_NAMES[layer]}.{kind}"] = tensor
        elif layer not in OFFICIAL_UNUSED:
            unknown.append(name)
    missing = [n for n, o in OFFICIAL_NAMES.items() if not {f"{o}.weight", f"{o}.bias"} <= set(ours)]
    if unknown or missing:
        what = f"unexpected {', '.join(unknown[:5])}" if unknown else f"without {', '.join(missing[:5])}"
        raise CheckpointError(f"not the authors' GCoNet checkpoint: {what}")
    return ours


def convert_official(source: Path, target: Path) -> None:
    """Write the authors' checkpoint `source` as one of ours; an existing `target` is not overwritten."""
    if target.exists():
        raise CheckpointError(f"{target} exists; name another file")
    state = _read(source)
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise CheckpointError(f"{source}: no bare state dict, so not the authors' checkpoint")
    ours = from_official(state)
    config = Config()
    model = build_model(config)
    load_state(model, strip_prefix(ours, "net."), source)
    save_checkpoint(target, config=config, model=model)


def strip_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries of `state` whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


__all__ = [
    "TrainingGCoNet", "convert_official", "from_official", "load_model", "load_state",
    "read_checkpoint", "save_checkpoint", "strip_prefix",
]
