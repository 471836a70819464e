"""The page of a run: complete, escaped, small, without network; and `gconet view`, which serves it."""

import base64
import contextlib
import hashlib
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from gconet.applications.imaging import fit
from gconet.applications.page import Entry, write_maps_page, write_page
from gconet.applications.previews import LEVELS, PANEL, highlight, jaccard_curve, map_panels, write_strip
from gconet.applications.server import make_server
from gconet.data.groups import Group, Item, scan_groups
from gconet.errors import ConfigError
from gconet.evaluation import score_folders

from .conftest import ROOT

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
        "button", "label", "input", "span", "output", "select", "dialog",
        "svg", "filter", "fecomponenttransfer", "fecolormatrix", "fefuncr", "fefuncg", "fefuncb", "fefunca",
    }  # fmt: skip
    images = [image for image in tags.of("img") if "src" in image]
    links, figures = [a["href"] for a in tags.of("a") if not a["href"].startswith("#")], tags.of("figure")
    # the map around the strip, then the original and the map
    assert len(images) == len(figures) == len(links) / 3 == len(HOSTILE)
    assert links[0::3] == links[2::3] == [figure["data-map"] for figure in figures]
    others = [figure[of] for figure in figures for of in ("data-large", "data-map")]
    assert all(a["data-name"] == readable(i.stem) for a, i in zip(figures, groups[0].items, strict=True))
    assert tags.of("section")[0]["data-name"] == groups[0].name
    for link in [*links, *others, *(image["src"] for image in images)]:
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
    text = page.read_text()
    assert "default-src 'none'" in text and "unsafe" not in text
    for kind in ("style", "script"):  # only these very ones may run
        own = text.split(f"<{kind}>")[1].split(f"</{kind}>")[0].encode()
        digest = base64.b64encode(hashlib.sha256(own).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in text


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
    assert sum(button["id"] == "sort" for button in tags.of("button")) == 1
    assert len(tags.of("figure")) == 12
    for figure, (group, item) in zip(
        tags.of("figure"), [(g, i) for g in groups for i in g.items], strict=True
    ):
        j = scores.groups[group.name].per_image[item.stem]["j_half"]
        assert float(figure["data-score"]) == pytest.approx(j, abs=1e-4)
        curve = [int(level) / 1000 for level in figure["data-j"].split()]
        assert curve[list(LEVELS).index(128)] == pytest.approx(j, abs=6e-4)
    again = score_folders(tmp_path, toy / "gts/toy")  # the page does not get into the maps' way
    assert again.figures == scores.figures


def test_panels_of_pictures_of_any_size(tmp_path):
    for size in ((1, 1), (1, 900), (900, 1), (3000, 20)):
        image, m = picture(tmp_path / "a.png", size), picture(tmp_path / "b.png", size, "L")
        panels = map_panels(image, m, m)
        assert len(panels) == 3 and max(panels[0].shape[:2]) == min(max(size), 900)
        assert len({fit(panel, *PANEL).shape for panel in panels}) == 1
        assert panels[1].shape[0] <= 300 and panels[1].shape[1] <= 600


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


def test_there_is_no_link_to_an_empty_mask_of_distractors(toy, tmp_path):
    gts, others, output = toy / "gts/toy", tmp_path / "others", tmp_path / "out"
    for place in (others, output):
        shutil.copytree(gts, place)
    for path in sorted(others.rglob("*.png"))[1:]:
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    first = sorted(others.rglob("*.png"))[0]
    Image.fromarray(255 - np.asarray(Image.open(first))).save(first)  # all but the object
    groups = scan_groups(toy / "images/toy", gts, distractors=others)
    page = write_maps_page(output, groups, score_folders(output, gts, distractors=others)).read_text()
    assert page.count("<figure") == 12 and page.count(">distractors</a>") == 1


def test_more_than_three_panels_take_two_rows(tmp_path):
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 250)]
    panels = [np.full((40, 60 + 8 * i, 3), colour, np.uint8) for i, colour in enumerate(colours)]
    three, four = (
        write_strip(tmp_path / f"{name}.jpg", p) for name, p in (("three", panels[:3]), ("four", panels))
    )
    assert (three.width, three.height, three.scale) == (60 + 68 + 76, 40, 1)
    assert (four.width, four.height, four.scale) == (76 + 84, 80, 1)
    assert (three.rows, four.rows) == (((60, 68, 76),), ((60, 68), (76, 84)))
    strip = np.asarray(Image.open(tmp_path / "four.jpg")).astype(int)
    for (y, x), colour in zip([(20, 30), (20, 90), (60, 30), (60, 120)], colours, strict=True):
        assert np.abs(strip[y, x] - colour).max() < 12


