"""The demo groups that ship, and the script that composed them."""

import runpy

import numpy as np
import pytest
from PIL import Image

from gconet.data.groups import scan_groups
from gconet.data.images import load_image, load_mask
from tests.conftest import ROOT

DEMO = ROOT / "data/demo"


def test_the_demo_groups_are_whole_and_small():
    groups = scan_groups(DEMO / "images", DEMO / "gts")
    assert [len(group.items) for group in groups] == [6, 5, 6, 6]
    assert sum(path.stat().st_size for path in DEMO.rglob("*.*")) < 3e6
    for group in groups:
        for item in group.items:
            mask = np.asarray(load_mask(item.mask))
            assert load_image(item.image).size == mask.shape[::-1] == (320, 240)
            assert set(np.unique(mask)) == {0, 255} and 0.01 < (mask > 0).mean() < 0.3
            others = np.asarray(load_mask(DEMO / "others" / group.name / item.mask.name))
            assert others.shape == mask.shape and (others > 0).mean() > 0.01 and not (others & mask).any()


@pytest.fixture
def stamps(tmp_path):
    """A disc of its own grey for every stamp, with transparent red around it."""
    groups = runpy.run_path(str(ROOT / "scripts/tools/make_demo.py"))["GROUPS"]
    y, x = np.mgrid[:50, :60]
    disc = (y - 25) ** 2 + (x - 30) ** 2 < 400
    for name in {stamp for pictures in groups.values() for picture in pictures for stamp in picture}:
        pixels = np.where(disc[..., None], np.uint8([90, 90, 90, 255]), np.uint8([255, 0, 0, 0]))
        (tmp_path / "stamps/a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"stamps/a/{name}.png")
    return tmp_path / "stamps"


def test_the_script_composes_the_same_pictures_each_time(run, stamps, tmp_path):
    for name in ("one", "two"):
        run("scripts/tools/make_demo.py", "--stamps", stamps, "--output", tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 69
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)
    image = np.asarray(load_image(tmp_path / "one/images/car/00.jpg")).astype(int)
    mask = np.asarray(load_mask(tmp_path / "one/gts/car/00.png")) > 0
    inside = image[mask]
    assert abs(inside.mean() - 90) < 12 and inside.std() < 15  # grey: no hidden red bleeds in
    assert not ((image[..., 0] - image[..., 1]) > 100).any()


def test_what_is_missing_is_named_and_nothing_overwritten(run, stamps, tmp_path):
    (tmp_path / "there").mkdir()
    done = run("scripts/tools/make_demo.py", "--stamps", stamps, "--output", tmp_path / "there", status=2)
    assert "exists; name a new folder" in done.stderr
    (stamps / "a/yak.png").unlink()
    done = run("scripts/tools/make_demo.py", "--stamps", stamps, "--output", tmp_path / "new", status=1)
    assert "lacks yak.png" in done.stderr and not (tmp_path / "new").exists()
