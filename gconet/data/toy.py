"""A small synthetic set in the published layout, with exact masks: for tests and the smoke run.

Each class is one object (outline × colour × surface). A picture shows it at a random place, scale
and rotation on a patterned background, next to one or two distractors: objects of other classes,
just as large and bright, so that only the group shows which object is meant.

    python -m gconet.data.toy data      writes data/{images,gts}/toy and the held-out toy_test

Each has 12 classes of 8 images, 96 × 96 pixels.
"""

import colorsys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gconet.errors import DataError, run_command, say
from gconet.opencv import cv2


def polygon(u: np.ndarray, v: np.ndarray, corners: int) -> np.ndarray:
    """The points inside a regular polygon whose corners are on the unit circle."""
    half = np.pi / corners
    return np.hypot(u, v) * np.cos((np.arctan2(v, u) + half) % (2 * half) - half) <= np.cos(half)


# Outline → which points (u, v) of the object's frame, in the unit circle, it covers
SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "disc": lambda u, v: np.hypot(u, v) <= 0.9,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) <= 0.7,
    "triangle": lambda u, v: polygon(u, v, 3),
    "star": lambda u, v: np.hypot(u, v) <= 0.68 + 0.3 * np.cos(5 * np.arctan2(v, u)),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) <= 0.28) & (np.maximum(abs(u), abs(v)) <= 0.9),
    "bar": lambda u, v: (abs(u) <= 0.95) & (abs(v) <= 0.32),
    "crescent": lambda u, v: (np.hypot(u, v) <= 0.95) & (np.hypot(u - 0.5, v) >= 0.75),
    "hexagon": lambda u, v: polygon(u, v, 6),
}
# Surface → which of these points are bright; the others are dark.
SURFACES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "plain": lambda u, v: np.full(u.shape, True),
    "striped": lambda u, v: np.sin(12 * u) > 0,
    "checked": lambda u, v: np.sin(9 * u) * np.sin(9 * v) > 0,
    "dotted": lambda u, v: np.cos(11 * u) + np.cos(11 * v) < 0.6,
    "ringed": lambda u, v: np.sin(14 * np.hypot(u, v)) > 0,
}
# 8 shapes and 5 surfaces are coprime: k ↦ (k % 8, k % 5) is unique for 40 classes
LEAST_VISIBLE = 0.7  # share of each object's pixels that the other objects must not cover


def make_toy_set(
    root: Path, name: str, *, classes: int = 12, images_per_class: int = 8, size: int = 96, seed: int = 0
) -> None:
    """Write `root/images/<name>/<class>/*.jpg` and `root/gts/<name>/<class>/*.png` (0 or 255).

    `classes`: 2 to 40. Pictures have `size` × `size` pixels, 32 or more. The look of the classes is the same
    for every `seed`: another one makes a held-out set of them. The same arguments give the same pixels.
    Raises DataError if a set of that name already has files.
    """
    images, gts = root / "images" / name, root / "gts" / name
    for folder in (images, gts):
        if folder.exists() and (folder.is_file() or any(folder.iterdir())):
            raise DataError(f"{folder} exists and is not empty; remove it or choose another name")
    for target in range(classes):
        for folder in (images, gts):
            (folder / name_class(target)).mkdir(parents=True)
        for index in range(images_per_class):
            random = np.random.RandomState([seed, target, index])
            picture, mask = draw_picture(random, target, classes, size)
            name = f"{name_class(target)}/{index:03d}"  # written as bytes, since `cv2.imwrite` fails silently
            (images / f"{name}.jpg").write_bytes(cv2.imencode(".jpg", picture[:, :, ::-1])[1].tobytes())
            (gts / f"{name}.png").write_bytes(cv2.imencode(".png", mask)[1].tobytes())


def name_class(index: int) -> str:
    """The folder name of class `index`: its surface and outline, such as `striped_square`."""
    return f"{list(SURFACES)[index % len(SURFACES)]}_{list(SHAPES)[index % len(SHAPES)]}"


def draw_picture(
    random: np.random.RandomState, target: int, classes: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a picture of class `target` (size, size, 3) uint8 RGB and its mask (size, size), 0 or 255."""
    others = [k for k in range(classes) if k != target]
    distractors = random.choice(others, size=min(len(others), random.randint(1, 3)), replace=False)
    objects = random.permutation([target, *distractors])  # painted in this order, the last on top
    while True:
        picture, owner = draw_background(random, size), np.full((size, size), -1)
        drawn = {}  # object → its pixels before anything covers them
        for k in objects:
            inside, colours = draw_object(random, int(k), size)
            picture[inside], owner[inside], drawn[k] = colours[inside], k, inside.sum()
        if all((owner == k).sum() >= LEAST_VISIBLE * pixels for k, pixels in drawn.items()):
            return picture.astype(np.uint8), np.where(owner == target, 255, 0).astype(np.uint8)


def draw_background(random: np.random.RandomState, size: int) -> np.ndarray:
    """Draw a grainy background, cloudy or striped, in two dull colours (size, size, 3), 0 to 255."""
    coarse = random.rand(random.randint(2, 7), random.randint(2, 7)).astype(np.float32)
    blend = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    if random.rand() < 0.5:
        y, x = np.mgrid[:size, :size] / size
        turn = random.uniform(0, np.pi)
        wave = np.sin(random.uniform(15, 60) * (x * np.cos(turn) + y * np.sin(turn)))
        blend = 0.6 * blend + 0.2 * (1 + wave)
    low, high = random.uniform(30, 200, (2, 3))
    ground = low + (high - low) * blend[:, :, None] + 8 * random.standard_normal((size, size, 1))
    return np.clip(ground, 0, 255).astype(np.float32)


def draw_object(random: np.random.RandomState, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw object `index` at a random place: its pixels (size, size) bool, colours (size, size, 3)."""
    radius = random.uniform(0.22, 0.32) * size
    x0, y0 = random.uniform(0.2, 0.8, 2) * size
    turn = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size]
    u = (np.cos(turn) * (x - x0) + np.sin(turn) * (y - y0)) / radius
    v = (np.cos(turn) * (y - y0) - np.sin(turn) * (x - x0)) / radius
    surface, shape = name_class(index).split("_")
    # Steps of the golden ratio spread any number of hues evenly around the colour circle.
    bright = np.array(colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.85, random.uniform(0.8, 1.0)))
    colours = 255 * bright * np.where(SURFACES[surface](u, v), 1.0, 0.35)[:, :, None]
    return SHAPES[shape](u, v), colours.astype(np.float32)


def main() -> int:
    """The command `python -m gconet.data.toy`."""
    from gconet.cli import new_parser

    parser = new_parser(__doc__)
    parser.add_argument("root", type=Path, metavar="DIR", help="writes below DIR/images and DIR/gts")
    root = parser.parse_args().root
    for seed, name in enumerate(("toy", "toy_test")):
        make_toy_set(root, name, seed=seed)
        say(f"{root / 'images' / name}: 12 × 8 images")
    return 0


if __name__ == "__main__":
    run_command(main)
