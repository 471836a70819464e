"""The encoder: VGG-16's convolutions as five stages."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from gconet.errors import CheckpointError

CHANNELS = (64, 128, 256, 512, 512)  # of the five stages; strides 1, 2, 4, 8, 16
STAGES = ((0, 4), (4, 9), (9, 16), (16, 23), (23, 30))  # layers of VGG-16; each opens with a max-pool
CONV5_3 = 28
# of the convolutions of torchvision's IMAGENET1K_V1
VGG16_SHA256 = "40acdda7c6b05249f81637b2571671ce938507c5f986db17af374cf62a2f42a6"


class VGG16Encoder(nn.Module):
    """VGG-16 (Simonyan & Zisserman 2015) without its last pooling and its fully connected layers.

    Parameter names are torchvision's (`features.0.weight` …).
    """

    def __init__(self, *, trainable: Literal["conv5_3", "all", "none"]) -> None:
        super().__init__()
        self.features = make_layers(cfgs["D"], batch_norm=False)[:-1]
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):  # He: keeps the scale, for runs without ImageNet
                nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.requires_grad_(trainable == "all")
        if trainable == "conv5_3":
            self.features[CONV5_3].requires_grad_(True)

    def forward(self, x: Tensor, depth: int = 5) -> list[Tensor]:
        """Normalised images (N,3,H,W) → the first `depth` of five stages, (N,64,H,W) to (N,512,H/16,W/16)."""
        stages = []
        for start, stop in STAGES[:depth]:
            x = self.features[start:stop](x)
            stages.append(x)
        return stages


def load_vgg16(encoder: VGG16Encoder, weights: str) -> None:
    """Fill `encoder` from `weights`: `imagenet` (torchvision's server), `none` or a file.

    A file holds a state dict with torchvision's names; classifier layers in it are not read.
    Raises CheckpointError where the weights cannot be had or do not fit.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        try:
            state = VGG16_Weights.IMAGENET1K_V1.get_state_dict(
                progress=True, check_hash=True, weights_only=True
            )
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"torchvision's VGG-16 weights cannot be had ({reason}); run python "
                "scripts/download_vgg16.py and pass encoder.weights=data/weights/vgg16_features.pth"
            ) from None
    else:
        state = _load_file(Path(weights))
    state = {name: value for name, value in state.items() if name.startswith("features.")}
    if weights == "imagenet" and digest(state) != VGG16_SHA256:  # an earlier download is not checked
        raise CheckpointError(
            f"the VGG-16 weights in {torch.hub.get_dir()}/checkpoints are not torchvision's; remove them"
        )
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{weights}: not VGG-16's weights ({' '.join(str(error).split())[:200]})"
        ) from None


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over the tensors' bytes, in their order."""
    return hashlib.sha256(b"".join(t.contiguous().numpy().tobytes() for t in state.values())).hexdigest()


def _load_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"encoder.weights: no file {path}; imagenet, none or a file of VGG-16 weights")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): value for name, value in state.items()}
    except Exception:  # of many unrelated types, with advice to load unsafely
        raise CheckpointError(
            f"{path}: cannot be read as weights: it is damaged, or no state dict of PyTorch"
        ) from None
