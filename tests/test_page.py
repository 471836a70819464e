"""The page of a run: one HTML file without script, escaped, worst first, with a link to every file."""

import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

import gconet.applications
from gconet.applications.desk import LARGE, SMALL, Desk
from gconet.applications.doubts import EMPTY, GREY, KINDS, STRAY
from gconet.applications.page import write_page
from gconet.data.groups import Group, Item
from gconet.data.images import load_image
from gconet.evaluation.metrics import score_map
from gconet.evaluation.scores import summarise_groups

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


def picture(path: Path, colour: object = 200, size: tuple[int, int] = (60, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def write(folder: Path, groups: dict[str, list[str]], doubts=None, scores=None, colours=None, kinds=("map",)):
    """A page of pictures that are made here; returns its path and the groups."""
    made = [
        Group(g, tuple(Item(n, picture(folder / g / f"{n}.png", (colours or {}).get(n, 200))) for n in names))
        for g, names in groups.items()
    ]
    desk, files = Desk(folder, made), {}
    for item in (item for group in made for item in group.items):
        for kind in ("picture", *kinds):
            desk.save(item.image, kind, np.asarray(load_image(item.image)))
        files[item.image] = dict.fromkeys(("picture", *kinds), item.image)
    found = {i.image: doubts[i.stem] for g in made for i in g.items if i.stem in (doubts or {})}
    page = write_page(folder, made, files, desk, title="T <1>", scores=scores, doubts=found)
    return page, made


def test_no_name_becomes_markup_and_every_link_leads_to_its_file(tmp_path):
    page, [group] = write(tmp_path, {"g<b>&": [name.replace("/", "_") for name in HOSTILE]})
    tags = Tags(page)
    assert {tag for tag, _ in tags.tags} == {
        "html", "head", "meta", "title", "style", "body", "header", "h1", "p", "nav", "a", "small", "main",
        "section", "h2", "h3", "div", "article", "img", "span",
    }  # fmt: skip
    assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)
    links = [a["href"] for a in tags.of("a") if not a["href"].startswith("#")]
    sources = [image["src"] for image in tags.of("img")]
    assert (len(links), len(sources)) == (2 * len(HOSTILE), 4 * len(HOSTILE))  # the last two: the object
    for link in [*links, *sources]:
        assert re.fullmatch(r"[\w.~%/-]+", link)
        assert (tmp_path / unquote(link, errors="surrogateescape")).is_file()
    names = [f"{group.name}/{item.stem}".encode(errors="backslashreplace") for item in group.items]
    assert all(name.decode() in tags.text for name in names)
    assert all(image["loading"] == "lazy" for image in tags.of("img"))
    # nothing runs and nothing is fetched from a network
    text = write(tmp_path / "plain", {"g": ["a"]})[0].read_text()
    assert "//" not in text and "url(" not in text and "@import" not in text and "<script" not in text
    assert "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'" in text


def test_the_doubtful_come_first_then_the_groups_each_with_the_worst_first(tmp_path):
    r, measured = np.random.RandomState(0), []
    groups = {"h": ["d", "e"], "g": ["a", "b", "c"]}
    for name, stems in groups.items():
        for stem in stems:
            mask = np.zeros((40, 60), np.uint8)
            mask[:20] = 255
            m = np.where(r.rand(40, 60) < r.rand(), mask, 255 - mask).astype(np.uint8)
            measured.append((name, stem, score_map(m, mask)))
    scores = summarise_groups(measured, convention="toolbox")
    page, _ = write(tmp_path, groups, {"b": [STRAY, EMPTY], "e": [GREY]}, scores)
    order = re.findall(r"<h3>\w/(\w)</h3>", page.read_text())
    j = {stem: own["j_half"] for group in scores.groups.values() for stem, own in group.per_image.items()}
    assert order == [*sorted("be", key=j.get), *sorted("ac", key=j.get), "d"]
    text = Tags(page).text
    assert all(f"J {value:.2f} · P" in text for value in j.values()) and "mean J" in text
    assert all(f"{doubt}: {KINDS[doubt]}" in text for doubt in (STRAY, EMPTY, GREY))
    assert re.findall(r'href="#g\d">([\w ]+) <small>(\d)', page.read_text()) == [
        ("To check", "2"), ("g", "2"), ("h", "1"),
    ]  # fmt: skip


def test_small_pictures_have_a_size_for_screens_of_two_pixels_each(tmp_path):
    item = Item("a", picture(tmp_path / "a.png", size=(3000, 1000)))
    desk = Desk(tmp_path, [Group("g", (item,))])
    assert desk.load(item.image).size == (3000, 1000)
    desk.save(item.image, "map", np.zeros((1000, 3000), np.uint8))
    for kind, side in (("picture", LARGE), ("map", SMALL)):
        with Image.open(desk.path(item.image, kind)) as small:
            assert small.size == (side, round(side / 3))
    for size in ((1, 1), (1, 900), (900, 1)):
        desk.save(item.image, "map", np.zeros(size, np.uint8))
        assert load_image(desk.path(item.image, "map")).size == tuple(min(n, SMALL) for n in size[::-1])


def test_three_thousand_pictures_make_a_small_file(tmp_path):
    image = picture(tmp_path / "a.png")
    items = tuple(Item(f"picture {i}", image.with_name(f"{i}.jpg")) for i in range(3000))
    groups = [Group(f"group {i}", items[i : i + 10]) for i in range(0, 3000, 10)]
    files = {item.image: {"picture": image, "map": image} for item in items}
    page = write_page(tmp_path, groups, files, Desk(tmp_path, groups), title="many")
    assert page.stat().st_size < 4e6 and page.read_text().count("<article") == 3000


@pytest.fixture
def opens(monkeypatch):
    """How often Pillow opens each file."""
    counts, plain = Counter(), Image.open

    def count(file, *args, **kwargs):
        counts[Path(file).resolve()] += 1
        return plain(file, *args, **kwargs)

    monkeypatch.setattr(Image, "open", count)
    return counts


@pytest.mark.parametrize("command", ["maps", "cutouts of given maps", "cutouts"])
def test_every_file_is_opened_once(run, checkpoint, toy, tmp_path, opens, command):
    images, gts, out = toy / "images/toy", toy / "gts/toy", tmp_path / "out"
    call = [command.split()[0], images, "--gts", gts, "--output", out]
    call += {"maps": ["--distractors", gts]}.get(command, ["--thumbnails", "--background", "blur"])
    files = dict.fromkeys(gts.rglob("*.png"), 2 if command == "maps" else 1)  # there masks of both kinds
    if "given" in command:
        maps = shutil.copytree(gts, tmp_path / "maps")
        files |= dict.fromkeys(maps.rglob("*.png"), 1)
        run("gconet/__main__.py", *call, "--maps", maps)
    else:
        run("gconet/__main__.py", *call, "--checkpoint", checkpoint, "--device", "cpu")
    files |= dict.fromkeys(images.rglob("*.jpg"), 1)
    assert {path: opens[path.resolve()] for path in files} == files
    assert len(files) == (36 if "given" in command else 24)
    assert not any(path.is_relative_to(out) for path in opens)  # what was just written is not read
    assert (out / "index.html").read_text().count("<article") == 12


def test_what_does_not_fit_on_the_shelf_is_read_again(run, toy, tmp_path, opens, monkeypatch):
    images, gts = toy / "images/toy", toy / "gts/toy"
    call = ["scripts/thumbnails.py", "--images", images, "--maps", gts, "--output"]
    run(*call, tmp_path / "kept")
    assert {opens[p.resolve()] for p in images.rglob("*.jpg")} == {1}
    monkeypatch.setattr(gconet.applications.desk, "ROOM", 5 * 48 * 48 * 4)
    run(*call, tmp_path / "again")
    assert {opens[p.resolve()] for p in images.rglob("*.jpg")} == {2, 3}
    for path in (tmp_path / "kept").rglob("*.jpg"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "kept")).read_bytes()


