"""The check of whole data sets: everything wrong is listed, by path; the command's exit status."""

import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from gconet.data.groups import list_sets, scan_set
from gconet.data.sets import known_sets
from gconet.data.toy import make_toy_set
from gconet.errors import DataError
from scripts.check_data import check_set
from tests.conftest import ROOT


@pytest.fixture
def root(tmp_path):
    make_toy_set(tmp_path, "toy", classes=3, images_per_class=3, size=32)
    return tmp_path


def find_problems(root, name="toy"):
    return {(p.kind, p.path.relative_to(root).as_posix()) for p in check_set(root, name)[1]}


def test_names_pair_in_either_unicode_form(root):
    """As in training: macOS decomposes é, other systems do not."""
    group = sorted((root / "images/toy").iterdir())[0]
    for side, form in (("images", "NFD"), ("gts", "NFC")):
        folder = root / side / "toy" / unicodedata.normalize(form, "café")
        (root / side / "toy" / group.name).rename(folder)
        for path in list(folder.iterdir()):
            path.rename(folder / f"{unicodedata.normalize(form, 'é')}{path.name}")
    assert len(scan_set(root, "toy")) == 3
    assert check_set(root, "toy") == ("3 groups, 9 images, 9 masks", [])
    twin = root / "images/toy" / unicodedata.normalize("NFC", "café")
    shutil.copytree(root / "images/toy" / unicodedata.normalize("NFD", "café"), twin)
    assert [p.kind for p in check_set(root, "toy")[1]] == ["double group"]


def test_everything_wrong_is_listed(root):
    a, b, c = (p.name for p in sorted((root / "images/toy").iterdir()))
    images, gts = root / "images/toy", root / "gts/toy"
    (images / a / "000.jpg").write_bytes((images / a / "000.jpg").read_bytes()[:400])  # truncated
    (gts / a / "001.png").write_text("not a picture")
    (gts / b / "000.png").unlink()
    (images / b / "001.jpg").unlink()
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(gts / b / "002.png")
    Image.new("RGB", (32, 32)).save(images / c / "000.png")
    Image.new("RGB", (32, 32)).save(images / "loose.png")
    (images / "empty").mkdir()
    (images / a / "readme.txt").write_text("other files do not matter")
    (images / a / ".hidden.jpg").write_text("nor do hidden ones")
    assert find_problems(root) == {
        ("unusable", f"images/toy/{a}/000.jpg"),
        ("unusable", f"gts/toy/{a}/001.png"),
        ("no mask", f"images/toy/{b}/000.jpg"),
        ("no image", f"gts/toy/{b}/001.png"),
        ("mask size", f"gts/toy/{b}/002.png"),
        ("double stem", f"images/toy/{c}/000.png"),
        ("stray file", "images/toy/loose.png"),
        ("empty group", "images/toy/empty"),
    }


def test_missing_sides_sets_and_roots_are_named(run, root, tmp_path):
    (root / "gts").rename(root / "elsewhere")
    found = find_problems(root)
    assert ("missing folder", "gts/toy") in found
    assert sum(kind == "no mask" for kind, _ in found) == 9
    assert list_sets(root) == ["toy"]
    with pytest.raises(DataError, match="CoCA.*toy"):
        check_set(root, "CoCA")
    assert "nowhere" in run("scripts/check_data.py", "--root", tmp_path / "nowhere", status=1).stderr


def test_masks_of_distractors_are_checked_if_they_are_there(run, root):
    a, b, c = (p.name for p in sorted((root / "images/toy").iterdir()))
    others = root / "distractors/toy"
    shutil.copytree(root / "gts/toy", others)
    done = run("scripts/check_data.py", "--root", root)
    assert "9 images, 9 masks, 9 distractor masks: no problems" in done.stdout
    (others / a / "000.png").write_text("not a picture")
    (others / a / "001.png").rename(others / a / "009.png")
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(others / b / "002.png")
    (root / "images/toy" / c / "000.jpg").write_text("not a picture")  # in two pairs, named once
    assert find_problems(root) == {
        ("unusable", f"distractors/toy/{a}/000.png"),
        ("no mask", f"images/toy/{a}/001.jpg"),
        ("no image", f"distractors/toy/{a}/009.png"),
        ("mask size", f"distractors/toy/{b}/002.png"),
        ("unusable", f"images/toy/{c}/000.jpg"),
    }
    assert len(check_set(root, "toy")[1]) == 5


def test_known_totals(root):
    for side in ("images", "gts"):
        (root / side / "toy").rename(root / side / "CoCA")
    assert find_problems(root, "CoCA") == {("wrong total", "images/CoCA")}
    counts = {name: (known.get("images"), known.get("groups")) for name, known in known_sets().items()}
    assert counts["DUTS_class"] == (8250, 291)
    assert counts["iCoseg"] == (643, 38) and counts["VOC_distractors"] == (94, 10)
    text = (ROOT / "data/README.md").read_text()
    rows = {name: row for name in counts for row in text.splitlines() if row.startswith(f"| `{name}` |")}
    assert rows.keys() == counts.keys()
    for name, known in known_sets().items():
        assert f"| {known['use']} |" in rows[name]
        assert "images" not in known or f"| {known['images']:,} | {known['groups']} |" in rows[name]


def test_command(run, root):
    given = ["scripts/check_data.py", "--root", root]
    done = run(*given)
    assert (done.stdout, done.stderr) == ("toy: 3 groups, 9 images, 9 masks: no problems\n", "")
    broken = sorted((root / "gts/toy").rglob("*.png"))[0]
    broken.write_bytes(b"")
    done = run(*given, "--set", "toy", status=1)
    assert "1 problem\n" in done.stdout and f"unusable: {broken}: " in done.stdout
    assert done.stderr.count("\n") == 1
    assert "CoCA" in run(*given, "--set", "CoCA", status=1).stderr
    run(*given, "--bogus", status=2)
