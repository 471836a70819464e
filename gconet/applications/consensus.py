"""How similar the groups' consensus vectors are: Figure 1 and its numbers."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gconet.applications.drawing import draw_matrix
from gconet.data.groups import Group
from gconet.files import save_picture, write_file

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
    """Write similarity.csv, similarity.png and distances.csv; returns the mean distances that are known.

    `parts`: (N,C) of each group.
    """
    names = [group.name for group in groups]
    similarity = cosine_similarity(np.stack([part.mean(0) for part in parts]))
    within, between = group_distances(parts)
    rows = [["", *names], *([name, *row] for name, row in zip(names, similarity, strict=True))]
    table = [[g.name, len(g.items), w, b] for g, w, b in zip(groups, within, between, strict=True)]
    table.insert(0, ["group", "images", "within", "between"])
    for name, lines in (("similarity", rows), ("distances", table)):
        text = io.StringIO()
        texts = [[f"{v:.4f}" if isinstance(v, np.floating) else v for v in line] for line in lines]
        csv.writer(text).writerows(texts)
        write_file(output / f"{name}.csv", text.getvalue().encode(errors="replace"))
    low = min(float(similarity.min()), 0.99)
    title = f"cosine similarity of consensus vectors, dark {low:.2f} to yellow 1"
    save_picture(output / "similarity.png", draw_matrix((similarity - low) / (1 - low), names, title))
    known = {"within": within[~np.isnan(within)], "between": between[~np.isnan(between)]}
    return {name: float(values.mean()) for name, values in known.items() if len(values)}
