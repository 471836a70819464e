"""Compose the demo's hard groups: photographed objects on photographs, with distractors.

    apt-get download lomiri-wallpapers-16.04 mate-backgrounds tuxpaint-data tuxpaint-stamps-default
    for package in *.deb; do dpkg -x "$package" packages; done
    python scripts/tools/make_demo.py --packages packages --output demo

Writes <output>/images/<group>/<nn>.jpg, <output>/gts/<group>/<nn>.png and, with the masks of the
distractors, <output>/others/<group>/<nn>.png; the same packages give the same files. Sources, rules and
licences: data/demo/README.md.
"""

from itertools import cycle
from pathlib import Path

import numpy as np

from gconet.cli import new_parser
from gconet.errors import run_command
from gconet.opencv import cv2

WIDTH, HEIGHT = 480, 360  # pixels

# each group's pictures: the common object's stamp, then the distractors'; a group's position sets its seeds
GROUPS = {
    "car": "sedan duck, beetle cow, sportscar2 kettle, truck guitar_classical, beetle zebra",
    "cattle": "bull soccer pitcher_small, cow beetle, cow_white toolbox rooster, yak flower4, bison violin, "
    "zebu rubberduck camera_35mm",
    "bird": "pigeon teapot, gander yak, seagull sedan, turkey pitcher_small toolbox, peacock binoculars, "
    "crow basketball mandarine",
    "guitar": "guitar2 hen yellowpepper, guitar_classical truck, guitar_electric drum_tomtom_floor, "
    "guitar_electric_bass elephant, guitar_classical kettle iris, guitar2 tiger",
}
PICTURES = {group: [picture.split() for picture in text.split(",")] for group, text in GROUPS.items()}

# the photographs that a group's pictures use in turn, and how far down their open ground begins
BACKGROUNDS = (
    ("aitzgorri_by_Aitzol_Berasategi.jpg", 0.76),  # meadow
    ("picosdeeuropa_by_Aitzol_Berasategi.jpg", 0.72),  # mountains
    ("Storm.jpg", 0.9),  # road
    ("mudstone.jpg", 0.6),
    ("sheep.jpg", 0.72),  # pasture
)

# heights in metres; objects that are not listed are about 1.5 m high
HEIGHTS = {
    0.1: "camera_35mm mandarine yellowpepper",
    0.15: "binoculars flower4 iris rubberduck teapot",
    0.22: "basketball kettle pitcher_small soccer toolbox",
    0.3: "pigeon",
    0.5: "crow drum_tomtom_floor duck hen rooster violin",
    0.8: "gander peacock seagull turkey",
    1: "guitar2 guitar_classical guitar_electric guitar_electric_bass tiger",
    3: "elephant",
}
METRES = {name: metres for metres, names in HEIGHTS.items() for name in names.split()}


