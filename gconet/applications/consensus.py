"""How alike the groups' consensus vectors are: Figure 1, its numbers, and TensorBoard's projector."""

import csv
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gconet.applications.drawing import draw_matrix
from gconet.data.groups import Group
from gconet.data.images import load_image
from gconet.errors import ConfigError

SPRITE = 64  # pixels of a picture in the projector
PROJECTOR = r"projector_config\.pbtxt|events\.out\.tfevents\..*|metadata\.tsv|sprite\.png|tensors\.tsv"

Array = npt.NDArray[np.float32]


def cosine_similarity(vectors: Array) -> Array:
    """(N,C) → (N,N), in [-1,1]."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    return np.asarray(unit @ unit.T, np.float32)


def group_distances(parts: Sequence[Array]) -> tuple[Array, Array]:
    """Mean cosine distance, 1 - similarity, of each group's images to each other and to all others.

    `parts`: (N,C) of each of G groups. Returns (G,) within, NaN for a single image, and (G,)
    between, NaN for a single group; both in [0,2].
    """
    numbers = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    distances = 1 - cosine_similarity(np.concatenate(list(parts)))
    within, between = [], []
    for group, part in enumerate(parts):
        own = distances[numbers == group]
        mine = own[:, numbers == group]
        pairs = ~np.eye(len(part), dtype=bool)
        within.append(mine[pairs].mean() if len(part) > 1 else np.nan)
        between.append(own[:, numbers != group].mean() if len(parts) > 1 else np.nan)
    return np.asarray(within, np.float32), np.asarray(between, np.float32)


def write_consensus(output: Path, groups: Sequence[Group], parts: Sequence[Array]) -> dict[str, float]:
    """Write similarity.csv, similarity.png, distances.csv and, for TensorBoard, projector/.

    `parts`: (N,C) of each group. Returns the mean distances that are known.
    """
    names = [group.name for group in groups]
    similarity = cosine_similarity(np.stack([part.mean(0) for part in parts]))
    within, between = group_distances(parts)
    output.mkdir(parents=True, exist_ok=True)
    rows = [[name, *row] for name, row in zip(names, similarity, strict=True)]
    table = [[g.name, len(g.items), w, b] for g, w, b in zip(groups, within, between, strict=True)]
    _write_csv(output / "similarity.csv", [["", *names], *rows])
    _write_csv(output / "distances.csv", [["group", "images", "within", "between"], *table])
    low = min(float(similarity.min()), 0.99)
    title = f"cosine similarity of consensus vectors, dark {low:.2f} to yellow 1"
    picture = draw_matrix((similarity - low) / (1 - low), names, title)
    Image.fromarray(picture).save(output / "similarity.png")
    write_projector(output / "projector", groups, np.concatenate(list(parts)))
    known = {"within": within[~np.isnan(within)], "between": between[~np.isnan(between)]}
    return {name: float(values.mean()) for name, values in known.items() if len(values)}


def write_projector(folder: Path, groups: Sequence[Group], parts: Array) -> None:
    """The images' parts (N,C) for TensorBoard's projector, each as its small picture, named group/stem."""
    import torch  # here: the other applications need none
    from torch.utils.tensorboard import SummaryWriter

    items = [(group.name, item) for group in groups for item in group.items]
    sprites = np.stack([np.asarray(load_image(i.image).resize((SPRITE, SPRITE))) for _, i in items])
    # without what would break TensorBoard's table: tabs, line ends, bytes that are not text
    labels = [
        [" ".join(name.encode("utf-8", "replace").decode().split()) for name in (group, item.stem)]
        for group, item in items
    ]
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier call; TensorBoard would add to it
    with SummaryWriter(folder) as writer:
        writer.add_embedding(
            torch.from_numpy(parts),
            metadata=labels,
            metadata_header=["group", "image"],
            label_img=torch.from_numpy(sprites).permute(0, 3, 1, 2).float() / 255,
            tag="consensus",
        )


def check_projector(folder: Path) -> None:
    """Raise ConfigError if `folder`, which an earlier call may have written, holds other files."""
    if wrong := [p for p in folder.rglob("*") if not p.is_dir() and not re.fullmatch(PROJECTOR, p.name)]:
        raise ConfigError(
            f"{folder} holds files that are not TensorBoard's, as {wrong[0]}; name another folder"
        )


def _write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        texts = [[f"{v:.4f}" if isinstance(v, np.floating) else v for v in row] for row in rows]
        csv.writer(file).writerows(texts)
