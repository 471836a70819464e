"""Writes a page that shows a run's results: one HTML file without script, and small pictures beside it."""

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from urllib.parse import quote

from gconet.applications.desk import MAP, PICTURE, Desk
from gconet.applications.doubts import KINDS
from gconet.data.groups import Group
from gconet.errors import counted
from gconet.evaluation import Scores
from gconet.files import write_file

TEMPLATE = Path(__file__).with_name("page.html")
FACTS = {"j_half": "J", "p_half": "P", "s_measure": "S", "mae": "MAE"}  # what a card shows of its scores


def write_page(
    output: Path,
    groups: Sequence[Group],
    files: Mapping[Path, Mapping[str, Path]],
    desk: Desk,
    *,
    title: str,
    scores: Scores | None = None,
    doubts: Mapping[Path, Sequence[str]] | None = None,
) -> Path:
    """Write <output>/index.html: the doubtful pictures, then the groups, each with the worst score first.

    `files`: picture → kind of small picture, in the order to show → full-size file. `doubts`: picture → why
    it should be checked. Returns the page's path; raises OSError.
    """
    parts: dict[str | None, list[tuple[float, str]]] = {None: []}  # group → J and card; None: those to check
    for group in sorted(groups, key=lambda group: group.name):
        scored = scores.groups[group.name].per_image if scores and group.name in scores.groups else {}
        for item in group.items:
            small = {kind: link_to(desk.path(item.image, kind), output) for kind in files[item.image]}
            shown = {kind: (link_to(file, output), small[kind]) for kind, file in files[item.image].items()}
            figures, check = scored.get(item.stem, {}), (doubts or {}).get(item.image, ())
            card = draw_card(f"{group.name}/{item.stem}", shown, figures, check)
            parts.setdefault(None if check else group.name, []).append((figures.get("j_half", 1.0), card))
    sections, contents = [], []
    for number, (name, cards) in enumerate((name, cards) for name, cards in parts.items() if cards):
        text = "To check" if name is None else html.escape(name)
        drawn = "\n".join(card for _, card in sorted(cards, key=lambda pair: pair[0]))
        sections.append(
            f'<section id="g{number}"><h2>{text}<small>{counted(len(cards), "picture")}</small></h2>\n'
            f'<div class="cards">\n{drawn}\n</div></section>'
        )
        contents.append(f'<a href="#g{number}">{text} <small>{len(cards)}</small></a>')
    number = sum(map(len, parts.values()))
    summary = f"{counted(number, 'picture')} in {counted(len(groups), 'group')}"
    if scores:
        summary += f", mean J {scores.figures['j_half']:.2f}"
    page = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title), summary=summary, contents="".join(contents), sections="\n".join(sections)
    )
    path = output / "index.html"
    write_file(path, page)
    return path


def draw_card(
    name: str, shown: Mapping[str, tuple[str, str]], figures: Mapping[str, float], doubts: Sequence[str]
) -> str:
    """Render one picture; escapes its name, so that it cannot become markup. `shown`: kind → links to the
    full-size file and the small picture."""
    name = html.escape(name)
    drawn = [
        f'<a href="{file}">{show(small, f"{kind}: {name}")}<span>{kind}</span></a>'
        for kind, (file, small) in shown.items()
    ]
    if MAP in shown and "cut-out" not in shown:  # what the map lets through
        both = show(shown[PICTURE][1], "") + show(shown[MAP][1], f"object: {name}")
        drawn.append(f'<div class="shown">{both}<span>object</span></div>')
    facts = " · ".join(f"{word} {figures[key]:.2f}" for key, word in FACTS.items() if key in figures)
    check = "".join(f'<p class="doubt"><b>{doubt}</b>: {KINDS[doubt]}</p>' for doubt in doubts)
    return (
        f'<article><div class="panels">{"".join(drawn)}</div><div class="words"><h3>{name}</h3>'
        f'<p class="facts">{facts}</p>{check}</div></article>'
    )


def show(source: str, text: str) -> str:
    """Render a small picture, which loads when it is scrolled to."""
    return f'<img src="{source}" alt="{text}" loading="lazy" decoding="async">'


def link_to(target: Path, folder: Path) -> str:
    """A relative link from a page in `folder`, with every name percent-encoded."""
    try:
        parts = Path(os.path.relpath(target, folder)).parts
    except ValueError:  # on another Windows drive
        return target.resolve().as_uri()
    return "/".join(quote(part, safe="", errors="surrogateescape") for part in parts)
