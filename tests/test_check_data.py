"""The check of whole data sets: everything wrong is listed, by path; the command's exit status."""

import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from gconet.data.groups import list_sets, scan_set
from gconet.data.sets import known_sets
from gconet.data.toy import make_toy_set
from scripts.check_data import check_set
from tests.conftest import ROOT


@pytest.fixture
def root(tmp_path):
    make_toy_set(tmp_path, "toy", classes=3, images_per_class=3, size=32)
    return tmp_path


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
    images, gts, others = root / "images/toy", root / "gts/toy", root / "distractors/toy"
    shutil.copytree(gts, others)
    assert check_set(root, "toy") == ("3 groups, 9 images, 9 masks, 9 distractor masks", [])
    cut = images / a / "000.jpg"  # in two pairs, named once
    cut.write_bytes(cut.read_bytes()[:400])
    (gts / a / "001.png").write_text("not a picture")
    (gts / b / "000.png").unlink()
    (images / b / "001.jpg").unlink()
    (others / b / "001.png").rename(others / b / "009.png")
    for folder in (gts / b, others / c):
        Image.fromarray(np.zeros((5, 7), np.uint8)).save(folder / "002.png")
    Image.new("RGB", (32, 32)).save(images / c / "000.png")
    Image.new("RGB", (32, 32)).save(images / "loose.png")
    (images / "empty").mkdir()
    (images / a / "readme.txt").write_text("other files do not matter")
    (images / a / ".hidden.jpg").write_text("nor do hidden ones")
    problems = [(p.kind, p.path.relative_to(root).as_posix()) for p in check_set(root, "toy")[1]]
    assert sorted(problems) == sorted([
        ("unusable", f"images/toy/{a}/000.jpg"), ("unusable", f"gts/toy/{a}/001.png"),
        ("no mask", f"images/toy/{b}/000.jpg"), ("no image", f"gts/toy/{b}/001.png"),
        ("no image", f"distractors/toy/{b}/009.png"), ("mask size", f"gts/toy/{b}/002.png"),
        ("mask size", f"distractors/toy/{c}/002.png"), ("double stem", f"images/toy/{c}/000.png"),
        ("stray file", "images/toy/loose.png"), ("empty group", "images/toy/empty"),
    ])  # fmt: skip


def test_known_totals(root):
    for side in ("images", "gts"):
        (root / side / "toy").rename(root / side / "CoCA")
    [problem] = check_set(root, "CoCA")[1]
    assert (problem.kind, problem.path) == ("wrong total", root / "images/CoCA")
    counts = {name: (known.get("images"), known.get("groups")) for name, known in known_sets().items()}
    assert counts["DUTS_class"] == (8250, 291)
    assert counts["iCoseg"] == (643, 38) and counts["VOC_distractors"] == (94, 10)
    text = (ROOT / "data/README.md").read_text()
    rows = {name: row for name in counts for row in text.splitlines() if row.startswith(f"| `{name}` |")}
    assert rows.keys() == counts.keys()
    for name, known in known_sets().items():
        assert f"| {known['use']} |" in rows[name]
        assert "images" not in known or f"| {known['images']:,} | {known['groups']} |" in rows[name]


def test_command(run, root, tmp_path):
    given = ["scripts/check_data.py", "--root", root]
    done = run(*given)
    assert (done.stdout, done.stderr) == ("toy: 3 groups, 9 images, 9 masks: no problems\n", "")
    broken = sorted((root / "gts/toy").rglob("*.png"))[0]
    broken.write_bytes(b"")
    done = run(*given, "--set", "toy", status=1)
    assert "1 problem\n" in done.stdout and f"unusable: {broken}: " in done.stdout
    assert done.stderr.count("\n") == 1
    shutil.rmtree(root / "gts")
    kinds = [problem.kind for problem in check_set(root, "toy")[1]]
    assert sorted(kinds) == ["missing folder", *["no mask"] * 9] and list_sets(root) == ["toy"]
    stderr = run(*given, "--set", "CoCA", status=1).stderr
    assert "CoCA" in stderr and "toy" in stderr
    assert "nowhere" in run(given[0], "--root", tmp_path / "nowhere", status=1).stderr
