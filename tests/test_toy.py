"""The synthetic set: layout, exact masks, determinism, refusals."""

import numpy as np
import pytest

from gconet.data.groups import scan_set
from gconet.data.images import load_image, load_mask
from gconet.data.toy import draw_background, draw_object, draw_picture, make_toy_set
from gconet.errors import DataError


def read_tree(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.*"))}


def test_a_toy_set_is_whole_repeatable_and_never_overwritten(tmp_path):
    make_toy_set(tmp_path, "toy", classes=3, images_per_class=4, size=64)
    groups = scan_set(tmp_path, "toy")
    assert [len(group.items) for group in groups] == [4, 4, 4]
    for item in (item for group in groups for item in group.items):
        assert item.mask is not None
        mask = np.asarray(load_mask(item.mask))
        assert load_image(item.image).size == (64, 64) and mask.shape == (64, 64)
        assert set(np.unique(mask)) == {0, 255}
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_toy_set(tmp_path / folder, "toy", classes=3, images_per_class=2, size=48, seed=seed)
    first, again, other = (read_tree(tmp_path / folder) for folder in "abc")
    assert first == again and first.keys() == other.keys()
    assert not any(first[path] == other[path] for path in first)
    before = read_tree(tmp_path)
    with pytest.raises(DataError, match="toy"):
        make_toy_set(tmp_path, "toy", classes=2, images_per_class=1, size=32, seed=5)
    assert read_tree(tmp_path) == before


def test_masks_are_exact_under_occlusion(monkeypatch):
    """Painting each object in a colour of its own shows which pixels it really has."""

    def paint_flat(random, index, size):
        inside, colours = draw_object(random, index, size)
        return inside, np.full_like(colours, 100 + index)

    def paint_black(random, size):
        return np.zeros_like(draw_background(random, size))

    monkeypatch.setattr("gconet.data.toy.draw_object", paint_flat)
    monkeypatch.setattr("gconet.data.toy.draw_background", paint_black)
    for seed in range(40):
        picture, mask = draw_picture(np.random.RandomState(seed), 2, 6, 64)
        present = set(np.unique(picture)) - {0}
        assert 102 in present and 2 <= len(present) <= 3
        assert ((mask == 255) == (picture[:, :, 0] == 102)).all()
