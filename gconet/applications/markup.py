"""Renders the images of a page as HTML; escapes every name, so that none can become markup."""

import base64
import hashlib
import html
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from gconet.applications.doubts import EMPTY, KINDS, STRAY
from gconet.applications.imaging import RGB
from gconet.applications.previews import Strip

MAP, TRUTH = "map", "ground truth"  # keys of `Entry.files`
REJECTED = {STRAY, EMPTY}  # an image with these doubts is not ticked at first


@dataclass(frozen=True)
class Entry:
    """One image of a page."""

    name: str
    # pictures (H,W,3) of any sizes, shown side by side; the light-box shows the first one
    panels: Callable[[], Sequence[RGB]]
    link: Path  # the result, in the page's folder: saved if the picture is chosen
    score: float | None = None  # in [0,1], higher is better
    doubts: Sequence[str] = ()  # why a person should look at it
    # kind → file to link to; the light-box thresholds the `MAP` and compares it with the `TRUTH`
    files: Mapping[str, Path] = field(default_factory=dict)


def draw_figure(
    output: Path, entry: Entry, small: Path, strip: Strip, about: str, headings: Sequence[str], **data: object
) -> str:
    """Render one entry as HTML: its `strip`, in the file `small`, and `data`, which page.js reads.

    `about` describes the picture to those who cannot see it.
    """
    name, score = html.escape(entry.name), 1 if entry.score is None else entry.score
    values = "".join(f' data-{key}="{value}"' for key, value in data.items())
    values += " data-doubt" if entry.doubts else ""
    above, below = "", ""
    for row in strip.rows:  # the headings of a second row are below it
        words, headings = headings[: len(row)], headings[len(row) :]
        drawn = _draw_headings(strip.width, row, words)
        above, below = (above, drawn) if above else (drawn, "")
    caption = [name, *([] if entry.score is None else [f"J {entry.score:.2f}"])]
    caption += [
        f'<strong title="{KINDS.get(doubt, "")}">{html.escape(doubt)}</strong>' for doubt in entry.doubts
    ]
    ticked = "" if REJECTED.intersection(entry.doubts) else " checked"
    links = [
        f'<a href="{link_to(path, output)}">{html.escape(what)}</a>' for what, path in entry.files.items()
    ]
    return (
        f'<figure data-score="{score:.4f}" data-name="{name}"{values}><div class="strip">{above}'
        f'<a href="{link_to(entry.link, output)}" aria-haspopup="dialog">'
        f'<img src="{link_to(small, output)}" width="{max(1, round(strip.width * strip.scale))}" '
        f'height="{max(1, round(strip.height * strip.scale))}" loading="lazy" decoding="async" '
        f'alt="{html.escape(about)}"></a>{below}</div>'
        f'<figcaption><label><input type="checkbox"{ticked}> {" · ".join(caption)}</label>'
        f'<span class="files">{" ".join(links)}</span></figcaption></figure>'
    )


def _draw_headings(width: int, row: Sequence[int], words: Sequence[str]) -> str:
    """Render the headings of panels with the widths in `row`, in a strip of that `width`."""
    if not words:
        return ""
    columns = [*row, *[width - sum(row)] * (width > sum(row))]
    equal = "" if len(set(columns)) == 1 else f' data-columns="{" ".join(map(str, columns))}"'
    spans = "".join(f"<span>{html.escape(word)}</span>" for word in words)
    return f'<div class="heads" aria-hidden="true"{equal}>{spans}</div>'


def draw_section(number: int, group: str, figures: Sequence[str], entries: Sequence[Entry]) -> str:
    """Render one group as HTML."""
    scores = [entry.score for entry in entries if entry.score is not None]
    mean = sum(scores) / len(scores) if scores else 1.0
    average = f", mean J {mean:.2f}" if scores else ""
    return (
        f'<section id="g{number}" data-place="{number}" data-score="{mean:.4f}" '
        f'data-name="{html.escape(group)}"><h2>{html.escape(group)} ({len(figures)}{average})</h2>\n'
        f'<div class="images">{"".join(figures)}</div></section>'
    )


def link_to(target: Path, folder: Path) -> str:
    """A relative link from a page in `folder`, with every name percent-encoded."""
    try:
        parts = Path(os.path.relpath(target, folder)).parts
    except ValueError:  # on another Windows drive
        return target.resolve().as_uri()
    return "/".join(quote(part, safe="", errors="surrogateescape") for part in parts)


def digest(text: str) -> str:
    """Return the Content-Security-Policy source that allows this style or script and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
