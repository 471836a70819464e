"""What other people's files, libraries and file systems do: each is read right, or refused in one line."""

import errno
import io
import json
import os
import stat
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from gconet.checkpoint import read_checkpoint
from gconet.data.decode import own_switches
from gconet.data.images import load_image, load_map, load_mask, load_with_opacity, to_rgb
from gconet.errors import DataError
from gconet.evaluation import format_table, score_arrays, score_folders
from gconet.files import write_file
from gconet.progress import progress
from scripts.check_data import check_set
from tests.conftest import ROOT

PHOTO = ROOT / "data/demo/images/guitar/00.jpg"


def draw(object_=0, border=0, other=0, band=0):
    """A mask of 100×100: an object of one value, perhaps with a border, a second object and a band."""
    mask = np.zeros((100, 100), np.uint8)
    mask[20:60, 20:60] = band or border
    mask[24:56, 24:56] = object_
    mask[70:90, 70:90] = other
    return mask


WRONG = [
    draw(150, other=200), draw(129, other=130), draw(200, border=255), draw(20, other=15),  # class numbers
    draw(0, border=255, other=15), draw(3, border=255), draw(255, other=1),  # a void border, larger than it
    draw(255, band=128)[::4, ::4].repeat(4, 0).repeat(4, 1), draw(255, band=160), draw(255, band=100),
]  # fmt: skip
RIGHT = [
    draw(255), draw(255, other=255), draw(200), draw(254, other=254), np.zeros((9, 9), np.uint8),
    np.full((9, 9), 255, np.uint8),
]  # fmt: skip


def test_masks_of_class_numbers_void_borders_and_trimaps_are_refused(tmp_path):
    for mask in WRONG:
        Image.fromarray(mask).save(tmp_path / "a.png")
        with pytest.raises(DataError, match="a.png.*255"):
            load_mask(tmp_path / "a.png")
    for mask in RIGHT:
        Image.fromarray(mask).save(tmp_path / "a.png")
        assert np.array_equal(load_mask(tmp_path / "a.png"), mask)


@pytest.mark.parametrize("shape", ["square", "circle", "thin"])
def test_masks_with_soft_and_compressed_edges_are_masks(tmp_path, shape):
    y, x = np.mgrid[:240, :320]
    inside = {"square": (abs(x - 150) < 60) & (abs(y - 99) < 50), "thin": abs(x - y) < 3,
              "circle": (x - 150) ** 2 + (y - 99) ** 2 < 900}[shape]  # fmt: skip
    mask = Image.fromarray((inside * 255).astype(np.uint8))
    for size in ((320, 240), (160, 120), (107, 71), (640, 480)):
        for name in ("a.png", "a.jpg", "a.webp"):
            mask.resize(size, Image.Resampling.BICUBIC).save(tmp_path / name)
            assert load_mask(tmp_path / name).size == size


@pytest.mark.parametrize("values", [(-1000, 3000), (0, 65536), (-1, 5), (0.0, 1.0), (0.0, 255.0), (5.5, 7e4)])
def test_32_bit_pictures_outside_16_bits_and_floats_are_refused(tmp_path, values):
    pixels = np.linspace(*values, 64).reshape(8, 8)
    pixels = pixels.astype(np.float32 if isinstance(values[0], float) else np.int32)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "a.png")  # formats are told by their content
    for load in (load_image, load_mask, load_map):
        with pytest.raises(DataError, match=r"a.png: has values from .* to .*; rescale to 8 or 16 bits"):
            load(tmp_path / "a.png")
    with pytest.raises(DataError, match="rescale"):
        to_rgb(picture)


