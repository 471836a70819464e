"""Compose the demo groups: photographed objects on painted landscapes, with distractors.

    apt-get download tuxpaint-stamps-default && dpkg -x tuxpaint-stamps-default_*.deb stamps
    python scripts/tools/make_demo.py --stamps stamps/usr/share/tuxpaint/stamps --output demo

Writes <output>/images/<group>/<nn>.jpg, <output>/gts/<group>/<nn>.png and, with the masks of the
distractors, <output>/others/<group>/<nn>.png; the same files for the same stamps. Every picture holds an
instance of its group's object and one or two other objects, as bright and often larger, which occur only
once in the group: who sees one picture alone cannot know which object is meant. Sources and licence:
data/demo/README.md.
"""

import argparse
from pathlib import Path

import numpy as np

from gconet.errors import ConfigError, DataError, run_command
from gconet.opencv import cv2

WIDTH, HEIGHT = 320, 240  # pixels

# each group's pictures: the common object's stamp, then the distractors'; a group's place sets its seeds
GROUPS = {
    "car": (
        ("sedan", "duck"),
        ("beetle", "cow"),
        ("sportscar2", "kettle"),
        ("truck", "guitar_classical"),
        ("beetle", "zebra"),
    ),
    "cattle": (
        ("bull", "soccer", "pitcher_small"),
        ("cow", "beetle"),
        ("cow_white", "toolbox", "rooster"),
        ("yak", "flower4"),
        ("bison", "violin"),
        ("zebu", "rubberduck", "camera_35mm"),
    ),
    "bird": (
        ("pigeon", "teapot"),
        ("gander", "yak"),
        ("seagull", "sedan"),
        ("turkey", "pitcher_small", "toolbox"),
        ("peacock", "binoculars"),
        ("crow", "basketball", "mandarine"),
    ),
    "guitar": (
        ("guitar2", "hen", "yellowpepper"),
        ("guitar_classical", "truck"),
        ("guitar_electric", "drum_tomtom_floor"),
        ("guitar_electric_bass", "elephant"),
        ("guitar_classical", "kettle", "iris"),
        ("guitar2", "tiger"),
    ),
}

