"""How similar the groups' consensus vectors are: Figure 1 and its numbers."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gconet.applications.drawing import draw_matrix
from gconet.files import save_picture, write_file


def write_consensus(output: Path, names: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
    """Write similarity.csv and similarity.png: the cosine, in [-1,1], of the groups' vectors (G,C)."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    similarity = unit @ unit.T
    text = io.StringIO()
    rows = ([name, *(f"{value:.4f}" for value in row)] for name, row in zip(names, similarity, strict=True))
    csv.writer(text).writerows([["", *names], *rows])
    write_file(output / "similarity.csv", text.getvalue().encode(errors="replace"))
    low = min(float(similarity.min()), 0.99)
    title = f"cosine similarity of consensus vectors, dark {low:.2f} to yellow 1"
    save_picture(output / "similarity.png", draw_matrix((similarity - low) / (1 - low), names, title))