def test_masks_that_cannot_be_read_leave_their_maps_unscored(run, checkpoint, toy, tmp_path):
    """One of them, then all: every map and cut-out is made, those of readable masks are scored."""
    images, maps, cut = toy / "images/toy", tmp_path / "out", tmp_path / "cut"
    gts = shutil.copytree(toy / "gts/toy", tmp_path / "gts")
    given, more = ["--images", images, "--gts", gts], ["--overwrite"]
    masks = sorted(gts.rglob("*.png"))
    for bad, scored in ((masks[:1], 11), (masks, 0)):
        for path in bad:
            path.write_bytes(b"x")
        done = run("test.py", *given, "--checkpoint", checkpoint, "--output", maps, *more, status=1)
        assert f"skipped: {bad[0]}" in done.stderr and ("max E" in done.stdout) == (scored > 0)
        page = (maps / "index.html").read_text()
        assert page.count("<article") == 12 and page.count("<span>mask</span>") == scored
        call = ["scripts/cosegment.py", *given, "--maps", maps, "--output", cut, *more]
        done = run(*call, status=1)
        assert "12 cut-outs in" in done.stdout and f"skipped: {bad[0]}" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("width", [500, 1400])
def test_the_page_in_a_browser_shows_every_picture_in_cards_of_one_width(tmp_path, width):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("needs Chromium")
    colours = {f"p{i}": (30 * i, 255 - 30 * i, 128) for i in range(8)}
    kinds = ("cut-out", "thumbnail")
    page, _ = write(tmp_path, {"g": [*colours]}, {"p3": [GREY]}, None, colours, kinds)
    options = "--headless --no-sandbox --disable-gpu --hide-scrollbars --disable-background-networking"
    options += f" --virtual-time-budget=5000 --window-size={width},6000 --screenshot={tmp_path / 'shot.png'}"
    command = [chromium, *options.split(), page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    shown = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB")).astype(int)
    boxes = []
    for colour in colours.values():
        own = np.abs(shown - colour).max(2) < 6
        rows, columns = (np.flatnonzero(own.sum(axis) > 100) for axis in (1, 0))
        boxes.append((columns[0], columns[-1], rows[0]))
    lefts, widths = {left for left, _, _ in boxes}, {right - left for left, right, _ in boxes}
    assert len(widths) == 1 and len(lefts) == (1 if width == 500 else 4)  # the columns
    assert len({top for _, _, top in boxes}) == (8 if width == 500 else 3)  # one to check, then two rows
    assert np.argmin([top for _, _, top in boxes]) == 3
