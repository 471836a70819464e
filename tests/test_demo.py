"""The demo groups that ship, and the script that composed them."""

import runpy

import numpy as np
import pytest
from PIL import Image

from gconet.data.groups import scan_groups
from gconet.data.images import load_image, load_mask
from tests.conftest import ROOT

DEMO = ROOT / "data/demo"
SIZES = {"album_birds": 5, "album_fish": 6, "bird": 6, "car": 5, "cattle": 6, "guitar": 6}


def test_the_demo_groups_are_whole_and_small():
    groups = scan_groups(DEMO / "images", DEMO / "gts")
    assert {group.name: len(group.items) for group in groups} == SIZES
    assert sum(path.stat().st_size for path in DEMO.rglob("*.*")) < 3e6
    for group in groups:
        for item in group.items:
            mask = np.asarray(load_mask(item.mask))
            others = np.asarray(load_mask(DEMO / "others" / group.name / item.mask.name))
            assert load_image(item.image).size == mask.shape[::-1] == others.shape[::-1]
            assert set(np.unique(mask)) == {0, 255} and max(mask.shape) <= 480
            if group.name.startswith("album"):
                assert 0.05 < (mask > 0).mean() < 0.5 and not others.any()
            else:
                assert mask.shape == (360, 480) and 0.01 < (mask > 0).mean() < 0.3
                assert (others > 0).mean() > 0.01 and not (others & mask).any()


@pytest.fixture
def packages(tmp_path):
    """A grey disc for every stamp, with transparent red around it, and backgrounds of a lighter grey."""
    script = runpy.run_path(str(ROOT / "scripts/tools/make_demo.py"))
    groups = script["PICTURES"]
    y, x = np.mgrid[:50, :60]
    disc = (y - 25) ** 2 + (x - 30) ** 2 < 400
    for name in {stamp for pictures in groups.values() for picture in pictures for stamp in picture}:
        pixels = np.where(disc[..., None], np.uint8([90, 90, 90, 255]), np.uint8([255, 0, 0, 0]))
        (tmp_path / "packages/a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"packages/a/{name}.png")
    for name, _ in script["BACKGROUNDS"]:
        Image.new("RGB", (600, 400), (115, 115, 115)).save(tmp_path / "packages" / name)
    return tmp_path / "packages"


def test_the_script_composes_groups_with_masks(run, packages, tmp_path):
    run("scripts/tools/make_demo.py", "--packages", packages, "--output", tmp_path / "one")
    assert len(list((tmp_path / "one").rglob("*.*"))) == 69
    image = np.asarray(load_image(tmp_path / "one/images/car/00.jpg")).astype(int)
    mask = np.asarray(load_mask(tmp_path / "one/gts/car/00.png")) > 0
    inside = image[mask]
    assert abs(inside.mean() - 90) < 12 and inside.std() < 15  # grey: no hidden red bleeds in
    assert not ((image[..., 0] - image[..., 1]) > 100).any()
    outside = image[~mask & (np.asarray(load_mask(tmp_path / "one/others/car/00.png")) == 0)]
    assert abs(np.median(outside) - 115) < 3 and outside.min() < 70  # the ground, and a shadow on it