@pytest.mark.parametrize(("highest", "bits"), [(255, 8), (1000, 10), (4000, 12), (65535, 16)])
def test_32_bit_pictures_within_16_bits_are_read_as_16_bit_ones(tmp_path, highest, bits):
    pixels = np.linspace(0, highest, 64).reshape(8, 8).astype(np.int32)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    (tmp_path / "a.tif").rename(tmp_path / "a.png")
    assert np.array_equal(np.asarray(load_image(tmp_path / "a.png"))[..., 0], pixels >> (bits - 8))


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif"])
def test_half_a_picture_is_refused_although_another_library_allows_it(tmp_path, monkeypatch, suffix):
    noise = np.random.RandomState(0).randint(0, 256, (90, 90, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / f"whole.{suffix}")
    content = (tmp_path / f"whole.{suffix}").read_bytes()
    (tmp_path / f"half.{suffix}").write_bytes(content[: len(content) // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)

    def load(name):
        try:
            return load_image(tmp_path / f"{name}.{suffix}").size
        except DataError:
            return None

    with ThreadPoolExecutor(4) as pool:  # their switch comes back only after the last thread
        assert list(pool.map(load, ["half", "whole"] * 20)) == [None, (90, 90)] * 20
    with pytest.raises(DataError), Image.open(tmp_path / f"half.{suffix}") as lazy:
        to_rgb(lazy)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("how", ["error", "always", "default"])
def test_a_sound_picture_with_a_damaged_exif_block_is_read_without_a_warning(tmp_path, how):
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "png", "webp"):
        Image.new("RGB", (60, 40), "red").save(tmp_path / f"a.{suffix}", exif=exif.tobytes()[:-2])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter(how)
        before = list(warnings.filters)
        for suffix in ("jpg", "png", "webp"):
            assert load_image(tmp_path / f"a.{suffix}").size in ((60, 40), (40, 60))
            assert load_with_opacity(tmp_path / f"a.{suffix}")[1] is None
        assert warnings.filters == before
        with own_switches(), own_switches():
            assert warnings.filters != before
        assert warnings.filters == before and not seen


class Bare:
    """A stderr that only writes, such as a program's log window."""

    def write(self, text):
        pass


@pytest.mark.parametrize("kind", ["none", "closed", "bare", "memory"])
def test_library_calls_work_whatever_stderr_is(toy, monkeypatch, kind):
    stream = {"none": None, "closed": io.StringIO(), "bare": Bare(), "memory": io.StringIO()}[kind]
    if kind == "closed":
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("gconet.progress.EVERY", 0)  # seconds until the first line
    assert score_folders(toy / "gts/toy", toy / "gts/toy").figures["mae"] == 0
    assert check_set(toy, "toy")[1] == []
    assert list(progress([1, 2], "a", 2, unit="b")) == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["file", "stdin", "killed"])
def test_scores_are_whole_although_other_processes_cannot_start(tmp_path, how):
    (tmp_path / "m/g").mkdir(parents=True)
    for i in range(130):
        Image.fromarray(np.eye(20, dtype=np.uint8) * 255).save(tmp_path / f"m/g/{i}.png")
    code = "from gconet.evaluation import score_folders\nfrom pathlib import Path\n"
    code += "print(score_folders(Path('m'), Path('m'), workers=2).images)\n"
    if how == "killed":
        code = f"import os\nif __name__ != '__main__': os._exit(9)\n{code}"
    (tmp_path / "script.py").write_text(code)
    source = "-" if how == "stdin" else "script.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, source], input=code, cwd=tmp_path, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "130\n"), done.stderr
    assert "this process scores the rest" in done.stderr


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "a\rb\tc", "x | y\u2028z"])
@pytest.mark.parametrize("markdown", [False, True])
def test_names_with_escape_codes_and_line_breaks_stay_in_their_row(name, markdown):
    plain = score_arrays([("group", "0", draw(255), draw(255))])
    tables = []
    for one in ("name", name):
        scores = replace(plain, method=one, dataset=f"set {one}", groups={one: plain})
        tables.append(format_table(scores, markdown=markdown, groups=True))
    assert not {"\x1b", "\r", "\t", "\u2028"} & set(tables[1])
    assert tables[0].count("\n") == tables[1].count("\n")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EACCES])
def test_no_command_has_to_open_or_sync_a_folder(train, run, toy, tmp_path, monkeypatch, number):
    """Kind 17 of issue 38, fixed by removing that: SMB, FUSE and 9p cannot do it."""

    def refuse(call, is_folder):
        def refusing(place, *args, **options):
            if is_folder(place):
                raise OSError(number, os.strerror(number))
            return call(place, *args, **options)

        return refusing

    monkeypatch.setattr(os, "fsync", refuse(os.fsync, lambda fd: stat.S_ISDIR(os.fstat(fd).st_mode)))
    monkeypatch.setattr(os, "open", refuse(os.open, os.path.isdir))
    assert train("train.steps=2") == 0
    assert read_checkpoint(tmp_path / "runs/r/last.pt")["training"]["step"] == 2
    gts, files = toy / "gts/toy", (tmp_path / "a.json", tmp_path / "new/a.md")
    given = ["--maps", gts, "--gts", gts, "--json", files[0], "--markdown", files[1], "--workers", 1]
    assert "MAE" in run("scripts/evaluate.py", *given).stdout
    assert json.loads(files[0].read_text())["mae"] == 0 and "| toy | 12 |" in files[1].read_text()


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_file_that_cannot_be_replaced_is_written_in_place_and_said(tmp_path, monkeypatch, capsys, number):
    def replace(self, target):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", replace)
    (tmp_path / "a.json").write_text("old")
    if number == errno.ENOSPC:
        with pytest.raises(OSError, match="a.json"):
            write_file(tmp_path / "a.json", "new")
        assert (tmp_path / "a.json").read_text() == "old"
    else:
        write_file(tmp_path / "a.json", "new")
        assert (tmp_path / "a.json").read_text() == "new"
        assert "a.json cannot be replaced" in capsys.readouterr().err
        with pytest.raises(OSError, match="b.json"):
            write_file(tmp_path / "b.json", "new")  # was not there
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("name", ["a" * 250 + ".json", "é" * 125 + ".csv", "b" * 255])
def test_a_file_may_have_the_longest_name_that_the_system_allows(tmp_path, name):
    for content in ("1", "2"):
        write_file(tmp_path / name, content)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "2")]
