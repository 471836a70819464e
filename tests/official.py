"""The authors' network's golden inputs and weights, regenerated as `reference.md` section 7 says."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gconet.config import Config
from gconet.models import build_training_model
from gconet.official import OFFICIAL_NAMES, OFFICIAL_UNUSED

SHARED = Path(__file__).resolve().parents[2] / "shared"
GOLDEN = SHARED / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden files are not there")


def layout() -> dict[str, list[int]]:
    names: dict[str, list[int]] = json.loads((GOLDEN / "official_checkpoint_layout.json").read_text())
    return names


def official_state() -> dict[str, Tensor]:
    """The deterministic weights of the golden outputs, without `backbone.classifier.*`."""
    used = {name: shape for name, shape in layout().items() if not name.startswith("backbone.classifier.")}
    return {name: tensor(name, shape) for name, shape in used.items()}


def tensor(name: str, shape: list[int]) -> Tensor:
    r = np.random.RandomState(zlib.crc32(name.encode()))
    values = r.standard_normal(shape)
    if name.endswith("bias"):
        return torch.from_numpy((0.05 * values).astype(np.float32))
    gain = 2**0.5
    if "query_transform" in name or "key_transform" in name:
        gain = 1.0
    elif "conv6" in name:
        gain = 60.0
    elif ".predlayer" in name:
        gains = {"dslayer1": 0.08, "dslayer2": 0.15, "dslayer3": 0.5, "dslayer4": 0.8, "pred_layer": 0.6}
        gain = gains[name.split(".")[0]]
    return torch.from_numpy((gain / np.sqrt(np.prod(shape[1:])) * values).astype(np.float32))


def random_state() -> dict[str, Tensor]:
    """A checkpoint in the authors' format with random weights; the layers nobody reads are stubs."""
    state = build_training_model(Config(), classes=291).state_dict()
    kinds = ("weight", "bias")
    used = {f"{theirs}.{k}": state[f"{ours}.{k}"] for theirs, ours in OFFICIAL_NAMES.items() for k in kinds}
    return used | {f"{layer}.{k}": torch.zeros(1) for layer in OFFICIAL_UNUSED for k in kinds}


def images(seed: int, n: int, size: int) -> Tensor:
    """(n,3,size,size) float32 in [0,1], before the ImageNet normalisation."""
    r = np.random.RandomState(seed)
    coarse = torch.from_numpy(r.rand(n, 3, size // 8, size // 8).astype(np.float32))
    x = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    return (x + torch.from_numpy((0.1 * r.rand(n, 3, size, size) - 0.05).astype(np.float32))).clamp(0, 1)


def masks() -> Tensor:
    """The training episode's masks, (8,1,224,224) in {0,1}."""
    coarse = torch.from_numpy(np.random.RandomState(22).rand(8, 1, 7, 7).astype(np.float32))
    return (F.interpolate(coarse, size=(224, 224), mode="bilinear", align_corners=False) > 0.55).float()
