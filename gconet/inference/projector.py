"""Consensus vectors for TensorBoard's projector, where t-SNE shows how the groups cluster."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from gconet.data.groups import Group
from gconet.data.images import load_image
from gconet.data.transforms import resize_image

SPRITE = 64  # pixels per side of a picture in the projector


def write_projector(folder: Path, groups: Sequence[Group], parts: np.ndarray) -> None:
    """Write the images' parts (N,C) for TensorBoard's projector, each with a thumbnail, group and stem."""
    items = [(group.name, item) for group in groups for item in group.items]
    sprites = torch.stack([resize_image(load_image(i.image), SPRITE) for _, i in items]).float() / 255
    # without what would break TensorBoard's table: tabs, line breaks, bytes that are not text
    names = [[name.encode("utf-8", "replace").decode() for name in (group, i.stem)] for group, i in items]
    labels = [[" ".join(name.split()) for name in pair] for pair in names]
    vectors, header = torch.from_numpy(parts), ["group", "image"]
    with SummaryWriter(folder) as writer:
        writer.add_embedding(vectors, labels, sprites, metadata_header=header, tag="consensus")