# top of the picture, horizon, bottom: colours as (R,G,B)
LANDSCAPES = (
    ((150, 185, 220), (215, 225, 230), (95, 125, 60)),  # meadow
    ((185, 200, 215), (230, 225, 215), (190, 165, 120)),  # sand
    ((120, 135, 150), (185, 190, 190), (110, 105, 100)),  # street
    ((200, 185, 160), (215, 200, 175), (125, 85, 55)),  # room
    ((140, 165, 150), (165, 180, 150), (75, 85, 50)),  # edge of a wood
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stamps", type=Path, required=True, metavar="DIR", help="the package's stamps")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new folder")
    args = parser.parse_args()
    if args.output.exists():
        raise ConfigError(f"--output {args.output} exists; name a new folder")
    drawn = {"cartoon", "seasonal"}  # folders of drawings
    files = {p.stem: p for p in sorted(args.stamps.rglob("*.png")) if not drawn & {*p.parts}}
    used = {stamp for pictures in GROUPS.values() for picture in pictures for stamp in picture}
    if missing := sorted(used - files.keys()):
        raise DataError(f"--stamps {args.stamps} lacks {missing[0]}.png; unpack tuxpaint-stamps-default")
    for g, (group, pictures) in enumerate(GROUPS.items()):
        for i, stamps in enumerate(pictures):
            image, masks = compose([files[stamp] for stamp in stamps], np.random.RandomState(100 * g + i))
            common, others = masks[0], np.bitwise_or.reduce(masks[1:])
            for side, suffix, pixels in (
                ("images", ".jpg", image[..., ::-1]),
                ("gts", ".png", common),
                ("others", ".png", others),
            ):
                path = args.output / side / group / f"{i:02d}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                quality = [cv2.IMWRITE_JPEG_QUALITY, 90] if suffix == ".jpg" else []
                path.write_bytes(cv2.imencode(suffix, pixels, quality)[1].tobytes())
    print(f"{args.output}: {sum(map(len, GROUPS.values()))} pictures in {len(GROUPS)} groups")
    return 0


def compose(stamps: list[Path], r: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H,W,3) RGB of all `stamps` side by side, in any order, and their masks (n,H,W)."""
    image: np.ndarray
    image, horizon = landscape(r)
    masks = np.zeros((len(stamps), HEIGHT, WIDTH), np.uint8)
    slot = WIDTH // len(stamps)
    for place, which in enumerate(r.permutation(len(stamps))):
        colour, alpha = read_stamp(stamps[which], slot - 10, int(HEIGHT * r.uniform(0.5, 0.68)), r)
        h, w = alpha.shape
        x = place * slot + r.randint(5, max(6, slot - w - 4))
        y = r.randint(max(4, min(horizon + 25 - h, HEIGHT - h - 6)), HEIGHT - h - 4)
        ground = np.zeros((HEIGHT, WIDTH), np.float32)
        cv2.ellipse(ground, (x + w // 2, y + h - 3), (w // 2, max(4, h // 16)), 0, 0, 360, 0.5, -1)
        image = image * (1 - cv2.GaussianBlur(ground, (0, 0), 5)[..., None])
        here = image[y : y + h, x : x + w]
        here[:] = alpha[..., None] * colour + (1 - alpha[..., None]) * here
        masks[which, y : y + h, x : x + w] = np.where(alpha > 0.5, 255, 0)
    noisy: np.ndarray = image + r.normal(0, 3, image.shape)
    return noisy.clip(0, 255).astype(np.uint8), masks


def read_stamp(
    path: Path, width: int, height: int, r: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """The stamp cut to its object, as large as fits: RGB (h,w,3) in [0,255] and alpha (h,w) in [0,1]."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4:
        raise DataError(f"{path} is not a PNG with an alpha channel; unpack tuxpaint-stamps-default")
    rows, columns = (np.flatnonzero((pixels[..., 3] > 127).any(axis)) for axis in (1, 0))
    cut = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    solid = cut[..., 3:] / 255
    pixels = np.dstack([cut[..., :3] * solid, solid])  # premultiplied: hidden colours do not bleed in
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if r.rand() < 0.5:
        pixels = pixels[:, ::-1]
    alpha = pixels[..., 3]
    colour = pixels[..., 2::-1] / np.maximum(alpha, 1e-3)[..., None]
    return (colour * r.uniform(0.85, 1.1)).clip(0, 255), alpha


def landscape(r: np.random.RandomState) -> tuple[np.ndarray, int]:
    """A painted background (H,W,3) float32 in [0,255], and the row of its horizon."""
    top, middle, bottom = (np.array(c, np.float32) for c in LANDSCAPES[r.randint(len(LANDSCAPES))])
    horizon = r.randint(HEIGHT // 4, HEIGHT // 2)
    rows = np.arange(HEIGHT, dtype=np.float32)
    sky = np.clip(rows / horizon, 0, 1)[:, None, None]
    image = np.repeat(top * (1 - sky) + middle * sky, WIDTH, 1)
    edge = horizon + 12 * (clouds(r)[0] - 0.5)  # hills
    ground = 1 / (1 + np.exp(-(rows[:, None] - edge) / 2))[..., None]
    image = image * (1 + 0.15 * (clouds(r) - 0.5)[..., None])
    soil = bottom * (0.7 + 0.6 * clouds(r, finest=160)[..., None])
    return (image * (1 - ground) + soil * ground).astype(np.float32), horizon


def clouds(r: np.random.RandomState, finest: int = 40) -> np.ndarray:
    """Fractal noise (H,W) in [0,1]."""
    noise, cells, weight = np.zeros((HEIGHT, WIDTH), np.float32), 4, 1.0
    while cells <= finest:
        coarse = r.rand(cells * 3 // 4, cells).astype(np.float32)
        noise += weight * cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        cells, weight = cells * 2, weight * 0.6
    return (noise - noise.min()) / (noise.max() - noise.min())


if __name__ == "__main__":
    run_command(main)
