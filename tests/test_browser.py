"""The page in a real browser, by the WebDriver protocol; skipped where chromedriver is not installed."""

import base64
import io
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gconet.applications.page import Entry, write_page

DRIVER = shutil.which("chromedriver")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not DRIVER, reason="needs chromedriver and Chromium")]
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
ENTER = "\ue007"  # WebDriver's code of the key
LOADED = "return [...document.images].filter(i => i.complete && i.naturalWidth).length"
ORDER = "return [...document.querySelectorAll('figure')].map(f => +f.dataset.score)"


class Browser:
    """A session of a headless Chromium."""

    def __init__(self, port: int):
        self.base = f"http://127.0.0.1:{port}"
        options = {"browserName": "chrome", "goog:chromeOptions": {"args": OPTIONS}}
        self.base += "/session/" + self.call("/session", capabilities={"alwaysMatch": options})["sessionId"]

    def call(self, path, method="POST", **body):
        data = json.dumps(body).encode() if method == "POST" else None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def emulate(self, command, **parameters):
        self.call("/goog/cdp/execute", cmd=f"Emulation.{command}", params=parameters)

    def open(self, page: Path, width=1400, height=900, mobile=False):
        self.emulate(
            "setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        self.call("/url", url=page.as_uri())

    def ask(self, script):
        return self.call("/execute/sync", script=script, args=[])

    def press(self, selector, key):
        found = self.call("/element", using="css selector", value=selector)
        self.call(f"/element/{next(iter(found.values()))}/value", text=key)

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
    assert browser.ask(LOADED) == 6
    assert browser.ask("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert all((np.abs(browser.look() - colour).max(2) < 12).mean() > 0.01 for colour in (red, green))
    assert browser.ask(ORDER) == [0.9, 0.8, 0.7, 0.1, 0.11, 0.12]
    browser.press("#sort", ENTER)
    assert browser.ask(ORDER) == [0.1, 0.11, 0.12, 0.7, 0.8, 0.9]
    browser.press("#sort", ENTER)
    assert browser.ask(ORDER) == [0.9, 0.8, 0.7, 0.1, 0.11, 0.12]
    browser.press("figure a", ENTER)  # to the first one's file, however it is called
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
    assert len(browser.ask(ORDER)) == 3000 and 0 < browser.ask(LOADED) < 500
    browser.ask("document.querySelector('#g29').scrollIntoView()")
    last = "return (i => i.complete && i.naturalWidth)([...document.querySelectorAll('#g29 img')][0])"
    assert any(browser.ask(last) or time.sleep(0.1) for _ in range(50))
