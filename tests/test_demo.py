"""The demo groups that ship."""

import numpy as np

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
