"""`gconet cutouts PHOTOS`: from photographs to maps, cut-outs, thumbnails and a page; what to check."""

import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from gconet.applications.doubts import map_doubts
from gconet.cli.cutouts import main as cutouts
from gconet.cli.maps import main as maps
from gconet.data.groups import scan_sources
from gconet.errors import ConfigError, DataError
from gconet.progress import progress


@pytest.fixture
def photos(tmp_path, toy):
    """Two folders of pictures in different places, and some loose ones."""
    a, b, c = sorted((toy / "images/toy").iterdir())
    shutil.copytree(a, tmp_path / "in/cats")
    shutil.copytree(b, tmp_path / "elsewhere/dogs")
    shutil.copytree(c, tmp_path / "loose")
    (tmp_path / "in/cats/notes.txt").write_text("x")
    return tmp_path


@pytest.fixture
def call(monkeypatch, checkpoint, capsys):
    """Run a verb with the small network; returns its status and what it printed."""

    def call(main, *args):
        given = ["--checkpoint", checkpoint, "--device", "cpu", "--precision", "fp32"]
        monkeypatch.setattr(sys, "argv", ["gconet", *map(str, args), *map(str, given)])
        return main(), capsys.readouterr()

    return call


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_photographs_to_everything_in_one_call(call, photos):
    out, loose = photos / "out", sorted((photos / "loose").iterdir())[:2]
    given = [photos / "in/cats", photos / "elsewhere/dogs", *loose, "--output"]
    status, printed = call(cutouts, *given, out, "--thumbnails")
    assert status == 0 and "10 maps of 3 groups" in printed.out and "10 cut-outs in" in printed.out
    assert "10 thumbnails in" in printed.out and "notes.txt" in printed.err
    wanted = [f"{g}/{i:03d}" for g, count in (("cats", 4), ("dogs", 4), ("loose", 2)) for i in range(count)]
    for kind, suffix in (("maps", "png"), ("masks", "png"), ("cutouts", "png"), ("crops", "jpg")):
        there = [name for name in names(out / kind) if not name.startswith("presence.")]
        assert there == [f"{name}.{suffix}" for name in wanted]
    page = (out / "index.html").read_text()
    assert page.count("<article") == page.count("<span>thumbnail</span>") == 10
    # the maps are those of `gconet maps`, and with --maps the cut-outs are the same
    assert call(maps, *given, photos / "m")[0] == 0
    for name in wanted:
        assert (photos / f"m/{name}.png").read_bytes() == (out / f"maps/{name}.png").read_bytes()
    status, _ = call(cutouts, photos / "in/cats", "--maps", photos / "m/cats", "--output", photos / "again")
    for name in (f"cutouts/cats/{i:03d}.png" for i in range(4)):
        assert (photos / "again" / name).read_bytes() == (out / name).read_bytes()
    with pytest.raises(DataError, match=f"no images in .* of {out}; .*; did you mean {out}/maps"):
        call(cutouts, photos / "in/cats", "--maps", out, "--output", photos / "again")


def test_given_maps_are_judged_too(call, photos):
    assert call(maps, photos / "in/cats", "--output", photos / "m")[0] == 0
    for i, level in enumerate((0, 255, 100)):
        Image.new("L", (48, 48), level).save(photos / f"m/cats/{i:03d}.png")
    y, x = np.mgrid[:48, :48]
    Image.fromarray(np.uint8(255 * (np.hypot(y - 20, x - 20) < 15))).save(photos / "m/cats/003.png")
    status, printed = call(cutouts, photos / "in/cats", "--maps", photos / "m", "--output", photos / "out")
    wanted = "check 3 of 4: cats/000 (empty map), cats/002 (empty map), cats/001 (the whole picture)\n"
    assert status == 0 and wanted in printed.out and "presence" not in printed.out
    page = (photos / "out/index.html").read_text()
    assert page.count("<b>empty map</b>") == 2 and "To check<small>3 pictures" in page


