"""Scanning folders of groups: pairs by stem, and loud about what is missing."""

import numpy as np
import pytest
import torch
from PIL import Image

from gconet.data.groups import scan_groups, scan_set
from gconet.data.images import load_image, load_mask
from gconet.data.pictures import read_groups
from gconet.data.transforms import resize_image
from gconet.errors import DataError


def write(path, size=(8, 6), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, 200 if mode != "RGB" else (200, 100, 50)).save(path, **options)


def test_pairs_by_stem_whatever_the_suffix(tmp_path):
    for i, suffix in enumerate(("jpg", "png", "webp", "bmp", "JPEG")):
        write(tmp_path / f"images/s/b/im.{i}.{suffix}")
        write(tmp_path / f"gts/s/b/im.{i}.png", mode="L")
    write(tmp_path / "images/s/a/x.jpg")
    write(tmp_path / "gts/s/a/x.bmp", mode="L")
    (tmp_path / "images/s/a/Thumbs.db").write_text("no image")
    (tmp_path / "images/s/a/._x.jpg").write_text("no image")
    groups = scan_set(tmp_path, "s")
    assert [g.name for g in groups] == ["a", "b"]
    assert [item.stem for item in groups[1].items] == [f"im.{i}" for i in range(5)]
    assert all(item.mask is not None and item.mask.stem == item.stem for g in groups for item in g.items)


def test_one_folder_is_one_group_unless_it_also_holds_folders(tmp_path):
    write(tmp_path / "bikes/1.jpg")
    write(tmp_path / "truth/1.png", mode="L")
    [group] = scan_groups(tmp_path / "bikes", tmp_path / "truth")
    assert group.name == "bikes" and group.items[0].mask == tmp_path / "truth/1.png"
    write(tmp_path / "g/x.jpg")
    write(tmp_path / "g/sub/y.png")
    with pytest.raises(DataError, match=f"{tmp_path.name}/g"):
        scan_groups(tmp_path / "g")


def test_what_is_missing_is_named(tmp_path):
    write(tmp_path / "images/s/a/x.jpg")
    for root, name, named in ((tmp_path / "nowhere", "s", "'s'"), (tmp_path, "CoCA", r"CoCA.*\bs\b")):
        with pytest.raises(DataError, match=named):
            scan_set(root, name)
    write(tmp_path / "gts/s/b/x.png")
    write(tmp_path / "images/s/b/x.jpg")
    with pytest.raises(DataError, match=r"\ba\b"):
        scan_set(tmp_path, "s")
    write(tmp_path / "gts/s/a/y.png")
    with pytest.raises(DataError, match="a/x"):
        scan_set(tmp_path, "s")


def test_black_and_white_of_any_kind_is_a_mask(tmp_path):
    labels = Image.new("P", (20, 20))
    labels.putpixel((3, 3), 1)
    labels.putpalette([0, 0, 0, 255, 255, 255])
    for mode in ("P", "RGB", "1", "LA", "RGBA"):
        labels.convert(mode).save(tmp_path / "white.png")
        assert np.asarray(load_mask(tmp_path / "white.png")).sum() == 255
    Image.new("CMYK", (8, 6), (0, 0, 0, 100)).save(tmp_path / "grey.jpg")
    assert 0 < np.asarray(load_mask(tmp_path / "grey.jpg")).max() < 255


@pytest.mark.parametrize("bad", [(0,), (2,), (4,), (1, 2, 3), (0, 1, 2, 3, 4)])
def test_unreadable_files_are_left_out_of_their_group_at_the_door(tmp_path, bad):
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        Image.new("RGB", (10 + i, 20), (50 * i, 9, 9)).save(path)
    (whole := tmp_path / "whole.png").write_bytes(paths[0].read_bytes())
    for i in bad:
        paths[i].write_bytes(b"x")
    good = [path for i, path in enumerate(paths) if i not in bad]
    skipped = {}
    read = list(read_groups([paths, [whole], []], 32, skipped=skipped))
    assert [group.pixels.shape for group in read] == [(len(good), 3, 32, 32), (1, 3, 32, 32), (0, 3, 32, 32)]
    assert list(skipped) == [paths[i] for i in bad]
    assert all(path.name in str(error) for path, error in skipped.items())
    for path, pixels, size in zip(good, read[0].pixels, read[0].sizes, strict=True):
        assert torch.equal(pixels, resize_image(load_image(path), 32)) and size == (20, 10 + int(path.stem))
