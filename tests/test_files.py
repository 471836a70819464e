"""Files and machines that other projects stumbled over: comments, twins, phones' formats, shared memory."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gconet.data import decode as decode_module
from gconet.data.groups import scan_groups
from gconet.data.images import load_image, load_mask, load_with_opacity, to_rgb
from gconet.errors import DataError
from gconet.evaluation import score_folders, scorer
from gconet.inference.predictor import Predictor
from tests.conftest import ROOT

PHOTO = Image.open(ROOT / "data/demo/images/bird/00.jpg").convert("RGB").resize((60, 40))


def with_comment(kind, size=3_000_000):
    """A PNG file with a comment of so many bytes; `after`: behind its pixels."""
    info = PngImagePlugin.PngInfo()
    text = "x" * size
    if kind == "itxt":
        info.add_itxt("XML:com.adobe.xmp", text, zip=True)
    elif kind == "ztxt":
        info.add_text("parameters", text, zip=True)
    elif kind == "many":
        for i in range(70):
            info.add_text(f"part {i}", "x" * 1_000_000)
    else:
        info.add(b"tEXt", b"whole pixels\0" + bytes(70_000_000), after_idat=True)
    return info


@pytest.mark.parametrize("kind", ["itxt", "ztxt", "many", "after"])
def test_comments_of_any_size_are_passed_over(tmp_path, kind):
    PHOTO.save(tmp_path / "a.png", pnginfo=with_comment(kind))
    assert np.array_equal(load_image(tmp_path / "a.png"), PHOTO)
    mask = PHOTO.convert("L").point(lambda v: 255 * (v > 100))
    mask.save(tmp_path / "m.png", pnginfo=with_comment(kind))
    assert np.array_equal(load_mask(tmp_path / "m.png"), mask)
    see_through = PHOTO.copy()
    see_through.putalpha(mask)
    see_through.save(tmp_path / "t.png", pnginfo=with_comment(kind))
    assert np.array_equal(load_with_opacity(tmp_path / "t.png")[1], mask)


def test_damaged_comments_and_malformed_tags_harm_nothing_else(tmp_path):
    PHOTO.save(tmp_path / "a.png", pnginfo=with_comment("itxt"))
    data = bytearray((tmp_path / "a.png").read_bytes())
    start = data.index(b"IDAT") + 8
    data[start : start + 40] = bytes(40)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match="a.png"):
        load_image(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112], exif[0x0128] = 6, "inch"  # orientation; a resolution's unit, which is a number
    PHOTO.save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg").size == (40, 60)
    memory = PHOTO.copy()
    memory.getexif()[0x0112] = 6.0  # a number of another type, as damaged files have it
    assert to_rgb(memory).size == (40, 60)


def test_pictures_that_share_a_stem_are_called_by_their_whole_names(run, checkpoint, tmp_path):
    for i, name in enumerate(("a.jpg", "a.jpeg", "a.png", "b.jpg")):
        PHOTO.resize((40 + i, 30)).save(tmp_path / name)
    [group] = scan_groups(tmp_path)
    assert [item.stem for item in group.items] == ["a.jpeg", "a.jpg", "a.png", "b"]
    maps = Predictor.load(checkpoint, device="cpu", precision="fp32")(tmp_path)
    assert maps.names == ["a.jpeg", "a.jpg", "a.png", "b"] and [m.shape[1] for m in maps] == [41, 40, 42, 43]
    out = tmp_path.parent / "maps"
    run("test.py", "--checkpoint", checkpoint, "--images", tmp_path, "--output", out, "--device", "cpu")
    written = sorted(path.name for path in (out / tmp_path.name).iterdir())
    assert written == ["a.jpeg.png", "a.jpg.png", "a.png.png", "b.png"]
    cut = tmp_path.parent / "cut"
    run("scripts/cosegment.py", "--images", tmp_path, "--maps", out / tmp_path.name, "--output", cut)
    assert sorted(path.name for path in (cut / "cutouts" / tmp_path.name).iterdir()) == written


def test_with_masks_or_among_maps_they_stay_ambiguous(tmp_path):
    for folder, names in (("images", ("a.jpg", "a.png")), ("one", ("a.jpg",)), ("two", ("a.png", "a.jpg"))):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new("L", (4, 4)).save(tmp_path / folder / name)
    for images, gts, maps in (("images", "one", None), ("one", "two", None), ("one", None, "two")):
        given = [folder and tmp_path / folder for folder in (images, gts, maps)]
        with pytest.raises(DataError, match="a.jpg.*a.png"):
            scan_groups(*given)
    Image.new("L", (4, 4)).save(tmp_path / "images/a.jpg.bmp")
    with pytest.raises(DataError, match="a.jpg.*a.jpg.bmp"):
        scan_groups(tmp_path / "images")


@pytest.mark.parametrize("suffix", ["avif", "heic", "heif"])
def test_pictures_of_phones_are_read(tmp_path, suffix):
    if suffix != "avif":
        pytest.importorskip("pillow_heif").register_heif_opener()
    elif "AVIF" not in decode_module.decoders():
        pytest.skip("this Pillow has no AVIF")
    PHOTO.save(tmp_path / f"a.{suffix}", quality=95)
    [group] = scan_groups(tmp_path)
    assert np.abs(np.asarray(load_image(group.items[0].image), int) - np.asarray(PHOTO)).mean() < 4
    turned = Image.Exif()
    turned[0x0112] = 6
    PHOTO.save(tmp_path / f"a.{suffix}", quality=95, exif=turned.tobytes())
    shown = np.asarray(load_image(tmp_path / f"a.{suffix}"), int)
    upright = np.asarray(PHOTO.transpose(Image.Transpose.ROTATE_270))
    assert shown.shape == upright.shape and np.abs(shown - upright).mean() < 4


@pytest.mark.parametrize(("suffix", "needed"), [("heic", "'gconet[heic]'"), ("avif", "'pillow>=11.3'")])
def test_without_the_extra_it_is_named(run, checkpoint, tmp_path, monkeypatch, suffix, needed):
    monkeypatch.setattr(decode_module, "decoders", lambda: decode_module.FORMATS[:6])
    (tmp_path / "in").mkdir()
    (tmp_path / f"in/a.{suffix}").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    PHOTO.save(tmp_path / "in/b.jpg")
    with pytest.raises(DataError, match=re.escape(needed)):
        load_image(tmp_path / f"in/a.{suffix}")
    options = ["--checkpoint", checkpoint, "--images", tmp_path / "in", "--output", tmp_path / "out"]
    done = run("test.py", *options, "--device", "cpu", status=1)
    assert needed in done.stderr and (tmp_path / "out/in/b.png").is_file()


def test_scoring_needs_no_shared_memory(toy, monkeypatch):
    gts = toy / "gts/toy"
    expected = score_folders(gts, gts, workers=2).to_dict()

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(scorer, "MAPS_PER_WORKER", 1)
    monkeypatch.setattr(scorer, "ProcessPoolExecutor", refuse)
    assert score_folders(gts, gts, workers=2).to_dict() == expected


def test_a_large_picture_brings_no_raw_warning(tmp_path):
    PHOTO.save(tmp_path / "a.png")  # 2,400 pixels: Pillow warns of more than half of the limit
    load = f"print(load_image(Path({str(tmp_path / 'a.png')!r})).size)"
    for limit, printed in ((1500, "(60, 40)"), (500, "more pixels")):
        code = f"from gconet.data.images import *; Image.MAX_IMAGE_PIXELS = {limit}; {load}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert printed in done.stdout + done.stderr and "bomb" not in done.stderr, done


@pytest.mark.parametrize(("command", "status"), [
    (["-m", "gconet", "maps"], 1), (["-m", "gconet", "score"], 1), (["train.py"], 1),
    (["-c", "import gconet; gconet.Predictor"], 0),
])  # fmt: skip
def test_a_missing_library_of_opencv_is_named_where_it_is_needed(tmp_path, command, status):
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    last = (done.stderr.strip().splitlines() or [""])[-1]
    assert done.returncode == status and ("libGL.so.1" in last and "opencv-python-headless" in last) == status