def test_wrong_sources_are_named(call, photos):
    some, file = photos / "in/cats", photos / "in/cats/000.jpg"
    several = [some, photos / "loose"]
    for given in ([], [some, "--images", some], [*several, "--gts", some], [*several, "--maps", some]):
        with pytest.raises(ConfigError, match=str(given[-2]) if given else "PHOTOS"):
            call(cutouts, *given, "--output", photos / "out")
    for main in (maps, cutouts):
        with pytest.raises(ConfigError, match="--output"):
            call(main, some, photos / "loose")
    for given in ([photos / "none"], [some, photos / "none.jpg"], [some / "notes.txt"], [file, some]):
        with pytest.raises(DataError, match=given[-1].name):
            call(cutouts, *given, "--output", photos / "out")
    with pytest.raises(ConfigError, match="000.jpg lies in --output"):  # it could be replaced by its map
        call(maps, file, photos / "in/cats/001.jpg", "--output", photos / "in", "--overwrite")
    with pytest.raises(ConfigError, match="lies in --images"):
        call(cutouts, some, photos / "loose", "--output", some / "out")
    assert not (photos / "out").exists()


def test_single_files_of_one_folder_are_a_group(photos):
    files = sorted((photos / "loose").iterdir())
    Image.open(files[0]).save(photos / "loose/000.png")
    [group] = scan_sources([files[1], files[0], photos / "in/../loose/000.jpg", photos / "loose/000.png"])
    assert group.name == "loose" and [item.stem for item in group.items] == ["000.jpg", "000.png", "001"]
    (photos / "link.jpg").symlink_to(files[0])
    [group] = scan_sources([photos / "link.jpg"])
    assert group.name == photos.name and group.items[0].image == photos / "link.jpg"


def disc(values=(0, 255), radius=60, shape=(200, 300), centres=((100, 150),)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    m = np.full(shape, values[0], np.uint8)
    for cy, cx in centres:
        m[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = values[1]
    return m


@pytest.mark.parametrize(("m", "expected"), [
    (disc(), []), (disc(values=(0, 127)), ["empty map"]), (disc(values=(0, 0)), ["empty map"]),
    (disc(values=(255, 255)), ["the whole picture"]), (disc(values=(0, 150)), ["unsure map"]),
    (disc(values=(100, 255)), ["unsure map"]), (np.zeros((1, 1), np.uint8), ["empty map"]),
    (disc(radius=20, centres=((50, 50), (50, 250), (150, 150))), ["in pieces"]),
    (disc(radius=20, centres=((50, 50), (50, 250))), []),  # two alike: a pair is common
    (disc(radius=600, shape=(2000, 3000), centres=((1000, 1500),)), []),
])  # fmt: skip
def test_doubts_of_a_map(m, expected):
    assert map_doubts(m) == expected


def test_progress_elsewhere_than_on_a_terminal_is_a_line_a_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    for _ in progress(range(10), "maps", 10, unit="image"):
        now[0] += 25
    lines = capsys.readouterr().err.replace("\r", "").split("\n")
    assert [line for line in lines if line.strip()] == [
        "maps: 3 of 10 images, 02:55 left", "maps: 6 of 10 images, 01:40 left",
        "maps: 9 of 10 images, 00:25 left",
    ]  # fmt: skip
    assert list(progress(range(3), "quiet", 3, unit="image")) == [0, 1, 2]  # done within the first minute
    assert capsys.readouterr().err == ""


def test_results_go_to_a_folder_of_the_groups_or_the_pictures_name(call, photos, monkeypatch):
    monkeypatch.chdir(photos)
    call(cutouts, photos / "in/cats/001.jpg")
    assert (photos / "results/001/cutouts/cats/001.png").exists()
    (photos / "in/cats/bad.png").write_bytes(b"x")  # is left out of everything
    status, printed = call(cutouts, photos / "in/cats")
    assert status == 1 and "4 cut-outs in results/cats/cutouts\n" in printed.out
    assert "bad.png" in printed.err and len(names(photos / "results/cats/cutouts/cats")) == 4


def test_an_empty_cut_out_of_a_good_map_is_named(call, photos):
    picture = Image.open(photos / "in/cats/000.jpg").convert("RGBA")
    picture.putalpha(0)
    (photos / "in/cats/000.jpg").unlink()
    picture.save(photos / "in/cats/000.png")
    (photos / "m/cats").mkdir(parents=True)
    m = disc(shape=(picture.height, picture.width), radius=20, centres=((30, 30),))
    for i in range(4):
        Image.fromarray(m).save(photos / f"m/cats/{i:03d}.png")
    _, printed = call(cutouts, photos / "in/cats", "--maps", photos / "m/cats", "--output", photos / "out")
    assert "cats/000 (empty cut-out)" in printed.out
    assert "empty cut-out" in (photos / "out/index.html").read_text()
