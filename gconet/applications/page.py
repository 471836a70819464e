"""A page to look at a run's results: one `index.html`, small previews beside it, no network.

Every image is one strip of panels (the picture, its map, …), so that a page of thousands loads a
small file for each, and only when it is scrolled to.
"""

import html
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from string import Template
from urllib.parse import quote

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from gconet.applications.figures import RGB, overlay
from gconet.data.groups import Group, Item
from gconet.data.images import load_image, load_map, load_mask
from gconet.errors import ConfigError, counted
from gconet.evaluation import Scores

HEIGHT = 150  # pixels of a preview
WIDEST = 300  # pixels of one panel
WHITE, CYAN = (255, 255, 255), (0, 255, 255)  # outlines; the overlay's own colours have no cyan
PREVIEWS = ".previews"  # hidden, so that a folder of maps stays one
GENERATOR = b'<meta name="generator" content="gconet">'  # marks a page as ours
TEMPLATE = Path(__file__).with_name("page.html")


@dataclass(frozen=True)
class Entry:
    """One image of a page."""

    name: str
    panels: Callable[[], Sequence[RGB]]  # pictures (H,W,3) of any sizes, shown side by side
    link: Path  # the file that a click opens
    score: float | None = None  # in [0,1], higher is better
    note: str = ""  # below the picture


def write_maps_page(
    output: Path,
    groups: Sequence[Group],
    scores: Scores | None = None,
    doubts: Mapping[Path, Sequence[str]] | None = None,
) -> Path:
    """The page of `test.py`: picture, map, overlay and, if it was scored, the masks outlined.

    `output` holds the maps as <group>/<stem>.png; `scores` adds the Jaccard index at 0.5 of every
    image. `doubts`: what is doubtful about a picture's map, by picture. Returns the path of the page.
    """

    j = jaccard(scores, [group.name for group in groups])

    def entry(group: Group, item: Item) -> Entry:
        link, score = output / group.name / f"{item.stem}.png", j.get((group.name, item.stem))
        masks = (None, None) if score is None else (item.mask, item.distractors)
        panels = partial(map_panels, item.image, link, *masks)
        return Entry(item.stem, panels, link, score, ", ".join((doubts or {}).get(item.image, ())))

    entries = {group.name: [entry(group, item) for item in group.items] for group in groups}
    legend = "Picture, co-saliency map, overlay"
    if scores:
        legend += " with the mask's outline in white"
        legend += ", that of the distractors in cyan" if scores.distractors else ""
    return write_page(output, entries, title=f"Co-saliency maps: {output.resolve().name}", legend=legend)


def jaccard(scores: Scores | None, groups: Sequence[str]) -> dict[tuple[str, str], float]:
    """(group, stem) → Jaccard index at 0.5 of each image that has one; `groups` as the images name them."""
    scored = {name: group.per_image for name, group in scores.groups.items()} if scores else {}
    if len(scored) == len(groups) == 1:  # a single group's masks may have another name
        scored = {groups[0]: next(iter(scored.values()))}
    return {(name, stem): own["j_half"] for name, group in scored.items() for stem, own in group.items()}


