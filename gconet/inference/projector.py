"""Consensus vectors for TensorBoard's projector, where t-SNE shows how the groups cluster."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from gconet.data.groups import Group
from gconet.data.images import load_image

SPRITE = 64  # pixels per side of a picture in the projector


def write_projector(folder: Path, groups: Sequence[Group], parts: np.ndarray) -> None:
    """Write the images' parts (N,C) for TensorBoard's projector, each with a thumbnail, group and stem."""
    items = [(group.name, item) for group in groups for item in group.items]
    sprites = np.stack([np.asarray(load_image(i.image).resize((SPRITE, SPRITE))) for _, i in items])
    # remove what would break TensorBoard's table: tabs, line breaks, bytes that are not text
    labels = [
        [" ".join(name.encode("utf-8", "replace").decode().split()) for name in (group, item.stem)]
        for group, item in items
    ]
    with SummaryWriter(folder) as writer:
        writer.add_embedding(
            torch.from_numpy(parts),
            metadata=labels,
            metadata_header=["group", "image"],
            label_img=torch.from_numpy(sprites).permute(0, 3, 1, 2).float() / 255,
            tag="consensus",
        )
