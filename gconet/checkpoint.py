"""Checkpoints: written atomically, and read without running code.

A file is a dict of plain values and tensors: `format`, `config` (nested plain settings), `model`
(the state of a GCoNet) and, if training is to be resumed, `training`.
"""

import hashlib
import io
from operator import attrgetter
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from gconet.config import Config, config_from_dict, config_to_dict
from gconet.device import settle_threads
from gconet.errors import CheckpointError, ConfigError
from gconet.files import write_file
from gconet.models import GCoNet, build_model
from gconet.models.encoder import Encoder

FORMAT = "gconet-1"
FOLDER = Path(__file__).resolve().parent / "weights"
PRETRAINED = {  # the shipped weights by name, each with its SHA-256; see gconet/weights/README.md
    "distractors": (FOLDER / "gconet_distractors.pt",
                    "4140e37a7adf97ea00b3ea4720b6de8cbb4bb72a35b40f3769ece7fa29e8d657"),
    "paper": (FOLDER / "gconet.pt", "54ae7b0eef8179a4b3dece3f1bcc02214951faddbc78540a2351720fbabdcf3d"),
}  # fmt: skip
DEFAULT = "distractors"  # the name that `pretrained` stands for


def save_checkpoint(path: Path, *, config: Config, model: GCoNet, training: dict | None = None) -> None:
    """Write `path` as `write_file` does; raises OSError."""
    content = {"format": FORMAT, "config": config_to_dict(config), "model": model.state_dict()}
    if training is not None:
        content["training"] = training
    buffer = io.BytesIO()  # writing directly to a file, PyTorch would hide a disk-full error
    torch.save(content, buffer)
    write_file(path, buffer.getbuffer())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this project: its `config` as a Config, its tensors on the CPU; raises
    CheckpointError if it is missing, damaged or not from this project."""
    content = read_file(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        hint = "scripts/convert_checkpoint.py converts the authors'"
        raise CheckpointError(f"{path}: not a checkpoint of this project; {hint}")
    try:
        return {**content, "config": config_from_dict(content.get("config"))}
    except ConfigError as error:
        raise CheckpointError(f"{path}: its settings are invalid ({error})") from None


def load_model(path: Path) -> tuple[GCoNet, Config]:
    """Load the inference network, in eval mode, float32, on the CPU, and the settings it was trained with.
    Raises CheckpointError if the file is missing, damaged or of another architecture."""
    settle_threads(torch.device("cpu"))
    content = read_checkpoint(path)
    model = build_model(content["config"])
    load_state(model, content.get("model"), path)
    return model.eval(), content["config"]


def find_checkpoint(name: str | Path) -> Path:
    """Return the file of shipped weights by name (`pretrained`: the default ones), else `name` as a path."""
    text = DEFAULT if str(name) == "pretrained" else str(name)
    return PRETRAINED[text][0] if text in PRETRAINED else Path(name)


def load_weights(model: GCoNet, config: Config, path: Path) -> None:
    """Copy the network's weights from the checkpoint at `path` into `model`, which `config` describes; raises
    CheckpointError if the file is missing, damaged or trained with another encoder or GAM."""
    content = read_checkpoint(path)
    for key in ("encoder.name", "gam"):
        theirs, ours = (attrgetter(key)(c) for c in (content["config"], config))
        if theirs != ours:
            raise CheckpointError(f"{path}: trained with {key} {theirs}, not {ours}; set {key} to match")
    load_state(model, content.get("model"), path)


def load_encoder(encoder: Encoder, weights: str) -> None:
    """Fill `encoder` from `weights`: `imagenet` (torchvision's server), `none` or a file of torchvision's;
    raises CheckpointError if they are unavailable or do not fit."""
    if weights == "none":
        return
    if weights != "imagenet" and not Path(weights).is_file():
        raise CheckpointError(f"encoder.weights: no file {weights}; use imagenet, none or a weights file")
    state = _download(encoder.pretrained) if weights == "imagenet" else read_file(Path(weights))
    own = encoder.state_dict()
    fitting = {name: state[name] for name in own if name in state} if isinstance(state, dict) else state
    load_state(encoder, fitting, Path(weights))


def _download(wanted: WeightsEnum) -> dict[str, Tensor]:
    """Get torchvision's weights from its server or an earlier download; raises CheckpointError."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(wanted.url).name
    try:
        # a file's name ends in the first eight digits of its SHA-256; torch checks only new downloads
        if file.exists() and not digest(file).startswith(file.stem.rpartition("-")[2]):
            raise ValueError(f"{file} is not torchvision's file; remove it")
        return dict(wanted.get_state_dict(progress=True, check_hash=True, weights_only=True))
    except Exception as error:  # of many unrelated types, from the network, the disk or the unpickler
        why = shorten(str(error), 300)
        hint = f"download {wanted.url} elsewhere and pass encoder.weights={file.name}"
        raise CheckpointError(f"torchvision's {file.name} is unavailable ({why}); {hint}") from None


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest_weights(model: GCoNet) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a network's weights, rounded to bfloat16."""
    found = hashlib.sha256()
    for value in model.state_dict().values():
        found.update(value.bfloat16().contiguous().cpu().view(torch.int16).numpy().tobytes())
    return found.hexdigest()[:16]


def load_state(module: torch.nn.Module, state: Any, path: Path) -> None:
    """Copy the `state` read from `path` into `module`; raises CheckpointError if it does not fit."""
    try:
        module.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        why = shorten(str(error), 300)
        raise CheckpointError(f"{path}: weights of another architecture ({why})") from None
    for name, tensor in module.state_dict().items():
        sound = tensor.isfinite().all() and state[name].is_floating_point()
        if tensor.is_floating_point() and not sound:
            raise CheckpointError(f"{path}: damaged: {name} holds values that are not finite floats")


def read_file(path: Path) -> Any:
    """Read the tensors and plain values in the file at `path`; raises CheckpointError."""
    if not path.is_file():
        folder = path if path.is_dir() else path.parent
        there = sorted(p.name for p in folder.glob("[!.]*") if p.suffix in (".pt", ".pth"))
        holds = f"{folder.resolve()} holds {', '.join(there[:8]) or 'no .pt file'}"
        raise CheckpointError(f"{path} is not a file; gconet ships {' and '.join(PRETRAINED)}; {holds}")
    expected = dict(PRETRAINED.values()).get(path.resolve())
    if expected and digest(path) != expected:
        raise CheckpointError(f"{path}: damaged or altered: these are not the weights that ship; reinstall")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # of many unrelated types, some of which advise unsafe loading
        more = "holds more than tensors and plain values, which could run code"
        raise CheckpointError(f"{path}: damaged, not a PyTorch file, or {more}") from None