def map_panels(
    image: Path, map_file: Path, mask: Path | None = None, distractors: Path | None = None
) -> list[RGB]:
    """A picture, its map, and the map's colours over the picture.

    There the mask's outline is white, that of the distractors cyan.
    """
    picture = shrink(np.asarray(load_image(image)))
    size = picture.shape[1], picture.shape[0]
    m = np.asarray(cv2.resize(np.asarray(load_map(map_file)), size, interpolation=cv2.INTER_AREA), np.uint8)
    coloured = overlay(picture, m)
    for path, colour in ((distractors, CYAN), (mask, WHITE)):
        if path is None:
            continue
        truth = cv2.resize(np.asarray(load_mask(path)), size, interpolation=cv2.INTER_AREA)
        outlines, _ = cv2.findContours(
            np.where(truth > 127, 255, 0).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(coloured, outlines, -1, colour, 1)
    return [picture, np.repeat(m[..., None], 3, 2), coloured]


def write_page(output: Path, groups: Mapping[str, Sequence[Entry]], *, title: str, legend: str) -> Path:
    """Write `output`/index.html and its previews; an earlier page is replaced. Returns its path.

    `legend` says what the panels are. Names are escaped: no file name can become markup. Raises
    ConfigError as `check_page` does.
    """
    check_page(output)
    if (output / PREVIEWS).exists():
        shutil.rmtree(output / PREVIEWS)
    (output / PREVIEWS).mkdir(parents=True)
    entries = [(group, entry) for group, members in groups.items() for entry in members]
    files = [Path(PREVIEWS) / f"{i:06d}.jpg" for i in range(len(entries))]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = pool.map(
            lambda job: write_strip(output / job[0], job[1][1].panels()), zip(files, entries, strict=True)
        )
        sizes = list(tqdm(jobs, desc="page", total=len(entries), unit="image", disable=None))

    figures: dict[str, list[str]] = {group: [] for group in groups}
    for place, ((group, entry), file, (width, height)) in enumerate(zip(entries, files, sizes, strict=True)):
        name, score = html.escape(entry.name), "" if entry.score is None else f" · J {entry.score:.2f}"
        note = f" · <strong>{html.escape(entry.note)}</strong>" if entry.note else ""
        figures[group].append(
            f'<figure data-place="{place}" data-score="{1 if entry.score is None else entry.score:.4f}">'
            f'<a href="{link_to(entry.link, output)}">'
            f'<img src="{link_to(output / file, output)}" width="{width}" height="{height}" loading="lazy" '
            f'decoding="async" alt="{html.escape(legend)}: {html.escape(group)}, {name}"></a>'
            f"<figcaption>{name}{score}{note}</figcaption></figure>"
        )
    scored = any(entry.score is not None for _, entry in entries)
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        summary=f"{counted(len(entries), 'picture')} in {counted(len(groups), 'group')}. "
        + f"{html.escape(legend)}."
        + (" J: intersection over union at 0.5." if scored else ""),
        sorter='<button id="sort" type="button" aria-pressed="false">Worst first</button>' if scored else "",
        contents=" ".join(f'<a href="#g{i}">{html.escape(g)}</a>' for i, g in enumerate(groups)),
        groups="\n".join(section(i, g, figures[g], groups[g]) for i, g in enumerate(groups)),
        width=f"{median(width for width, _ in sizes):.0f}px" if sizes else "100%",
    )
    path = output / "index.html"
    path.write_text(page, encoding="utf-8", errors="replace")  # names may hold bytes that are not text
    return path


def check_page(output: Path) -> None:
    """Raise ConfigError if a page in `output` would replace something that is not a page of ours."""
    page = output / "index.html"
    ours = page.is_file() and GENERATOR in page.read_bytes()
    previews = output / PREVIEWS
    if page.exists() and not ours:
        raise ConfigError(f"{page} was not written by gconet; refusing to overwrite it, name another folder")
    # without a page, one that was broken off: it holds nothing but previews
    if (
        previews.exists()
        and not ours
        and not all(re.fullmatch(r"\d{6}\.jpg", p.name) for p in previews.iterdir())
    ):
        raise ConfigError(f"{previews} holds files that gconet did not write; name another folder")


def section(number: int, group: str, figures: Sequence[str], entries: Sequence[Entry]) -> str:
    """One group as HTML."""
    scores = [entry.score for entry in entries if entry.score is not None]
    mean = sum(scores) / len(scores) if scores else 1.0
    told = f", mean J {mean:.2f}" if scores else ""
    return (
        f'<section id="g{number}" data-place="{number}" data-score="{mean:.4f}">'
        f"<h2>{html.escape(group)} ({len(figures)}{told})</h2>\n"
        f'<div class="images">{"".join(figures)}</div></section>'
    )


def link_to(target: Path, folder: Path) -> str:
    """A relative link from a page in `folder`, every character of the names percent-encoded."""
    parts = Path(os.path.relpath(target, folder)).parts
    return "/".join(quote(part, safe="", errors="surrogateescape") for part in parts)


def shrink(picture: RGB) -> RGB:
    """`picture` (H,W,3) no larger than a panel."""
    h, w = picture.shape[:2]
    scale = min(HEIGHT / h, WIDEST / w, 1)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def write_strip(path: Path, panels: Sequence[RGB]) -> tuple[int, int]:
    """Save the panels side by side as a small JPEG, more than three in two rows; returns (width, height)."""
    small = [shrink(panel) for panel in panels]
    half = -(-len(small) // 2) if len(small) > 3 else len(small)
    rows = [row for row in (small[:half], small[half:]) if row]
    heights = [max(panel.shape[0] for panel in row) for row in rows]
    width = max(sum(panel.shape[1] for panel in row) for row in rows)
    strip = np.zeros((sum(heights), width, 3), np.uint8)
    for row, top in zip(rows, (0, heights[0]), strict=False):
        left = 0
        for panel in row:
            strip[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
            left += panel.shape[1]
    Image.fromarray(strip).save(path, quality=80)
    return strip.shape[1], strip.shape[0]
