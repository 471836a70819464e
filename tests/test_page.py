"""The page of a run: complete, escaped, small, without network."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from gconet.applications.page import map_panels, write_maps_page, write_strip
from gconet.data.groups import Group, Item, scan_groups
from gconet.errors import ConfigError
from gconet.evaluation import score_folders

HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&b #?%41", "emoji \U0001f43c", "-n",
    "javascript:alert(1)", "$title", "new\nline", "caf\udce9",
]  # fmt: skip


class Tags(HTMLParser):
    def __init__(self, page: Path):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def picture(path: Path, size: tuple[int, int] = (60, 40), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 200).save(path)
    return path


@pytest.fixture
def hostile(tmp_path):
    items = []
    for name in HOSTILE:
        stem = name.replace("/", "_")
        picture(tmp_path / "out" / "g<b>&" / f"{stem}.png", mode="L")
        items.append(Item(stem=stem, image=picture(tmp_path / "in" / f"{stem}.jpg"), mask=None))
    return tmp_path / "out", [Group(name="g<b>&", items=tuple(items))]


def test_no_name_becomes_markup_and_every_link_leads_to_its_file(hostile):
    output, groups = hostile
    tags = Tags(write_maps_page(output, groups))
    assert len(tags.of("script")) == 1 and not any("onerror" in a for _, a in tags.tags)
    assert {tag for tag, _ in tags.tags} <= {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "nav", "a", "main",
        "section", "div", "figure", "img", "figcaption", "script",
    }  # fmt: skip
    images, links = tags.of("img"), [a["href"] for a in tags.of("a") if not a["href"].startswith("#")]
    assert len(images) == len(links) == len(HOSTILE)
    for link in [*links, *(image["src"] for image in images)]:
        assert (
            re.fullmatch(r"[\w.~%/-]+", link) and (output / unquote(link, errors="surrogateescape")).is_file()
        )
    for item, image in zip(groups[0].items, images, strict=True):
        assert readable(item.stem) in image["alt"] and image["loading"] == "lazy"
    assert all(readable(item.stem) in tags.text for item in groups[0].items)


def readable(name: str) -> str:
    return name.encode(errors="replace").decode()


def test_only_a_page_of_ours_is_replaced(hostile, tmp_path):
    output, groups = hostile
    page = output / "index.html"
    page.write_text("my home page")
    with pytest.raises(ConfigError, match="index.html was not written by gconet; refusing to overwrite"):
        write_maps_page(output, groups)
    assert page.read_text() == "my home page" and not (output / ".previews").exists()
    page.unlink()
    (output / ".previews").mkdir()
    (output / ".previews/mine.jpg").write_text("mine")
    with pytest.raises(ConfigError, match="previews holds files that gconet did not write"):
        write_maps_page(output, groups)
    (output / ".previews/mine.jpg").rename(output / ".previews/000001.jpg")  # as if broken off
    assert write_maps_page(output, groups).read_bytes() == write_maps_page(output, groups).read_bytes()


def test_nothing_is_fetched_from_a_network(hostile):
    page = write_maps_page(*hostile)
    assert (
        "//"
        not in re.sub(r"^.*Content-Security-Policy.*$", "", page.read_text(), flags=re.M).split("<script>")[0]
    )
    assert "default-src 'none'" in page.read_text()


def test_with_scores_the_worst_can_come_first(toy, tmp_path):
    groups = scan_groups(toy / "images/toy", toy / "gts/toy")
    r = np.random.RandomState(0)
    for group in groups:
        for item in group.items:
            path = tmp_path / group.name / f"{item.stem}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(r.randint(0, 256, (48, 48)).astype(np.uint8)).save(path)
    scores = score_folders(tmp_path, toy / "gts/toy")
    tags = Tags(write_maps_page(tmp_path, groups, scores))
    assert len(tags.of("button")) == 1 and len(tags.of("figure")) == 12
    for figure, (group, item) in zip(
        tags.of("figure"), [(g, i) for g in groups for i in g.items], strict=True
    ):
        j = scores.groups[group.name].per_image[item.stem]["j_half"]
        assert float(figure["data-score"]) == pytest.approx(j, abs=1e-4)
    again = score_folders(tmp_path, toy / "gts/toy")  # the page does not get into the maps' way
    assert again.figures() == scores.figures()


def test_panels_of_pictures_of_any_size(tmp_path):
    for size in ((1, 1), (1, 900), (900, 1), (3000, 20)):
        image, m = picture(tmp_path / "a.png", size), picture(tmp_path / "b.png", size, "L")
        panels = map_panels(image, m, m)
        assert len(panels) == 3 and len({panel.shape for panel in panels}) == 1
        assert panels[0].shape[0] <= 150 and panels[0].shape[1] <= 300


def test_the_masks_are_outlined_each_in_its_colour(tmp_path):
    sides = {"image": np.full((60, 90, 3), 90), "map": np.zeros((60, 90)), "gt": np.zeros((60, 90))}
    sides["others"] = sides["gt"].copy()
    sides["gt"][10:30, 10:40] = sides["others"][35:50, 50:80] = 255
    for name, values in sides.items():
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / f"{name}.png")
    paths = [tmp_path / f"{name}.png" for name in sides]
    *_, coloured = map_panels(*paths)
    assert coloured[10, 20].tolist() == [255, 255, 255] and coloured[35, 60].tolist() == [0, 255, 255]
    *_, plain = map_panels(*paths[:3])
    assert plain[10, 20].tolist() == [255, 255, 255] and plain[35, 60].tolist() == plain[0, 0].tolist()


def test_the_legend_names_the_colours_of_the_outlines(toy, tmp_path):
    gts, output = toy / "gts/toy", tmp_path / "out"
    shutil.copytree(gts, output)
    legends = []
    for others in (None, gts):
        groups = scan_groups(toy / "images/toy", gts, distractors=others)
        scores = score_folders(output, gts, distractors=others)
        legends.append(Tags(write_maps_page(output, groups, scores)).text)
    assert all("the mask's outline in white" in legend for legend in legends)
    assert "cyan" not in legends[0] and "that of the distractors in cyan" in legends[1]


def test_more_than_three_panels_take_two_rows(tmp_path):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 250)]
    panels = [np.full((40, 60 + 8 * i, 3), colour, np.uint8) for i, colour in enumerate(colours)]
    assert write_strip(tmp_path / "three.jpg", panels[:3]) == (60 + 68 + 76, 40)
    assert write_strip(tmp_path / "four.jpg", panels) == (76 + 84, 80)
    strip = np.asarray(Image.open(tmp_path / "four.jpg")).astype(int)
    for (y, x), colour in zip([(20, 30), (20, 90), (60, 30), (60, 120)], colours, strict=True):
        assert np.abs(strip[y, x] - colour).max() < 12
