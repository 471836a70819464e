"""From one group of pictures to co-saliency maps at their own sizes, in bounded memory."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gconet.data.images import load_image
from gconet.data.transforms import resize_image
from gconet.device import autocast
from gconet.models import GCoNet
from gconet.models.decoder import upsample

CHUNK = 16  # images that go through the encoder and the decoder at a time


def predict_group(
    model: GCoNet, images: Sequence[Path], *, size: int = 224, precision: torch.dtype = torch.float32
) -> Iterator[np.ndarray]:
    """Co-saliency maps of one whole group, in order: (H,W) uint8 at each picture's own size.

    Value = floor(255 · m), as the authors save them. Every picture is resized to `size` × `size`
    for the network; all of them are seen at once, however many they are: memory grows by the
    stage-5 features (0.4 MB an image at 224 px), not by the affinities. Raises DataError for a
    picture that cannot be read. Computes on the model's own device.
    """
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda path: _load(path, size), images))
    chunks = torch.stack([pixels for pixels, _ in loaded]).split(CHUNK)
    sizes = [own for _, own in loaded]

    stages: list[Tensor] = []
    deepest = []
    for chunk in chunks:
        stages = _encode(model, chunk, precision)
        deepest.append(stages[-1])
    with torch.inference_mode(), autocast(model.mean.device, precision):
        vector = model.consensus(torch.cat(deepest)).vector
    for i, chunk in enumerate(chunks):
        if len(chunks) > 1:  # the finer stages of a large group are computed twice, not kept
            stages = _encode(model, chunk, precision)
        yield from _decode(model, stages, vector, sizes[i * CHUNK : (i + 1) * CHUNK], precision)


def _load(path: Path, size: int) -> tuple[Tensor, tuple[int, int]]:
    """The resized picture (3,size,size) uint8 and its own (H,W)."""
    image = load_image(path)
    return resize_image(image, size), (image.height, image.width)


def _encode(model: GCoNet, chunk: Tensor, precision: torch.dtype) -> list[Tensor]:
    """Pictures (n,3,S,S) uint8 → the encoder's stages."""
    device = model.mean.device
    with torch.inference_mode(), autocast(device, precision):
        images = chunk.to(device).float().div(255).contiguous(memory_format=torch.channels_last)
        return model.encode(images)


def _decode(
    model: GCoNet, stages: list[Tensor], vector: Tensor, sizes: list[tuple[int, int]], precision: torch.dtype
) -> Iterator[np.ndarray]:
    """Stages of n pictures → their maps, one by one, at their own sizes (H,W)."""
    with torch.inference_mode(), autocast(model.mean.device, precision):
        maps = model.decode(stages, vector)
    for m, own in zip(maps, sizes, strict=True):
        with torch.inference_mode():
            pixels = (upsample(m[None], own)[0, 0] * 255).to(torch.uint8).cpu().numpy()
        yield pixels  # outside of all contexts, which would otherwise leak to the caller
