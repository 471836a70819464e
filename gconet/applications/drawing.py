"""Draws the paper's figures: GAM's attention over pictures, and how similar the groups' consensus is."""

import csv
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from gconet.applications.desk import Desk
from gconet.applications.imaging import RGB
from gconet.applications.jobs import Job, save_jpeg
from gconet.files import save_picture, write_file
from gconet.opencv import cv2

Matrix = npt.NDArray[np.floating]

CELL = 28  # pixels per value in a heat map
TEXT = 14  # pixels of a letter's height
GAP = 4  # pixels around texts


def overlay(picture: RGB, m: npt.NDArray[np.uint8]) -> RGB:
    """`picture` (H,W,3) under the colours of `m` (H,W): dark where it is 0, yellow where it is 255."""
    heat = cv2.cvtColor(cv2.applyColorMap(m, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    share = (0.2 + 0.6 * m[..., None] / 255).astype(np.float32)
    return np.ascontiguousarray((share * heat + (1 - share) * picture).astype(np.uint8))


def spread_attention(attention: Matrix, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Attention (h,w) of one image → (height,width) uint8, 255 for its maximum."""
    scaled = (attention / max(float(attention.max()), 1e-12)).astype(np.float32)
    large = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(255 * large, np.uint8)


def write_attention(drawn: tuple[Job, Matrix], *, desk: Desk) -> None:
    """Figure 5: save the file `attention` of a job, its picture under its attention (h,w)."""
    job, attention = drawn
    image = job.item.image
    picture = desk.picture(image)[0]
    shown = overlay(picture, spread_attention(attention, *picture.shape[:2]))
    save_jpeg(job.files["attention"], shown, image)
    desk.save(image, "attention", shown)


def write_consensus(output: Path, names: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
    """Figure 1: write similarity.csv and similarity.png: the cosine, in [-1,1], of groups' vectors (G,C)."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    similarity = unit @ unit.T
    text = io.StringIO()
    rows = ([name, *(f"{value:.4f}" for value in row)] for name, row in zip(names, similarity, strict=True))
    csv.writer(text).writerows([["", *names], *rows])
    write_file(output / "similarity.csv", text.getvalue())
    low = min(float(similarity.min()), 0.99)
    title = f"cosine similarity of consensus vectors, dark {low:.2f} to yellow 1"
    save_picture(output / "similarity.png", draw_matrix((similarity - low) / (1 - low), names, title))


def draw_matrix(values: Matrix, names: Sequence[str], title: str) -> RGB:
    """A square matrix (G,G) in [0,1] as a heat map with names on the left and their numbers on top. Letters
    beyond ASCII, which Pillow's font lacks, become codes (\\u732b)."""
    font = ImageFont.load_default(TEXT)
    texts = [f"{ascii(name)[1:-1]}  {number}" for number, name in enumerate(names, 1)]
    left = round(max(map(font.getlength, texts))) + 3 * GAP
    top, side = 2 * (TEXT + 2 * GAP), len(names) * CELL
    width = max(left + side, round(font.getlength(title)) + GAP) + GAP
    canvas = Image.new("RGB", (width, top + side + GAP), "white")
    levels = np.asarray(255 * np.clip(values, 0, 1), np.uint8)
    cells = Image.fromarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB))
    canvas.paste(cells.resize((side, side), Image.Resampling.NEAREST), (left, top))
    write = partial(ImageDraw.Draw(canvas).text, fill="black", font=font)
    write((GAP, GAP), title)
    for i, text in enumerate(texts):
        write((left - GAP - font.getlength(text), top + i * CELL + (CELL - TEXT) // 2 - 1), text)
        number = str(i + 1)
        write((left + i * CELL + (CELL - font.getlength(number)) / 2, top - TEXT - GAP), number)
    return np.asarray(canvas)
