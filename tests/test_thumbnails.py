"""Boxes and crops from saved maps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gconet.applications.crops import choose_sizes, find_boxes, place_crop


def draw(size, *boxes, level=255):
    """A map of `size` (width, height) with filled boxes."""
    m = np.zeros(size[::-1], np.uint8)
    for left, top, right, bottom in boxes:
        m[top:bottom, left:right] = level
    return m


def crop(m, aspect=(1, 1), **others):
    found = find_boxes(m)
    return place_crop(m, found, choose_sizes([found], aspect, **others)[0])


def test_the_boxes_by_hand():
    found = find_boxes(draw((200, 100), (50, 20, 90, 40), (150, 80, 153, 83)))  # and a speck
    assert found.box == (50, 20, 90, 40) and found.enlarged == (46, 16, 94, 44)
    assert find_boxes(draw((200, 100), (0, 0, 40, 99))).enlarged == (0, 0, 50, 100)
    assert find_boxes(draw((7, 5))).box == (0, 0, 7, 5)


def test_crops_are_centred_where_there_is_room_and_stay_inside():
    assert crop(draw((300, 300), (140, 100, 180, 140))) == (136, 96, 184, 144)
    assert crop(draw((300, 300), (0, 0, 40, 20))) == (0, 0, 44, 44)
    assert crop(draw((300, 300), (140, 100, 180, 140)), least=100) == (110, 70, 210, 170)
    # an object larger than any crop of the shape
    box = crop(draw((300, 100), (20, 40, 280, 60)), (1, 1))
    assert box.size == (100, 100) and box.left >= 20 and box.right <= 280


def test_other_salient_mass_is_not_cut_through():
    m = draw((400, 100), (100, 30, 160, 90))
    free = crop(m, (2, 1))
    assert free.left < 70 < 190 < free.right
    m[20:90, 45:75] = 40  # something weaker at the left, where the free crop's side would run
    assert find_boxes(m).box == find_boxes(draw((400, 100), (100, 30, 160, 90))).box
    box = crop(m, (2, 1))
    assert box.left <= 45 or box.left >= 75


def test_the_objects_of_a_collection_appear_alike_in_scale():
    maps = [draw((400, 400), (200 - s, 200 - s, 200 + s, 200 + s)) for s in (20, 40, 60, 80)]
    maps.append(draw((400, 400), (190, 100, 210, 300)))  # a thin one fills less of its tightest crop
    found = [find_boxes(m) for m in maps]
    sizes = choose_sizes(found)
    shares = [math.prod(f.box.size) / (w * h) for f, (w, h) in zip(found, sizes, strict=True)]
    assert max(shares[:4]) / min(shares[:4]) < 1.05
    alone = [choose_sizes([f])[0] for f in found]
    assert all(w >= own for (w, _), (own, _) in zip(sizes, alone, strict=True))


sides, rectangles = st.integers(1, 90), st.tuples(*[st.floats(0, 1)] * 4)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(sides, sides, rectangles, st.integers(0, 255)), min_size=1, max_size=5),
    st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(1, 60),
)  # fmt: skip
def test_any_crop_lies_inside_has_the_shape_and_holds_what_it_can(pictures, aspect, least):
    maps = []
    for width, height, (a, b, c, d), level in pictures:
        left, right = sorted((int(a * width), int(c * width)))
        top, bottom = sorted((int(b * height), int(d * height)))
        maps.append(draw((width, height), (left, top, right + 1, bottom + 1), level=level))
    found = [find_boxes(m) for m in maps]
    for m, f, size in zip(maps, found, choose_sizes(found, aspect, least), strict=True):
        box = place_crop(m, f, size)
        assert box.size == size and min(size) >= 1
        assert box.left >= 0 and box.top >= 0 and box.right <= f.width and box.bottom <= f.height
        ratio = aspect[0] / aspect[1]
        if f.width + 0.5 >= ratio:  # else the picture is narrower than any crop of this shape
            assert abs(size[0] - size[1] * ratio) <= 0.5 + 1e-9 or size[0] == 1
        for inner in (f.enlarged, f.box):
            if all(own <= side for own, side in zip(inner.size, size, strict=True)):
                assert box.left <= inner.left and inner.right <= box.right
                assert box.top <= inner.top and inner.bottom <= box.bottom


@pytest.fixture
def folders(tmp_path):
    for i, (name, size) in enumerate((("a", (300, 200)), ("b b", (120, 240)), ("ü", (64, 64)))):
        box = (10 * i, 20, 30 + 10 * i, 60)
        pixels = np.dstack([draw(size, box), 255 - draw(size, box), draw(size)])
        for kind, image in (("images", pixels), ("maps", draw(size, box)), ("gts", draw(size, box))):
            (tmp_path / kind / "g").mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / kind / "g" / f"{name}.png")
    return tmp_path


def arguments(folders, **changes):
    options = {kind: folders / kind for kind in ("images", "maps")} | {"output": folders / "out"} | changes
    return ["scripts/thumbnails.py", *(text for k, v in options.items() for text in (f"--{k}", v))]


def test_the_command_writes_crops_of_one_size_and_a_page(run, folders):
    done = run(*arguments(folders, aspect="4:3"))
    assert "3 thumbnails in" in done.stdout
    for name in ("a", "b b", "ü"):
        thumbnail = np.asarray(Image.open(folders / f"out/crops/g/{name}.jpg")).astype(int)
        assert thumbnail.shape == (192, 256, 3)
        assert (thumbnail[..., 0] - thumbnail[..., 1] > 100).mean() > 0.09  # red; a crop has 96 rows
    page = (folders / "out/index.html").read_text(encoding="utf-8")
    assert page.count("<article") == 3 and "crops/g/b%20b.jpg" in page


def test_wrong_arguments_are_named_and_nothing_written(run, folders):
    before = sorted(folders.rglob("*"))
    for aspect in ("1", "0:1", "a:b", "1.5:1"):
        assert aspect in run(*arguments(folders, aspect=aspect), status=2).stderr
    assert "--images" in run(*arguments(folders, output=folders / "images/out"), status=2).stderr
    assert sorted(folders.rglob("*")) == before
