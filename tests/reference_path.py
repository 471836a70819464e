"""The method written down plainly, to compare with: speed in benchmark.py, values in the tests.

Everything that the authors' network computes for a group, in the order of the paper: the whole
N·P × N·P affinity matrix, all four side outputs, float32 in PyTorch's default memory layout, one
file after another. It reads the parameters of our network by name and shares no code with it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

State = dict[str, Tensor]  # names of GCoNet's state dict


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def predict_files(state: State, images: Sequence[Path], output: Path, size: int = 224) -> None:
    """Read a group's pictures, write one 8-bit PNG of each picture's own size to `output`."""
    device = state["decoder.top.0.weight"].device
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    inputs, sizes = [], []
    for path in images:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        sizes.append((picture.height, picture.width))
        pixels = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), np.float32) / 255
        inputs.append(((torch.from_numpy(pixels) - mean) / std).permute(2, 0, 1).contiguous())
    with torch.no_grad():
        maps = side_maps(state, *features(state, torch.stack(inputs).to(device)))[-1]
        for path, m, own in zip(images, maps, sizes, strict=True):
            pixels = (upsample(m[None], own)[0, 0] * 255).to(torch.uint8).cpu().numpy()
            Image.fromarray(pixels).save(output / f"{path.stem}.png")


def features(state: State, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """Normalised images of one group (N,3,H,W) → the encoder's stages, and the consensus (1,C,1,1)."""
    stages = encode(state, x)
    return stages, consensus(state, stages[-1])


def encode(state: State, x: Tensor) -> list[Tensor]:
    """VGG-16's five stages."""
    stages, layers = [], iter((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28))
    for stage, depth in enumerate((2, 2, 3, 3, 3)):
        x = F.max_pool2d(x, 2) if stage else x
        for _ in range(depth):
            x = F.relu(conv(state, f"encoder.features.{next(layers)}", x))
        stages.append(x)
    return stages


def consensus(state: State, x: Tensor) -> Tensor:
    """The group affinity module with the whole affinity matrix."""
    N, C, h, w = x.shape
    P = h * w
    query, key = conv(state, "affinity.query", x), conv(state, "affinity.key", x)
    query = query.permute(0, 2, 3, 1).reshape(N * P, C)
    key = key.permute(0, 2, 3, 1).reshape(N * P, C)
    affinity = query @ key.T  # (N·P,N·P)
    best = affinity.view(N * P, N, P).max(2).values  # (N·P,N)
    attention = (best.mean(1).view(N, P) * C**-0.5).softmax(1).view(N, 1, h, w)
    return conv(state, "affinity.output", x * attention).mean((0, 2, 3), keepdim=True)


def side_maps(state: State, stages: Sequence[Tensor], E: Tensor) -> list[Tensor]:
    """Stages and consensus → four maps in [0,1] of the input's size, the finest one last."""
    size = tuple(stages[0].shape[-2:])
    p = conv(state, "decoder.top.2", F.relu(conv(state, "decoder.top.0", stages[-1] * E)))
    maps = []
    for k in (4, 3, 2, 1):
        lateral = double_conv(state, f"decoder.lateral{k}", stages[k - 1])
        p = double_conv(state, f"decoder.smooth{k}", upsample(p, tuple(lateral.shape[-2:])) + lateral)
        x = F.relu(double_conv(state, f"side{k}.layers", p))
        maps.append(upsample(conv(state, f"side{k}.layers.4", x).sigmoid(), size))
    return maps


def train_pair(state: State, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """Normalised images of two groups of N (2N,3,H,W) → side maps, GCM logits (4N,1,H,W), class logits.

    `state` also holds TrainingGCoNet's two heads.
    """
    stages = encode(state, x)
    F1, F2 = stages[-1].chunk(2)
    E1, E2 = consensus(state, F1), consensus(state, F2)
    products = torch.cat([F1 * E1, F2 * E2, F1 * E2, F2 * E1])
    logits = conv(state, "gcm.layers.2", F.relu(conv(state, "gcm.layers.0", products)))
    pooled = stages[-1].mean((2, 3))
    classes = F.linear(pooled, state["acm.linear.weight"], state["acm.linear.bias"])
    E = torch.cat([E1.expand_as(F1), E2.expand_as(F2)])
    return side_maps(state, stages, E), upsample(logits, tuple(x.shape[-2:])), classes


def double_conv(state: State, name: str, x: Tensor) -> Tensor:
    """Convolution, ReLU, convolution: layers `name`.0 and `name`.2."""
    return conv(state, f"{name}.2", F.relu(conv(state, f"{name}.0", x)))


def conv(state: State, name: str, x: Tensor) -> Tensor:
    """The convolution `name` with padding that keeps the size."""
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)


def upsample(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear with aligned corners."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)
