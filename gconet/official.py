"""Convert the authors' checkpoints, bare state dicts of 142 M parameters, to this project's format."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from gconet.checkpoint import load_state, read_file, save_checkpoint
from gconet.config import Config
from gconet.errors import CheckpointError
from gconet.files import check_files
from gconet.models import build_model

# The authors' names → those of a TrainingGCoNet; the last part (weight, bias) stays the same.
OFFICIAL_NAMES = {
    **{
        f"backbone.conv{stage}.conv{stage}_{j + 1}": f"net.encoder.features.{layer}"
        for stage, layers in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)), start=1)
        for j, layer in enumerate(layers)
    },
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
OFFICIAL_UNUSED = tuple(f"backbone.classifier.{i}" for i in (0, 3, 6))
OFFICIAL_UNUSED += ("co_x5.conv_output", "co_x5.conv_transform", "co_x5.fc_transform")


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the authors' state dict with our names (of a TrainingGCoNet), without the unused layers; raises
    CheckpointError for any name that is unknown or missing."""
    ours, unknown = {}, []
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        if layer in OFFICIAL_NAMES and kind in ("weight", "bias"):
            ours[f"{OFFICIAL_NAMES[layer]}.{kind}"] = tensor
        elif layer not in OFFICIAL_UNUSED:
            unknown.append(name)
    missing = [n for n, o in OFFICIAL_NAMES.items() if not {f"{o}.weight", f"{o}.bias"} <= set(ours)]
    if unknown or missing:
        what = f"unexpected {', '.join(unknown[:5])}" if unknown else f"missing {', '.join(missing[:5])}"
        raise CheckpointError(f"not the authors' GCoNet checkpoint: {what}")
    return ours


def convert_official(source: Path, target: Path) -> None:
    """Convert the authors' checkpoint `source` to one of ours; an existing `target` is not overwritten."""
    check_files([target])
    content = read_file(source)
    # some files also have the epoch and the scheduler
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError(f"{source}: not a state dict, so not the authors' checkpoint")
    state = {str(name).removeprefix("module.").removeprefix("ginet."): t for name, t in state.items()}
    net = {n.removeprefix("net."): t for n, t in from_official(state).items() if n.startswith("net.")}
    model = build_model(Config())
    load_state(model, net, source)
    save_checkpoint(target, config=Config(), model=model)
