"""Names, checkpoints and pictures that are traps: refused, soon and in little memory."""

import os
import pickle
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image

from gconet.data.groups import Group, Item
from gconet.data.images import load_image
from gconet.errors import DataError
from tests.conftest import ROOT
from tests.test_corpus import png_header


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", ".", "", "a\\b", "nul\0"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="is no name for a group or a picture"):
        Group(name, ())
    with pytest.raises(DataError, match="is no name for a group or a picture"):
        Item(name, tmp_path / "a.png")


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def measured(*command):
    """A command's output, seconds and peak memory in MiB, in a process of its own."""
    before = time.perf_counter()
    code = f"""
import re, runpy, sys
sys.argv = {[str(c) for c in command]!r}
try: runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as e: status = e.code
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print("peak", int(peak) // 1024, file=sys.stderr)
sys.exit(status)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    return done, time.perf_counter() - before, int(done.stderr.rsplit("peak ")[-1])


@pytest.mark.slow
def test_traps_are_refused_soon_and_in_little_memory(tmp_path):
    """Beyond what a start of PyTorch takes: that is measured beside them."""
    trap, marker, images = tmp_path / "bomb.pt", tmp_path / "ran", tmp_path / "g"
    torch.save({"format": "gconet-1", "config": {}, "model": Bomb(marker)}, trap)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb(marker)))
    images.mkdir()
    (images / "giga.png").write_bytes(png_header(32768, 32768))
    _, start, idle = measured("test.py", "--help")
    for checkpoint in (trap, tmp_path / "plain.pt"):
        done, seconds, peak = measured(
            "test.py", "--checkpoint", checkpoint, "--images", "data/demo/images", "--output", tmp_path / "o"
        )
        assert done.returncode == 1 and "could run code and is refused" in done.stderr and not marker.exists()
        assert seconds - start < 2 and peak - idle < 500
    Image.new("L", (4, 4)).save(tmp_path / "m.png")
    (tmp_path / "maps").mkdir()
    (tmp_path / "m.png").rename(tmp_path / "maps/giga.png")
    done, seconds, peak = measured(
        "scripts/cosegment.py", "--images", images, "--maps", tmp_path / "maps", "--output", tmp_path / "c"
    )
    assert done.returncode == 1 and "more pixels than are safe" in done.stderr
    assert seconds < 2 and peak < 500
    print(f"start of test.py {start:.1f} s, {idle} MiB; a gigapixel header {seconds:.1f} s, {peak} MiB")


def test_the_pixel_limit_can_be_raised_and_is_checked(tmp_path, monkeypatch):
    Image.new("L", (60, 50)).save(tmp_path / "a.png")
    before = Image.MAX_IMAGE_PIXELS
    try:
        monkeypatch.setenv("GCONET_MAX_PIXELS", "1000")
        with pytest.raises(DataError, match="more pixels than are safe"):
            load_image(tmp_path / "a.png")
        monkeypatch.setenv("GCONET_MAX_PIXELS", "6000")
        assert load_image(tmp_path / "a.png").size == (60, 50)
        monkeypatch.setenv("GCONET_MAX_PIXELS", "many")
        with pytest.raises(Exception, match="GCONET_MAX_PIXELS=many: give the pixels"):
            load_image(tmp_path / "a.png")
    finally:
        Image.MAX_IMAGE_PIXELS = before
