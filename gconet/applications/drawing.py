"""Draws the paper's kinds of figures: overlays, comparisons, heat maps of similarity."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from gconet.applications.desk import Desk
from gconet.applications.imaging import RGB, fit
from gconet.applications.jobs import Job, save_jpeg
from gconet.data.groups import scan_groups
from gconet.data.images import load_image, load_map
from gconet.errors import DataError, one_line
from gconet.opencv import cv2

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Matrix = npt.NDArray[np.floating]

PANEL = 300, 600  # largest height and width of a picture in a grid, in pixels
CELL = 28  # pixels per value in a heat map
# tried in turn until one has all letters: Linux, macOS, Windows; then for Chinese, Japanese and Korean
FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf", "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc", "PingFang.ttc", "msyh.ttc", "malgun.ttf",
)  # fmt: skip
TEXT = 14  # pixels of a letter's height
GAP = 4  # pixels between the pictures of a grid


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


def pick_rows(images: Path, gts: Path | None, methods: Mapping[str, Path], count: int) -> list[list[Path]]:
    """List the files of the grid's rows: for each of the first `count` pictures of every group, the picture,
    its mask if `gts` is given, and each method's map. Raises DataError for a picture that lacks a map."""
    rows = []
    for same in zip(*(scan_groups(images, gts, folder) for folder in methods.values()), strict=True):
        for items in list(zip(*(group.items for group in same), strict=True))[:count]:
            maps = [item.map for item in items]
            if None in maps:
                folder = list(methods.values())[maps.index(None)]
                raise DataError(f"{items[0].image} has no map in {folder}; make it with test.py")
            rows.append([path for path in (items[0].image, items[0].mask, *maps) if path])
    return rows


def load_row(files: Sequence[Path]) -> list[RGB]:
    """A row of the grid: the picture, then its mask and maps, small."""
    image, *masks = files
    greys = [np.asarray(load_map(path).convert("RGB")) for path in masks]
    return [fit(picture, *PANEL) for picture in (np.asarray(load_image(image)), *greys)]


def draw_grid(rows: Sequence[Sequence[RGB]], titles: Sequence[str], height: int = 120) -> RGB:
    """Figures 6 and 7: a row for each image, its pictures (any sizes) side by side below `titles`. All
    pictures are scaled to `height`; a column is as wide as its widest picture."""
    scaled = [[scale(picture, height) for picture in row] for row in rows]
    widths = [max(picture.width for picture in column) for column in zip(*scaled, strict=True)]
    top = TEXT + 2 * GAP
    size = sum(widths) + GAP * (len(widths) + 1), top + len(rows) * (height + GAP)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    font, titles = legible(titles)
    left = GAP
    for column, (title, width) in enumerate(zip(titles, widths, strict=True)):
        while len(title) > 1 and font.getlength(title) > width:
            title = title[:-2] + "…"
        draw.text((left + (width - font.getlength(title)) / 2, GAP), title, fill="black", font=font)
        for row, pictures in enumerate(scaled):
            place = left + (width - pictures[column].width) // 2, top + row * (height + GAP)
            canvas.paste(pictures[column], place)
        left += width + GAP
    return np.asarray(canvas)


def scale(picture: RGB, height: int) -> Image.Image:
    """`picture` with `height` rows of pixels."""
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    way = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_LINEAR
    return Image.fromarray(cv2.resize(picture, (width, height), interpolation=way))


def draw_matrix(values: Matrix, names: Sequence[str], title: str) -> RGB:
    """A square matrix (G,G) in [0,1] as a heat map with names on the left and their numbers on top."""
    font, (title, *names) = legible([title, *names])
    texts = [f"{name}  {number}" for number, name in enumerate(names, 1)]
    left, top, side = (
        round(max(map(font.getlength, texts))) + 3 * GAP,
        2 * (TEXT + 2 * GAP),
        len(names) * CELL,
    )
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


def legible(texts: Sequence[str]) -> tuple[Font, list[str]]:
    """Choose a font for these texts; return it and them, with codes (\\u732b) for letters that it lacks."""
    fonts: list[Font] = []
    for name in FONTS:
        with suppress(OSError):  # not installed
            fonts.append(ImageFont.truetype(name, TEXT))
    fonts.append(ImageFont.load_default(TEXT))
    texts = [one_line(text) for text in texts]
    font = next((f for f in fonts if all(has_letter(f, letter) for letter in set("".join(texts)))), fonts[0])
    return font, ["".join(c if has_letter(font, c) else ascii(c)[1:-1] for c in text) for text in texts]


def has_letter(font: Font, letter: str) -> bool:
    """Whether `font` draws `letter` as anything but its box for missing letters, or it is a space."""
    box, drawn = (font.getmask(text) for text in ("\U0010fffe", letter))
    return letter.isspace() or (drawn.size, bytes(drawn)) != (box.size, bytes(box))