def main() -> int:
    parser = new_parser(__doc__)
    parser.add_argument("--packages", type=Path, required=True, metavar="DIR", help="the unpacked packages")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new folder")
    args = parser.parse_args()
    drawn = {"cartoon", "seasonal"}  # folders of drawings
    files = {p.name: p for p in sorted(args.packages.rglob("*.[jp][pn]g")) if not drawn & {*p.parts}}
    for g, (group, pictures) in enumerate(PICTURES.items()):
        for side in ("images", "gts", "others"):
            (args.output / side / group).mkdir(parents=True)
        for i, (stamps, (background, ground)) in enumerate(zip(pictures, cycle(BACKGROUNDS), strict=False)):
            r = np.random.RandomState(100 * g + i)
            objects = {stamp: files[f"{stamp}.png"] for stamp in stamps}
            image, masks = compose(read_background(files[background], r), ground, objects, r)
            name = f"{group}/{i:02d}"
            cv2.imwrite(f"{args.output}/images/{name}.jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])
            cv2.imwrite(f"{args.output}/gts/{name}.png", masks[0])
            cv2.imwrite(f"{args.output}/others/{name}.png", np.bitwise_or.reduce(masks[1:]))
    print(f"{args.output}: {sum(map(len, PICTURES.values()))} pictures in {len(PICTURES)} groups")
    return 0


def compose(
    image: np.ndarray, ground: float, objects: dict[str, Path], r: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Place `objects`, stamps' names and files, on the photograph, side by side in random order, below the
    fraction `ground` of its height: (H,W,3) BGR uint8, masks (n,H,W)."""
    widest = 0.94 * WIDTH / len(objects)
    stamps = [read_stamp(path, METRES.get(name, 1.5), widest, r) for name, path in objects.items()]
    widths = [stamp.shape[1] for stamp, _ in stamps]
    gaps = r.dirichlet([4.0] * (len(stamps) + 1)) * (WIDTH - sum(widths))
    order = r.permutation(len(stamps))
    layers, shadow = [], np.zeros((HEIGHT, WIDTH), np.float32)
    for which, (name, (stamp, distance)) in enumerate(zip(objects, stamps, strict=True)):
        h, w = stamp.shape[:2]
        place = list(order).index(which)
        x = int(sum(gaps[: place + 1]) + sum(widths[k] for k in order[:place]))
        flies = name == "seagull"
        base = h + r.randint(15, 40) if flies else int(HEIGHT * (0.97 - (0.97 - ground) * distance))
        layer = np.zeros((HEIGHT, WIDTH, 4), np.float32)
        layer[base - h : base, x : x + w] = stamp
        layers.append(layer)
        if not flies:  # its outline cast on the ground, and a dark patch below its base
            lay = np.array([[1, -0.3, 0.3 * base], [0, 0.16, 0.84 * base + 2]])
            cast = cv2.warpAffine(layer[..., 3], lay, (WIDTH, HEIGHT))
            below = np.zeros_like(cast)
            below[base - 5 : base + 2] = layer[base - h // 6 : base, :, 3].max(0)
            for part, blur, strength in ((cast, 3, 0.6), (below, 2.5, 0.7)):
                shadow = np.maximum(shadow, strength * cv2.GaussianBlur(part, (0, 0), blur))
    light = image.mean((0, 1))  # the scene's colour and brightness
    tint = (light / light.mean()) ** 0.35 * np.clip((light.mean() / 115) ** 0.5, 0.7, 1.1)
    result: np.ndarray = image * (1 - shadow[..., None])
    for layer in layers:
        result = layer[..., :3] * tint + (1 - layer[..., 3:]) * result
    result = result + r.normal(0, 2, result.shape)  # grain
    masks = np.stack([np.where(layer[..., 3] > 0.5, 255, 0).astype(np.uint8) for layer in layers])
    return result.clip(0, 255).astype(np.uint8), masks


def read_background(path: Path, r: np.random.RandomState) -> np.ndarray:
    """Read a random part of the photograph, down to its lower edge: (H,W,3) BGR float32, mirrored or not."""
    pixels: np.ndarray = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR))
    h, w = pixels.shape[:2]
    scale = min(h / HEIGHT, w / WIDTH) * r.uniform(0.9, 1)
    ch, cw = int(HEIGHT * scale), int(WIDTH * scale)
    x = r.randint(w - cw + 1)
    cut = pixels[h - ch :, x : x + cw][:, :: 1 if r.rand() < 0.5 else -1]
    return cv2.resize(cut, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)


def read_stamp(
    path: Path, metres: float, widest: float, r: np.random.RandomState
) -> tuple[np.ndarray, float]:
    """Read a stamp cut to its object, (h,w,4) BGR premultiplied by alpha, and its distance; all in [0,1]."""
    pixels: np.ndarray = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    rows, columns = (np.flatnonzero((pixels[..., 3] > 127).any(axis)) for axis in (1, 0))
    cut = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    solid = cut[..., 3:] / 255
    pixels = np.dstack([cut[..., :3] * solid, solid])  # premultiplied: hidden colours do not bleed in
    height = HEIGHT * min(0.6, 0.48 * metres**0.5) * r.uniform(0.95, 1.1)
    scale = min(height / pixels.shape[0], widest / pixels.shape[1])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 0.6)
    alpha = np.clip(pixels[..., 3:] * 1.5 - 0.5, 0, 1)  # drop the outermost half pixel, often bright
    alpha[-5:] *= np.linspace(1, 0.2, 5, dtype=np.float32)[:, None, None]  # it sinks in a little
    pixels = pixels / np.maximum(pixels[..., 3:], 1e-3) * alpha
    # large objects stand farther away: from 500 to 60 pixels per metre
    distance = 1 - np.log(size[1] / metres / 60) / np.log(500 / 60)
    return pixels, float(np.clip(distance, 0, 1))


if __name__ == "__main__":
    run_command(main)
