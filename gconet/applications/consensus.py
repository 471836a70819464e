"""How alike the groups' consensus vectors are: the numbers of Figure 1."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

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