def test_panels_of_a_row_have_one_height_unless_one_is_very_flat(tmp_path):
    panels = [np.full((240, 320, 3), 200, np.uint8), np.full((300, 300, 3), 200, np.uint8)]
    strip = write_strip(tmp_path / "a.jpg", panels)
    assert (strip.width, strip.height, strip.rows) == (320 + 240, 240, ((320, 240),))
    assert np.asarray(Image.open(tmp_path / "a.jpg")).min() > 190
    strip = write_strip(tmp_path / "b.jpg", [panels[0][:2], panels[1]])
    assert (strip.height, strip.rows) == (150, ((320, 150),))


def test_previews_have_two_pixels_for_each_of_the_page(tmp_path):
    for (h, w), size in (((1200, 1600), (400, 300)), ((1600, 1200), (225, 300)), ((400, 3000), (600, 80))):
        strip = write_strip(tmp_path / "a.jpg", [np.zeros((h, w, 3), np.uint8)])
        assert (strip.width, strip.height, strip.scale) == (*size, 0.5)


def test_the_overlay_is_grey_but_for_the_object_in_magenta():
    r = np.random.RandomState(0)
    picture = r.randint(0, 256, (40, 60, 3)).astype(np.uint8)
    m = np.zeros((40, 60), np.uint8)
    m[:, 30:] = 255
    shown = highlight(picture, m).astype(int)
    assert (np.ptp(shown[:, :30], axis=2) == 0).all()  # whatever the picture's colours
    assert (shown[:, 30:, 0] - shown[:, 30:, 1]).min() > 140


def test_the_curve_is_the_jaccard_index_at_each_threshold():
    r = np.random.RandomState(1)
    m, mask = r.randint(0, 256, (2, 37, 53)).astype(np.uint8)
    for level, j in zip(LEVELS, jaccard_curve(m, mask), strict=True):
        a, b = m >= level, mask >= 128
        assert j == (a & b).sum() / (a | b).sum()


def test_doubts_are_shown_counted_and_escaped(tmp_path):
    def entry(name, level, *doubts):
        file = picture(tmp_path / f"{name}.png", mode="L")
        Image.new("L", (60, 40), level).save(file)
        return Entry(name, lambda: [np.zeros((40, 60, 3), np.uint8)], file, None, doubts, {"map": file})

    entries = [entry("a", 200), entry("b", 100, "<b>odd", "empty map"), entry("c", 128, "one", "two")]
    tags = Tags(write_page(tmp_path, {"g": entries}, title="t", legend="l"))
    assert ["data-doubt" in figure for figure in tags.of("figure")] == [False, True, True]
    assert "b · <b>odd · empty map" in tags.text and "c · one · two" in tags.text
    assert "Check these (2)" in tags.text and not tags.of("b")
    tags = Tags(write_page(tmp_path, {"g": entries[:1]}, title="t", legend="l"))
    assert not any(button["id"] == "check" for button in tags.of("button"))


def test_panels_have_headings(tmp_path):
    def page(*widths):
        panels = [np.zeros((40, width, 3), np.uint8) for width in widths]
        entry = Entry("a", lambda: panels, picture(tmp_path / "a.png"))
        headings = ("picture", "<map>", "cut-out", "background")
        page = write_page(tmp_path, {"g": [entry]}, title="t", legend="l", headings=headings)
        return [div for div in Tags(page).of("div") if div.get("class") == "heads"], page.read_text()

    heads, text = page(60, 60, 60)
    assert len(heads) == 1 and "data-columns" not in heads[0]
    assert "<span>picture</span><span>&lt;map&gt;</span><span>cut-out</span></div><a " in text
    heads, text = page(60, 70, 60, 60)  # two rows, the second one shorter than the strip
    assert [row["data-columns"] for row in heads] == ["60 70", "60 60 10"]
    assert "<span>cut-out</span><span>background</span></div></div>" in text


