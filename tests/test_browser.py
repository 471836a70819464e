"""The page in a real browser, by the WebDriver protocol; skipped where chromedriver is not installed."""

import base64
import io
import json
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gconet.applications.page import Entry, write_page
from gconet.applications.previews import map_panels
from gconet.applications.server import make_server

DRIVER = shutil.which("chromedriver")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not DRIVER, reason="needs chromedriver and Chromium")]
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
ENTER, ESCAPE, TAB = "\ue007", "\ue00c", "\ue004"  # WebDriver's codes of the keys
LEFT, RIGHT = "\ue012", "\ue014"
LOADED = "return [...document.images].filter(i => i.complete && i.naturalWidth).length"
ORDER = "return [...document.querySelectorAll('figure')].map(f => +f.dataset.score)"


class Browser:
    """A session of a headless Chromium."""

    def __init__(self, port: int):
        self.base = f"http://127.0.0.1:{port}"
        options = {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": OPTIONS},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        self.base += "/session/" + self.call("/session", capabilities={"alwaysMatch": options})["sessionId"]

    def call(self, path, method="POST", **body):
        data = json.dumps(body).encode() if method == "POST" else None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def emulate(self, command, **parameters):
        self.call("/goog/cdp/execute", cmd=f"Emulation.{command}", params=parameters)

    def open(self, page: Path | str, width=1400, height=900, mobile=False):
        self.emulate(
            "setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        self.call("/se/log", type="browser")  # forget what came before
        self.call("/url", url=page.as_uri() if isinstance(page, Path) else page)

    def ask(self, script):
        return self.call("/execute/sync", script=script, args=[])

    def press(self, selector, key):
        found = self.call("/element", using="css selector", value=selector)
        self.call(f"/element/{next(iter(found.values()))}/value", text=key)

    def ask_until(self, script, wanted):
        assert any(self.ask(script) == wanted or time.sleep(0.05) for _ in range(100)), self.ask(script)

    def keys(self, *keys):
        """Press keys, wherever the focus is."""
        pressed = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.call("/actions", actions=[{"type": "key", "id": "keys", "actions": pressed}])

    def drag(self, *places):
        """Press the mouse's button at the first place and release it at the last one."""
        moves = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0} for x, y in places]
        steps = [
            moves[0],
            {"type": "pointerDown", "button": 0},
            *moves[1:],
            {"type": "pointerUp", "button": 0},
        ]
        self.call("/actions", actions=[{"type": "pointer", "id": "mouse", "actions": steps}])

    def wheel(self, x, y, delta):
        turn = {"type": "scroll", "x": round(x), "y": round(y), "deltaX": 0, "deltaY": delta, "duration": 0}
        self.call("/actions", actions=[{"type": "wheel", "id": "wheel", "actions": [turn]}])

    def place(self, selector):
        """(left, top, width, height) of an element in the window."""
        box = f"const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); "
        return self.ask(box + "return [r.x, r.y, r.width, r.height]")

    def click(self, selector):
        self.ask(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        x, y, width, height = self.place(selector)
        self.drag((x + width / 2, y + height / 2))

    def slide(self, selector, value):
        """Give a range the value, as its user would."""
        self.ask(
            f"const e = document.querySelector({json.dumps(selector)}); e.value = {value}; "
            "e.dispatchEvent(new Event('input', {bubbles: true}))"
        )

    def complaints(self):
        """What the console said: scripts' errors, breaches of the page's policy, missing files."""
        return [entry["message"] for entry in self.call("/se/log", type="browser")]

    def look(self):
        """What is in the window, (H,W,3)."""
        png = base64.b64decode(self.call("/screenshot", method="GET"))
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def browser():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        session = Browser(port)
        yield session
        session.call("", method="DELETE")
    finally:
        driver.terminate()
        driver.wait()


def entry(folder, name, colour, score):
    picture = np.full((90, 120, 3), colour, np.uint8)
    Image.fromarray(picture).save(folder / f"{name}.png")
    return Entry(name, lambda: [picture, picture], folder / f"{name}.png", score)


@pytest.mark.parametrize(("width", "mobile"), [(390, True), (1400, False)])
def test_the_page_shows_fits_and_sorts_by_keyboard(browser, tmp_path, width, mobile):
    output = tmp_path / "a b#?"
    output.mkdir()
    red, green = (200, 30, 30), (30, 180, 30)
    groups = {
        "<b>one</b>": [entry(output, f'"{i}&', red, 0.9 - 0.1 * i) for i in range(3)],
        "two": [entry(output, f"long{'g' * 80}{i}", green, 0.1 + 0.01 * i) for i in range(3)],
    }
    browser.open(write_page(output, groups, title="A title", legend="twice the same"), width, 2500, mobile)
    browser.ask_until(LOADED, 6)
    assert browser.ask("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert all((np.abs(browser.look() - colour).max(2) < 12).mean() > 0.01 for colour in (red, green))
    assert browser.ask(ORDER) == [0.9, 0.8, 0.7, 0.1, 0.11, 0.12]
    browser.press("#sort", ENTER)
    assert browser.ask(ORDER) == [0.1, 0.11, 0.12, 0.7, 0.8, 0.9]
    browser.press("#sort", ENTER)
    assert browser.ask(ORDER) == [0.9, 0.8, 0.7, 0.1, 0.11, 0.12]
    browser.press("figure a", ENTER)  # its light-box
    assert browser.ask("return [box.open, document.querySelector('#name').textContent]") == [
        True,
        '<b>one</b> / "0& (1 of 6)',
    ]
    assert browser.ask("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert not browser.complaints()
    browser.ask("location = document.querySelector('figure a').href")  # its file, however it is called
    browser.ask_until("return document.images.length", 1)
    assert browser.ask("return [document.images.length, document.images[0].naturalWidth]") == [1, 120]


def test_dark_mode(browser, tmp_path):
    page = write_page(tmp_path, {"g": [entry(tmp_path, "a", 90, 0.5)]}, title="t", legend="l")
    for scheme, level in (("light", 255), ("dark", 26)):
        browser.emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.open(page)
        assert browser.look()[-5, -5].max() == level


def test_of_three_thousand_images_those_in_sight_are_loaded(browser, tmp_path):
    picture = np.random.RandomState(0).randint(0, 256, (90, 120, 3)).astype(np.uint8)
    groups = {
        f"group {g}": [
            Entry(f"{g}-{i}", lambda: [picture, picture], tmp_path / "x.png", 0.5) for i in range(100)
        ]
        for g in range(30)
    }
    page = write_page(tmp_path, groups, title="many", legend="the same")
    start = time.perf_counter()
    browser.open(page)
    assert time.perf_counter() - start < 10  # 0.6 s where this was written
    browser.ask_until("return document.querySelectorAll('figure').length", 3000)
    assert 0 < browser.ask(LOADED) < 500
    browser.ask("document.querySelector('#g29').scrollIntoView()")
    last = "return (i => i.complete && i.naturalWidth)([...document.querySelectorAll('#g29 img')][0])"
    assert any(browser.ask(last) or time.sleep(0.1) for _ in range(50))


# --- choosing: three groups' maps with masks, whose pictures lie outside the page's folder ---

BANDS = (60, 120, 180, 240)  # levels of a map, from left to right
GROUP, NAMES = "<i>g</i> & co", ('a"b', "c#d?é", "tall", "none")
DOUBTS = {"tall": ["likely a stray"], "none": ["empty map"]}
SHOWN = "return [...document.querySelectorAll('figure')].filter(f => f.offsetWidth).map(f => f.dataset.name)"
TITLE = "return document.querySelector('#name').textContent"


@pytest.fixture
def results(tmp_path):
    """A page of four pictures; returns (its folder, maps, masks)."""
    output, maps, masks = tmp_path / "out put", {}, {}
    (output / "g 1").mkdir(parents=True)
    entries = []
    for i, name in enumerate(NAMES):
        h, w = (600, 300) if name == "tall" else (300, 400)
        maps[name] = np.repeat(np.uint8(BANDS), w // 4)[None].repeat(h, 0) // (10 if name == "none" else 1)
        masks[name] = np.zeros((h, w), np.uint8)
        masks[name][:, w // 3 + 10 * i :] = 255
        image, truth, m = tmp_path / f"{i}.jpg", tmp_path / f"{i}.png", output / "g 1" / f"{name}.png"
        Image.new("RGB", (w, h), (60 * i, 160, 40)).save(image)
        Image.fromarray(masks[name]).save(truth)
        Image.fromarray(maps[name]).save(m)
        files = {"original": image, "map": m, "ground truth": truth}
        doubts = DOUBTS.get(name, ())
        entries.append(Entry(name, lambda a=image, b=m, c=truth: map_panels(a, b, c), m, 0.5, doubts, files))
    groups = {GROUP: entries[:2], "second": entries[2:]}
    write_page(output, groups, title="T", legend="l", headings=("picture", "map", "overlay"))
    return output, maps, masks


@pytest.fixture(params=["file", "served"])
def opened(request, browser, results):
    """The page in the browser, in both ways; returns its address."""
    output = results[0]
    if request.param == "file":
        browser.open(output / "index.html")
        yield output.as_uri()
    else:
        with make_server(output) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_port}/"
            browser.open(address)
            yield address
            browser.call("/url", url="about:blank")
            server.shutdown()


def opens(browser, number=0):
    """Click on a picture, and wait for the light-box."""
    browser.ask(f"document.querySelectorAll('figure')[{number}].id = 'wanted'")
    browser.click("#wanted img")
    browser.ask_until("return box.open && before.complete && over.complete && before.naturalWidth > 0", True)


def test_the_light_box_opens_goes_on_and_closes(browser, opened):
    opens(browser, 1)
    titles = [f"{GROUP} / {NAMES[0]}", f"{GROUP} / {NAMES[1]}", "second / tall", "second / none"]
    titles = [f"{title} ({i + 1} of 4)" for i, title in enumerate(titles)]
    assert browser.ask(TITLE) == titles[1]
    browser.keys(RIGHT)
    assert browser.ask(TITLE) == titles[2]
    browser.ask_until("return before.naturalHeight / before.naturalWidth", 2)
    x, y, width, height = browser.place("#canvas")
    assert height == pytest.approx(2 * width, abs=3)  # in its own shape
    browser.keys(RIGHT, RIGHT, RIGHT)  # not beyond the last one
    assert browser.ask(TITLE) == titles[3]
    browser.keys(LEFT, LEFT, LEFT, LEFT)
    assert browser.ask(TITLE) == titles[0]
    for _ in range(20):  # the focus goes round in the dialog, or to the browser's own buttons
        browser.keys(TAB)
        assert browser.ask("const e = document.activeElement; return box.contains(e) || e === document.body")
    browser.ask("document.querySelector('#split').focus()")
    browser.keys(RIGHT)  # the divider's own key
    assert (
        browser.ask(TITLE) == titles[0]
        and browser.ask("return document.querySelector('#split').value") == "51"
    )
    browser.ask("stage.focus()")
    browser.keys(RIGHT, ESCAPE)
    browser.ask_until(
        "return [box.open, document.activeElement.closest('figure')?.dataset.name]", [False, NAMES[1]]
    )
    browser.keys(ENTER)  # the focus is on the link that opens it
    browser.ask_until(TITLE, titles[1])
    browser.click("#close")
    assert not browser.ask("return box.open")
    assert not browser.complaints()
    assert (
        browser.ask("return performance.getEntriesByType('resource').map(e => e.name)")
        or opened[:4] == "file"
    )
    for name in browser.ask("return performance.getEntriesByType('resource').map(e => e.name)"):
        assert name.startswith(opened)


def test_the_divider_follows_the_mouse_and_its_slider(browser, opened):
    opens(browser)
    browser.ask("layer.value = 'map'; layer.dispatchEvent(new Event('change'))")
    x, y, width, height = browser.place("#canvas")
    for share in (0.25, 0.75):
        browser.drag((x + width / 2, y + 50), (x + share * width, y + 80))
        assert float(browser.ask("return document.querySelector('#split').value")) == round(100 * share)
        line = browser.look()[round(y + height / 2), round(x) : round(x + width)]
        coloured = np.ptp(line, axis=1) > 60  # the picture is coloured, its map is grey
        assert coloured.mean() == pytest.approx(share, abs=0.02)
        assert coloured[: int((share - 0.02) * width)].all()
    browser.slide("#split", 0)
    line = browser.look()[round(y + height / 2), round(x + 5) : round(x + width)]
    assert not (np.ptp(line, axis=1) > 60).any()


def test_the_threshold_cuts_the_map_and_tells_j(browser, results, opened):
    _, maps, masks = results
    opens(browser)
    browser.slide("#split", 0)
    for number, name in enumerate(NAMES):
        js = []
        for level in (8, 56, 64, 120, 128, 184, 240, 248):
            browser.slide("#threshold", level)
            cut, mask = maps[name] >= level, masks[name] > 127
            j = (cut & mask).sum() / (cut | mask).sum()
            all_j = [
                ((maps[n] >= level) & (masks[n] > 127)).sum() / ((maps[n] >= level) | (masks[n] > 127)).sum()
                for n in NAMES
            ]
            told = browser.ask("return document.querySelector('#j').textContent")
            own, mean = (float(text) for text in re.fullmatch(r"J of the map (.*), mean (.*)", told).groups())
            assert own == pytest.approx(j, abs=5.01e-4), (name, level)  # three decimals
            assert mean == pytest.approx(np.mean(all_j), abs=1.01e-3)
            assert browser.ask("return document.querySelector('#level').textContent") == f"{level / 256:.2f}"
            js.append(j)
            if number in (0, 2) and level in (56, 128, 240, 248):
                x, y, width, height = (round(v) for v in browser.place("#canvas"))
                for layer in ("mask", "overlay"):
                    browser.ask(f"layer.value = '{layer}'; layer.dispatchEvent(new Event('change'))")
                    seen = browser.look()[y + 5 : y + height - 5, x + 5 : x + width - 5]
                    object_ = (
                        seen.min(2) > 250 if layer == "mask" else seen[..., 0] - seen[..., 1] > 60
                    )  # in magenta
                    assert object_.mean() == pytest.approx(cut.mean(), abs=0.02), (name, level, layer)
        assert number == 3 or len(set(js)) > 3
        browser.ask("stage.focus()")
        browser.keys(RIGHT)
        browser.ask_until("return before.complete && over.complete", True)


def test_zoom_by_wheel_and_keys_keeps_the_place(browser, opened):
    opens(browser)
    x, y, width, height = browser.place("#canvas")
    at = x + 0.7 * width, y + 0.4 * height
    browser.wheel(*at, -400)
    browser.ask_until("return zoom > 1.5", True)
    left, top, wide, high = browser.place("#canvas")
    assert wide / width == pytest.approx(browser.ask("return zoom"), abs=0.02)
    assert (at[0] - left) / wide == pytest.approx(0.7, abs=0.01)
    assert (at[1] - top) / high == pytest.approx(0.4, abs=0.01)
    browser.drag(at, (at[0] - 60, at[1] - 40))  # the picture follows
    moved = browser.place("#canvas")
    assert moved[0] == pytest.approx(left - 60, abs=2) and moved[1] == pytest.approx(top - 40, abs=2)
    browser.keys(*"---------")
    assert browser.place("#canvas") == [x, y, width, height]
    browser.keys("+")
    assert browser.ask("return [zoom, document.querySelector('#zoom').textContent]") == [1.5, "150 %"]
    browser.click("#out")
    browser.click("#in")
    assert browser.ask("return zoom") == 1.5


def test_the_doubtful_ones_alone(browser, opened):
    assert browser.ask("return document.querySelector('#check').textContent") == "Check these (2)"
    assert browser.ask(SHOWN) == list(NAMES)
    ticks = "return [...document.querySelectorAll('figcaption input')].map(tick => tick.checked)"
    assert browser.ask(ticks) == [True, True, False, False]  # a stray, an empty map
    assert browser.ask("return document.querySelector('#all').indeterminate")
    assert browser.ask("return document.querySelector('#save').textContent") == "Save the chosen (2 of 4)"
    browser.click("#check")
    assert browser.ask(SHOWN) == ["tall", "none"]
    assert browser.ask("return [...document.querySelectorAll('h2')].filter(h => h.offsetWidth).length") == 1
    opens(browser, 2)
    assert browser.ask(TITLE) == "second / tall (1 of 2)"
    browser.keys(LEFT, RIGHT, RIGHT)
    assert browser.ask(TITLE) == "second / none (2 of 2)"
    assert browser.ask("return why.textContent").startswith(
        "empty map: nothing was found; take the picture out"
    )
    browser.keys(ESCAPE)
    browser.ask_until("return box.open", False)
    browser.click("#all")  # of those shown
    browser.click("#check")
    assert browser.ask(ticks) == [True, True, True, True]
    assert not browser.ask("return document.querySelector('#all').indeterminate")
    assert browser.ask("return document.querySelector('#save').textContent") == "Save the chosen (4 of 4)"


def test_the_chosen_are_saved_by_a_served_page_with_the_list_of_the_rejected(
    browser, results, opened, tmp_path
):
    output, downloads = results[0], tmp_path / "downloads"
    downloads.mkdir()
    browser.call(
        "/goog/cdp/execute",
        cmd="Browser.setDownloadBehavior",
        params={"behavior": "allow", "downloadPath": str(downloads)},
    )
    browser.click("figure input")
    opens(browser, 2)
    browser.click("#tick")  # the light-box's own tick is the same
    browser.keys(ESCAPE)
    browser.ask_until("return box.open", False)
    browser.click("#save")
    told = "return document.querySelector('#told').textContent"
    if opened.startswith("file"):
        assert "Run gconet view FOLDER" in browser.ask(told)
        assert not list(downloads.iterdir())
        return
    browser.ask_until(told, "chosen.zip: 2 chosen; rejected.txt in it lists 2")
    path = downloads / "chosen.zip"
    assert any(path.exists() or time.sleep(0.05) for _ in range(100))
    with zipfile.ZipFile(path) as saved:
        assert saved.testzip() is None  # every CRC is right
        assert saved.namelist() == [f"g 1/{NAMES[1]}.png", "g 1/tall.png", "rejected.txt"]
        for name in saved.namelist()[:2]:
            assert saved.read(name) == (output / name).read_bytes()
        assert saved.read("rejected.txt").decode() == f"{GROUP}/{NAMES[0]}\nsecond/none\n"
        assert all(abs(time.time() - time.mktime((*i.date_time, 0, 0, -1))) < 600 for i in saved.infolist())
    assert not browser.complaints()


def test_links_lead_to_the_files_that_can_be_had(browser, opened):
    links = "return [...document.querySelectorAll('figure .files a')].map(a => [a.textContent, !!a.href])"
    served = opened.startswith("http")
    assert browser.ask(links)[:3] == [["original", not served], ["map", True], ["ground truth", not served]]
    opens(browser)
    layers = browser.ask("return [...layer.options].map(option => option.textContent)")
    assert layers == ["overlay", "map cut at the threshold", "map", *["ground truth"] * (not served)]
    assert [text for text, _ in browser.ask(links.replace("figure", "dialog"))] == [
        "original",
        "map",
        "ground truth",
    ]
    if not served:
        browser.slide("#split", 0)
        browser.ask("layer.selectedIndex = 3; layer.dispatchEvent(new Event('change'))")
        browser.ask_until("return over.complete && over.naturalWidth", 400)
        x, y, width, height = (round(v) for v in browser.place("#canvas"))
        seen = browser.look()[y + 5 : y + height - 5, x + 5 : x + width - 5]
        assert (seen.min(2) > 250).mean() == pytest.approx(2 / 3, abs=0.02)


def test_nothing_leaves_the_page(browser, opened):
    """Neither a picture nor a request gets to another server, here chromedriver's own."""
    away = f"{browser.base.split('/session')[0]}/status"
    reach = f"return fetch('{away}', {{mode: 'no-cors'}}).then(() => 'reached', () => 'refused')"
    assert browser.ask(reach) == "refused"
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())
    browser.ask("window.made = document.createElement('script'); made.textContent = 'window.ran = 1'")
    browser.ask("document.body.append(made)")
    assert browser.ask("return window.ran") is None


def test_headings_stand_over_their_panels_and_portraits_leave_no_holes(browser, opened):
    for i in range(4):
        at = f"document.querySelectorAll('figure')[{i}]"
        x, width = browser.ask(
            f"const r = {at}.querySelector('img').getBoundingClientRect(); return [r.x, r.width]"
        )
        spans = f"[...{at}.querySelectorAll('.heads span')]"
        heads = browser.ask(f"return {spans}.map(s => [s.textContent, s.getBoundingClientRect().x])")
        assert [text for text, _ in heads] == ["picture", "map", "overlay"]
        assert [left for _, left in heads] == pytest.approx([x + width * k / 3 for k in range(3)], abs=2)
    heights = browser.ask("return [...document.querySelectorAll('figure img')].map(i => i.height)")
    assert heights[0] == heights[1] and all(112 <= height <= 203 for height in heights)
    natural = browser.ask("return [...document.querySelectorAll('figure img')].map(i => i.naturalHeight)")
    assert natural == [300] * 4  # sharp on screens of two pixels for each


def test_the_light_box_fits_a_phone(browser, results):
    browser.open(results[0] / "index.html", 390, 844, True)
    opens(browser)
    assert (
        browser.ask("return [innerWidth, document.documentElement.scrollWidth, box.scrollWidth]") == [390] * 3
    )
    for selector in ("#close", "#layer", "#split", "#threshold", "#j", "#back", "#in", "#tick", "#links"):
        x, y, width, height = browser.place(selector)
        assert width > 0 and x >= 0 and x + width <= 390 and y >= 0 and y + height <= 844, selector
    assert browser.place("#stage")[3] > 300


def test_the_light_box_first_compares_with_the_result(browser, tmp_path):
    """A cut-out, on squares where it is transparent; then with what one has chosen."""
    files = {what: tmp_path / f"{what}.png" for what in ("map", "cut-out")}
    Image.new("L", (40, 30), 200).save(files["map"])
    cutout = np.zeros((30, 40, 4), np.uint8)
    cutout[:, 20:] = 200, 0, 0, 255
    Image.fromarray(cutout).save(files["cut-out"])
    panels = [np.full((30, 40, 3), 90, np.uint8)] * 3
    entries = [Entry(name, lambda: panels, files["cut-out"], files=files) for name in "ab"]
    browser.open(write_page(tmp_path, {"g": entries}, title="t", legend="l"))
    opens(browser)
    assert browser.ask("return [layer.selectedOptions[0].textContent, threshold.disabled]") == [
        "cut-out",
        True,
    ]
    browser.slide("#split", 0)
    x, y, width, height = (round(v) for v in browser.place("#canvas"))
    seen = browser.look()[y + 5 : y + height - 5, x + 5 : x + width - 5]
    left, right = seen[:, : width // 2 - 30], seen[:, width // 2 + 30 :]
    assert np.abs(right - (200, 0, 0)).max() < 4
    assert len(np.unique(left.reshape(-1, 3), axis=0)) == 2 and left.min() > 150
    browser.ask("layer.value = 'mask'; layer.dispatchEvent(new Event('change')); stage.focus()")
    browser.keys(RIGHT)
    assert browser.ask("return [layer.value, threshold.disabled]") == ["mask", False]
