"""A page to look at a run's results and choose from them: one `index.html`, previews beside it, no network.

In its list every image is one strip of panels (the picture, its map, …), so that a page of thousands
loads a small file for each, and only when it is scrolled to. Style and script are files beside this one.
"""

import html
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from gconet.applications.markup import (
    EMPTY,
    MAP,
    TRUTH,
    Entry,
    Shown,
    digest,
    draw_figure,
    draw_section,
    link_to,
)
from gconet.applications.previews import LEVELS, jaccard_curve, map_panels, write_large, write_strip
from gconet.data.groups import Group, Item
from gconet.data.images import load_map, load_mask
from gconet.errors import ConfigError, counted
from gconet.evaluation import Scores
from gconet.evaluation.segmentation import HALF
from gconet.progress import progress

PREVIEWS = ".previews"  # hidden, so that a folder of maps stays one
GENERATOR = b'<meta name="generator" content="gconet">'  # marks a page as ours
TEMPLATE = Path(__file__).with_name("page.html")


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
        files = {"original": item.image, MAP: link, TRUTH: masks[0], "distractors": masks[1]}
        return Entry(
            item.stem,
            partial(map_panels, item.image, link, *masks),
            link,
            score,
            (doubts or {}).get(item.image, ()),
            {what: path for what, path in files.items() if path},
        )

    entries = {group.name: [entry(group, item) for item in group.items] for group in groups}
    legend = "Picture, co-saliency map, overlay in magenta"
    if scores:
        legend += " with the mask's outline in white"
        legend += ", that of the distractors in cyan" if scores.distractors else ""
    title = f"Co-saliency maps: {output.resolve().name}"
    return write_page(output, entries, title=title, legend=legend, headings=("picture", "map", "overlay"))


def jaccard(scores: Scores | None, groups: Sequence[str]) -> dict[tuple[str, str], float]:
    """(group, stem) → Jaccard index at 0.5 of each image that has one; `groups` as the images name them."""
    scored = {name: group.per_image for name, group in scores.groups.items()} if scores else {}
    if len(scored) == len(groups) == 1:  # a single group's masks may have another name
        scored = {groups[0]: next(iter(scored.values()))}
    return {(name, stem): own["j_half"] for name, group in scored.items() for stem, own in group.items()}


def write_page(
    output: Path,
    groups: Mapping[str, Sequence[Entry]],
    *,
    title: str,
    legend: str,
    headings: Sequence[str] = (),
) -> Path:
    """Write `output`/index.html and its previews; an earlier page is replaced. Returns its path.

    `legend` says what the panels are, `headings` in a word or two each. Names are escaped: no file name
    can become markup. Raises ConfigError as `check_page` does.
    """
    check_page(output)
    if (output / PREVIEWS).exists():
        shutil.rmtree(output / PREVIEWS)
    (output / PREVIEWS).mkdir(parents=True)
    entries = [(group, entry) for group, members in groups.items() for entry in members]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = pool.map(lambda job: prepare(output, job[0], job[1][1]), enumerate(entries))
        shown = list(progress(jobs, "page", len(entries), unit="image"))

    figures: dict[str, list[str]] = {group: [] for group in groups}
    for place, ((group, entry), own) in enumerate(zip(entries, shown, strict=True)):
        words = headings[: sum(map(len, own.strip.rows))]
        about = f"{', '.join(words) or legend}: {group}, {entry.name}"
        figures[group].append(draw_figure(output, place, entry, own, about, words))
    scored = any(entry.score is not None for _, entry in entries)
    doubtful = sum(bool(own.doubts) for own in shown)
    check = f'<button id="check" type="button" aria-pressed="false">Check these ({doubtful})</button>'
    style, script = (TEMPLATE.with_suffix(end).read_text(encoding="utf-8") for end in (".css", ".js"))
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        style=style,
        script=script,
        style_hash=digest(style),
        script_hash=digest(script),
        summary=f"{counted(len(entries), 'picture')} in {counted(len(groups), 'group')}. "
        + f"{html.escape(legend)}."
        + (" J: intersection over union at 0.5." if scored else ""),
        sorter='<button id="sort" type="button" aria-pressed="false">Worst first</button>' if scored else "",
        checker=check if doubtful else "",
        contents=" ".join(f'<a href="#g{i}">{html.escape(g)}</a>' for i, g in enumerate(groups)),
        groups="\n".join(draw_section(i, g, figures[g], groups[g]) for i, g in enumerate(groups)),
        levels=f'min="{LEVELS[0]}" max="{LEVELS[-1]}" step="{LEVELS.step}" value="{HALF}"',
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
        and not all(re.fullmatch(r"\d{6}(|-large|-map)\.(jpg|png)", p.name) for p in previews.iterdir())
    ):
        raise ConfigError(f"{previews} holds files that gconet did not write; name another folder")


def prepare(output: Path, number: int, entry: Entry) -> Shown:
    """Write the previews of an entry, and measure its map."""
    stem = output / PREVIEWS / f"{number:06d}"
    strip, large = stem.with_suffix(".jpg"), stem.with_name(f"{stem.name}-large.jpg")
    panels = entry.panels()
    size = write_strip(strip, panels)
    write_large(large, panels[0])
    links = link_to(strip, output), link_to(large, output)
    if MAP not in entry.files:
        return Shown(size, *links, doubts=entry.doubts)
    m, file = np.asarray(load_map(entry.files[MAP])), entry.files[MAP]
    if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(output)):
        file = stem.with_name(f"{stem.name}-map.png")  # `gconet view` shows nothing outside the folder
        write_large(file, m)
    truth = entry.files.get(TRUTH)
    curve: Sequence[float] = ()
    if truth:
        mask = load_mask(truth)
        scored = Image.fromarray(m)
        if scored.size != mask.size:  # as the scorer does
            scored = scored.resize(mask.size, Image.Resampling.BILINEAR)
        curve = jaccard_curve(np.asarray(scored), np.asarray(mask))
    doubts = list(entry.doubts)
    if m.max() < HALF and EMPTY not in doubts:
        doubts.append(EMPTY)
    return Shown(size, *links, link_to(file, output), curve, doubts)
