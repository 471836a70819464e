"""Writes a page to view a run's results and choose among them: `index.html` and previews, no network.

In its list every image is one strip of panels (the picture, its map, …), so a page of thousands
loads one small file for each, and only when it is scrolled to. Style and script have their own files.
"""

import html
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from gconet.applications.doubts import KINDS
from gconet.applications.imaging import RGB
from gconet.applications.jobs import Job, make_jobs, run_jobs
from gconet.applications.markup import MAP, TRUTH, Entry, digest, draw_figure, draw_section, link_to
from gconet.applications.outputs import MAPS, PREVIEWS, check_page
from gconet.applications.previews import LEVELS, jaccard_curve, map_panels, write_large, write_strip
from gconet.data.groups import Group
from gconet.data.images import load_map, load_mask
from gconet.errors import counted
from gconet.evaluation import Scores
from gconet.evaluation.histogram import HALF

TEMPLATE = Path(__file__).with_name("page.html")


def write_maps_page(
    output: Path,
    groups: Sequence[Group],
    scores: Scores | None = None,
    doubts: Mapping[Path, Sequence[str]] | None = None,
) -> Path:
    """Write the page of `test.py`: picture, map, overlay and, if it was scored, the masks' outlines.

    `output` holds the maps as <group>/<stem>.png; for other arguments see `make_entries`. Returns the path
    of the page.
    """

    def panels(job: Job) -> list[RGB]:
        return map_panels(job.item.image, job.files[MAP], job.item.mask, job.item.distractors)

    entries = make_entries(make_jobs(groups, output, MAPS), MAP, panels, scores, doubts)
    legend = "Picture, co-saliency map, overlay in magenta"
    if scores:
        legend += " with the mask's outline in white"
        legend += ", that of the distractors in cyan" if scores.distractors else ""
    title = f"Co-saliency maps: {output.resolve().name}"
    return write_page(output, entries, title=title, legend=legend, headings=("picture", "map", "overlay"))


def make_entries(
    jobs: Sequence[Job],
    chosen: str,
    panels: Callable[[Job], Sequence[RGB]],
    scores: Scores | None = None,
    doubts: Mapping[Path, Sequence[str]] | None = None,
) -> dict[str, list[Entry]]:
    """Turn jobs into entries for `write_page`; `chosen`: the kind of result that users choose there.

    `scores` adds the Jaccard index at 0.5 of every image that has one, and its masks. `doubts`: by picture.
    """
    entries: dict[str, list[Entry]] = {job.group: [] for job in jobs}
    scored = {name: group.per_image for name, group in scores.groups.items()} if scores else {}
    if len(scored) == len(entries) == 1:  # a single group's masks may have another name
        scored = dict(zip(entries, scored.values(), strict=True))
    for job in jobs:
        item, own = job.item, scored.get(job.group, {}).get(job.item.stem)
        if own is None:
            item = replace(item, mask=None, distractors=None)
        elif math.isnan(own.get("on_distractors", math.nan)):  # no distractors: their mask is empty
            item = replace(item, distractors=None)
        files = {"original": item.image, MAP: item.map, **job.files}
        files |= {TRUTH: item.mask, "distractors": item.distractors}
        entry = Entry(
            item.stem,
            partial(panels, replace(job, item=item)),
            job.files[chosen],
            None if own is None else own["j_half"],
            (doubts or {}).get(item.image, ()),
            {what: path for what, path in files.items() if path},
        )
        entries[job.group].append(entry)
    return entries


def write_page(
    output: Path,
    groups: Mapping[str, Sequence[Entry]],
    *,
    title: str,
    legend: str = "",
    headings: Sequence[str] = (),
) -> Path:
    """Write `output`/index.html and its previews; an earlier page is replaced. Returns its path.

    `headings` name the panels in a word or two each; `legend` says more, by default the same.
    Names are escaped, so no file name can become markup. Raises ConfigError as `check_page` does.
    """
    legend = legend or ", ".join(headings).capitalize()
    check_page(output)
    if (output / PREVIEWS).exists():
        shutil.rmtree(output / PREVIEWS)
    (output / PREVIEWS).mkdir(parents=True)
    entries = [(group, entry) for group, members in groups.items() for entry in members]

    def work(one: tuple[int, tuple[str, Entry]]) -> str:
        return make_figure(output, one[0], *one[1], legend, headings)

    drawn, _ = run_jobs(work, list(enumerate(entries)), desc="page", strict=True)
    figures = iter([figure for _, figure in drawn])
    sections = [
        draw_section(number, group, list(islice(figures, len(members))), members)
        for number, (group, members) in enumerate(groups.items())
    ]
    scored = any(entry.score is not None for _, entry in entries)
    doubtful = sum(bool(entry.doubts) for _, entry in entries)
    found = {doubt for _, entry in entries for doubt in entry.doubts}
    marks = "".join(
        f"<p><strong>{kind}</strong>: {what}.</p>" for kind, what in KINDS.items() if kind in found
    )
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
        marks=f"<details><summary>What the marks mean</summary>{marks}</details>" if marks else "",
        contents=" ".join(f'<a href="#g{i}">{html.escape(g)}</a>' for i, g in enumerate(groups)),
        groups="\n".join(sections),
        levels=f'min="{LEVELS[0]}" max="{LEVELS[-1]}" step="{LEVELS.step}" value="{HALF}"',
    )
    path = output / "index.html"
    path.write_text(page, encoding="utf-8", errors="replace")  # names may hold bytes that are not text
    return path


def make_figure(
    output: Path, place: int, group: str, entry: Entry, legend: str, headings: Sequence[str]
) -> str:
    """Write the previews of an entry; returns it as HTML."""
    stem = output / PREVIEWS / f"{place:06d}"
    small, large = stem.with_suffix(".jpg"), stem.with_name(f"{stem.name}-large.jpg")
    panels = entry.panels()
    strip = write_strip(small, panels)
    write_large(large, panels[0])
    data = {"place": place, "large": link_to(large, output)}
    if file := entry.files.get(MAP):
        m = load_map(file)
        if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(output)):
            file = stem.with_name(f"{stem.name}-map.png")  # `gconet view` shows nothing outside the folder
            write_large(file, np.asarray(m))
        data["map"] = link_to(file, output)
        if TRUTH in entry.files:
            mask = load_mask(entry.files[TRUTH])
            scored = m.resize(mask.size, Image.Resampling.BILINEAR)  # as the scorer does
            curve = jaccard_curve(np.asarray(scored), np.asarray(mask))
            data["j"] = " ".join(f"{1000 * j:.0f}" for j in curve)
    words = headings[: len(panels)]
    about = f"{', '.join(words) or legend}: {group}, {entry.name}"
    return draw_figure(output, entry, small, strip, about, words, **data)
