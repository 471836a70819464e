"""A small synthetic set in the published layout, with exact masks: for tests and the smoke run.

Each class is one object (outline × colour × surface). A picture shows it at a random place, scale
and rotation on a cloudy background, next to one or two distractors: objects of other classes, just
as large and bright, so that only the group shows which object is meant.

    python -m gconet.data.toy data      writes data/{images,gts}/toy and the held-out toy_test

Each has 12 classes of 8 images, 96 × 96 pixels.
"""

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image

from gconet.errors import DataError, run_command, say
from gconet.files import save_picture

OUTLINES = ("disc", "square", "cross", "bar")
SURFACES = ("plain", "striped", "checked")  # 4 and 3 are coprime: k % 4 and k % 3 differ for 12 classes
LEAST_VISIBLE = 0.7  # share of each object's pixels that the other objects must not cover


def make_toy_set(
    root: Path, name: str, *, classes: int = 12, images_per_class: int = 8, size: int = 96, seed: int = 0
) -> None:
    """Write `root/images/<name>/<class>/*.jpg` and `root/gts/<name>/<class>/*.png` (0 or 255).

    `classes`: 2 to 12. Pictures have `size` × `size` pixels, 32 or more. The look of the classes is the same
    for every `seed`: another one makes a held-out set of them. The same arguments give the same pixels.
    Raises DataError if there is a set of that name.
    """
    images, gts = root / "images" / name, root / "gts" / name
    if there := [str(folder) for folder in (images, gts) if folder.exists()]:
        raise DataError(f"{there[0]} exists; remove it or choose another name")
    for target in range(classes):
        for index in range(images_per_class):
            random = np.random.RandomState([seed, target, index])
            picture, mask = draw_picture(random, target, classes, size)
            stem = f"{name_class(target)}/{index:03d}"
            save_picture(images / f"{stem}.jpg", picture, quality=95)
            save_picture(gts / f"{stem}.png", mask)


def name_class(index: int) -> str:
    """The folder name of class `index`: its surface and outline, such as `striped_square`."""
    return f"{SURFACES[index % len(SURFACES)]}_{OUTLINES[index % len(OUTLINES)]}"


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
    """Draw a grainy, cloudy background in two dull colours (size, size, 3), 0 to 255."""
    coarse = Image.fromarray(random.rand(random.randint(2, 7), random.randint(2, 7)).astype(np.float32))
    clouds = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))[:, :, None]
    low, high = random.uniform(30, 200, (2, 3))
    ground = low + (high - low) * clouds + 8 * random.standard_normal((size, size, 1))
    return np.clip(ground, 0, 255).astype(np.float32)


def draw_object(random: np.random.RandomState, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw object `index` at a random place: its pixels (size, size) bool, colours (size, size, 3)."""
    radius = random.uniform(0.22, 0.32) * size
    x0, y0 = random.uniform(0.2, 0.8, 2) * size
    turn = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size]
    u = (np.cos(turn) * (x - x0) + np.sin(turn) * (y - y0)) / radius  # the object's own frame
    v = (np.cos(turn) * (y - y0) - np.sin(turn) * (x - x0)) / radius
    near, far = np.minimum(abs(u), abs(v)), np.maximum(abs(u), abs(v))
    inside = (
        np.hypot(u, v) <= 0.9,
        far <= 0.7,
        (near <= 0.28) & (far <= 0.9),
        (abs(u) <= 0.95) & (abs(v) <= 0.32),
    )
    bright = (np.full(u.shape, True), np.sin(12 * u) > 0, np.sin(9 * u) * np.sin(9 * v) > 0)
    # Steps of the golden ratio spread any number of hues evenly around the colour circle.
    colour = np.array(colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.85, random.uniform(0.8, 1.0)))
    colours = 255 * colour * np.where(bright[index % len(SURFACES)], 1.0, 0.35)[:, :, None]
    return inside[index % len(OUTLINES)], colours.astype(np.float32)


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
