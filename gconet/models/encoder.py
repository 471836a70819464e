"""The encoder: VGG-16's convolutions as five stages."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from gconet.errors import CheckpointError

CHANNELS = (64, 128, 256, 512, 512)  # of the five stages; strides 1, 2, 4, 8, 16
STAGES = ((0, 4), (4, 9), (9, 16), (16, 23), (23, 30))  # layers of VGG-16; each opens with a max-pool
TRAINABLE = {"conv5_3": 28, "stage5": 23, "stages4-5": 16, "all": 0, "none": 30}  # layers from this one on
# of torchvision's file of IMAGENET1K_V1, whose own name holds the first eight digits
VGG16_SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"


class VGG16Encoder(nn.Module):
    """VGG-16 (Simonyan & Zisserman 2015) without its last pooling and its fully connected layers.

    Parameter names are torchvision's (`features.0.weight` …).
    """

    def __init__(self, *, trainable: str) -> None:
        super().__init__()
        self.features = make_layers(cfgs["D"], batch_norm=False)[:-1]
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):  # He: keeps the scale, for runs without ImageNet
                nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.requires_grad_(False)
        self.features[TRAINABLE[trainable] :].requires_grad_(True)

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
    Raises CheckpointError if the weights cannot be had or do not fit.
    """
    if weights == "none":
        return
    state = _download_vgg16() if weights == "imagenet" else _load_file(Path(weights))
    state = {name: value for name, value in state.items() if name.startswith("features.")}
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{weights}: not VGG-16's weights ({' '.join(str(error).split())[:200]})"
        ) from None


def _download_vgg16() -> dict[str, Tensor]:
    """torchvision's weights, from its server or an earlier download; raises CheckpointError."""
    instead = "run python scripts/download_vgg16.py and pass encoder.weights=data/weights/vgg16_features.pth"
    wanted = VGG16_Weights.IMAGENET1K_V1
    try:
        state = wanted.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # of many unrelated types: the network's, the disk's, the unpickler's
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"torchvision's VGG-16 weights cannot be had ({reason}); {instead}") from None
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(wanted.url).name
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for chunk in iter(lambda: stream.read(2**20), b""):
            digest.update(chunk)
    if digest.hexdigest() != VGG16_SHA256:  # torch checks new downloads alone
        raise CheckpointError(f"{file} is not torchvision's: remove it, or {instead}")
    return dict(state)


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
