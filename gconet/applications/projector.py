"""Consensus vectors for TensorBoard's projector, where t-SNE shows how groups lie."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gconet.data.groups import Group
from gconet.data.images import load_image
from gconet.errors import ConfigError

SPRITE = 64  # pixels of a picture in the projector
PROJECTOR = "projector"  # the folder of TensorBoard's files


def write_projector(output: Path, groups: Sequence[Group], parts: np.ndarray) -> None:
    """The images' parts (N,C) for TensorBoard's projector, each as its small picture, named group/stem."""
    import torch
    from torch.utils.tensorboard import SummaryWriter

    items = [(group.name, item) for group in groups for item in group.items]
    sprites = np.stack([np.asarray(load_image(i.image).resize((SPRITE, SPRITE))) for _, i in items])
    labels = [[plain(group), plain(item.stem)] for group, item in items]
    shutil.rmtree(output / PROJECTOR, ignore_errors=True)  # of an earlier call; TensorBoard would add to it
    with SummaryWriter(output / PROJECTOR) as writer:
        writer.add_embedding(
            torch.from_numpy(parts),
            metadata=labels,
            metadata_header=["group", "image"],
            label_img=torch.from_numpy(sprites).permute(0, 3, 1, 2).float() / 255,
            tag="consensus",
        )


def check_projector(folder: Path) -> None:
    """Raise ConfigError if `folder`, which an earlier call may have written, holds other files."""
    ours = r"projector_config\.pbtxt|events\.out\.tfevents\..*|metadata\.tsv|sprite\.png|tensors\.tsv"
    if wrong := [p for p in folder.rglob("*") if not p.is_dir() and not re.fullmatch(ours, p.name)]:
        raise ConfigError(
            f"{folder} holds files that are not TensorBoard's, as {wrong[0]}; name another folder"
        )


def plain(name: str) -> str:
    """A name without what would break TensorBoard's table: tabs, line ends, bytes that are not text."""
    return " ".join(name.encode("utf-8", "replace").decode().split())