def test_maps_outside_the_folder_get_previews_inside(tmp_path):
    m = np.random.RandomState(0).randint(0, 256, (300, 1800)).astype(np.uint8)
    Image.fromarray(m).save(tmp_path / "m.png")
    Image.fromarray(m[:50, :50]).save(tmp_path / "small.png")
    entries = [
        Entry(name, lambda: [np.zeros((1800, 300, 3), np.uint8)], tmp_path, files={"map": tmp_path / name})
        for name in ("m.png", "small.png")
    ]
    output = tmp_path / "out"
    figures = Tags(write_page(output, {"g": entries}, title="t", legend="l")).of("figure")
    assert [f["data-map"] for f in figures] == [f".previews/00000{i}-map.png" for i in (0, 1)]
    assert Image.open(output / figures[0]["data-map"]).size == (900, 150)
    assert np.array_equal(np.asarray(Image.open(output / figures[1]["data-map"])), m[:50, :50])
    assert Image.open(output / figures[0]["data-large"]).size == (150, 900)


# --- gconet view ---


@pytest.fixture
def ask(tmp_path):
    """Ask a server of tmp_path/out, which holds a page, for a path; returns (status, headers, body)."""
    output = tmp_path / "out"
    names = ["a b#?.png", "caf\udce9.png"]
    link = picture(output / "g" / names[0])
    shutil.copy(link, output / "g" / names[1])
    write_page(
        output, {"g": [Entry("a", lambda: [np.zeros((9, 9, 3), np.uint8)], link)]}, title="t", legend="l"
    )
    (tmp_path / "secret.png").write_text("secret")
    (output / "out.png").symlink_to("../secret.png")
    (output / "up").symlink_to("..")
    (output / "in.png").symlink_to(link)
    (output / "g/evil.html").write_text("<script>")
    with make_server(output) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()

        def ask(path, method="GET", host=None):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            connection.putrequest(method, path, skip_host=True)
            connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

        yield ask
        server.shutdown()


def test_view_serves_the_files_of_its_folder(ask, tmp_path):
    page = (tmp_path / "out/index.html").read_bytes()
    for path in ("/", "/index.html", "/index.html?a=b"):
        status, headers, body = ask(path)
        assert (status, body, headers["Content-Type"]) == (200, page, "text/html; charset=utf-8")
    for path in ("/g/a%20b%23%3F.png", "/g/caf%E9.png", "/in.png"):
        status, headers, body = ask(path)
        assert status == 200 and body.startswith(b"\x89PNG") and headers["Content-Type"] == "image/png"
        assert headers["X-Content-Type-Options"] == "nosniff"
        status, headers, nothing = ask(path, "HEAD")
        assert status == 200 and int(headers["Content-Length"]) == len(body) and nothing == b""
    assert ask("/.previews/000000.jpg")[1]["Content-Type"] == "image/jpeg"
    assert ask("/g/evil.html")[1]["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    "path",
    ["/../secret.png", "/g/../../secret.png", "/%2e%2e/secret.png", "/..%2fsecret.png", "//etc/passwd",
     "/%2fetc/passwd", "/out.png", "/up/secret.png", "/g", "/g/", "/up/",
     "/.previews/", "/none.png", "/%00", "/" + 300 * "a"],
)  # fmt: skip
def test_view_serves_nothing_else(ask, path):
    status, _, body = ask(path)
    assert status == 404 and b"secret" not in body and b"root:" not in body and b"a b#" not in body


def test_view_refuses_other_methods_and_names(ask):
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask("/index.html", method)[0] == 501
    status, _, body = ask("/", host="evil.example")  # a name of another site that leads to this address
    assert status == 403 and b"figure" not in body


def test_the_view_command(run, ask, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "gconet", "view", tmp_path / "out", "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        # a shell's background job ignores Ctrl-C, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process, contextlib.ExitStack() as stack:  # fmt: skip
        stack.callback(process.kill)  # if anything fails, or it would be waited for
        assert "until you press Ctrl-C" in process.stdout.readline()
        host, port = re.fullmatch(r"http://([\d.]+):(\d+)/\n", process.stdout.readline()).groups()
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        taken = run("gconet/__main__.py", "view", tmp_path / "out", "--port", port, status=2)
        assert f"error: --port {port} cannot be used" in taken.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130 and process.stderr.read() == "interrupted\n"
    done = run("gconet/__main__.py", "view", tmp_path, status=2)
    assert (
        done.stderr
        == f"error: {tmp_path} has no index.html; give the --output of gconet maps, cutouts or thumbnails\n"
    )
