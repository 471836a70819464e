"""Folders of maps: pairing, what is left out, workers, tables, files and the command."""

import json
import subprocess
import sys

import numpy as np
import PIL
import pytest
from PIL import Image

from gconet.errors import DataError
from gconet.evaluation import CONVENTIONS, format_table, score_arrays, score_folders, score_map
from gconet.evaluation.plots import plot_curves
from gconet.evaluation.scorer import MAPS_PER_WORKER
from gconet.evaluation.tables import COLUMNS
from gconet.opencv import cv2
from tests.conftest import ROOT
from tests.official import GOLDEN, needs_golden

METRICS = GOLDEN / "metrics"


def write_pair(root, name, seed, size=(20, 16)):
    """A random map and mask (width, height) as `root`/maps and `root`/gts/<group>/<stem>.png."""
    noise = np.random.RandomState(seed)
    mask = np.where(noise.rand(*size[::-1]) > 0.6, 255, 0)
    for folder, values in (("maps", 0.3 * mask + 178 * noise.rand(*mask.shape)), ("gts", mask)):
        path = root / folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype(np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """maps and gts: three maps of group cat, one of group dog."""
    for seed, name in enumerate(("cat/a", "cat/b", "cat/c", "dog/a")):
        write_pair(tmp_path, name, seed)
    return tmp_path


def score(root, **options):
    return score_folders(root / "maps", root / "gts", **options)


def load(path):
    return np.asarray(Image.open(path).convert("L"))


@needs_golden
def test_golden_maps_score_as_eval_co_sod_prints():
    expected = json.loads((METRICS / "expected.json").read_text())
    scores = score(METRICS)
    near = 1e-5 if int(PIL.__version__.split(".")[0]) >= 13 else 1e-4  # Pillow 13 resizes maps otherwise
    assert scores.images == expected["images"]
    figures = scores.figures
    for name in COLUMNS:
        assert figures[name] == pytest.approx(expected["s" if name == "s_measure" else name], abs=1e-5), name
    curves = {"f": "f_curve", "e": "e_curve", "precision": "precision", "recall": "recall"}
    for ours, theirs in curves.items():
        np.testing.assert_allclose(scores.curves[ours], expected[theirs], rtol=0, atol=near, err_msg=ours)


def test_the_set_is_averaged_over_images_not_groups(folders):
    scores = score(folders)
    maes = {
        name: score_map(load(folders / f"maps/{name}.png"), load(folders / f"gts/{name}.png")).figures["mae"]
        for name in ("cat/a", "cat/b", "cat/c", "dog/a")
    }
    assert scores.figures["mae"] == pytest.approx(np.mean(list(maes.values())))
    cats = np.mean([maes[n] for n in maes if n[:3] == "cat"])
    assert scores.groups["cat"].figures["mae"] == pytest.approx(cats)
    assert scores.groups["dog"].images == 1
    assert scores.groups["cat"].per_image["b"]["mae"] == pytest.approx(maes["cat/b"])
    of_groups = [group.figures["max_f"] for group in scores.groups.values()]
    assert scores.figures["max_f"] == scores.curves["f"].max() != np.mean(of_groups)


def test_workers_and_arrays_change_nothing(tmp_path, folders):
    for seed in range(2 * MAPS_PER_WORKER):
        write_pair(tmp_path / "many", f"group{seed % 3}/{seed}", seed, size=(12, 9))
    many = tmp_path / "many/maps", tmp_path / "many/gts"
    alone, shared = (score_folders(*many, workers=workers) for workers in (0, 2))
    assert alone.to_dict() == shared.to_dict()
    names = ["dog/a", "cat/c", "cat/a", "cat/b"]  # the files are read in another order
    maps = [
        (*name.split("/"), load(folders / f"maps/{name}.png"), load(folders / f"gts/{name}.png"))
        for name in names
    ]
    for convention in CONVENTIONS:
        ours = score_arrays(maps, convention=convention)
        files = score_folders(folders / "maps", folders / "gts", convention=convention)
        assert ours.figures == pytest.approx(files.figures, abs=1e-12)


def test_maps_pair_by_name_and_take_their_masks_size(folders):
    path = folders / "maps/dog/a.png"
    small = Image.open(path).resize((7, 5))
    small.save(path)
    resized = np.asarray(small.resize((20, 16), Image.Resampling.BILINEAR))
    expected = score_map(resized, load(folders / "gts/dog/a.png"))
    assert score(folders).groups["dog"].figures["mae"] == expected.figures["mae"]
    scores = score_folders(folders / "maps/cat", folders / "gts/cat")
    assert scores.images == 3
    renamed = (folders / "maps/cat").rename(folders / "feline")
    assert score_folders(renamed, folders / "gts/cat").figures == scores.figures
    for path in (folders / "maps").rglob("*.png"):
        path.rename(path.with_stem(f"{path.stem}_map"))
    with pytest.raises(DataError, match="cat/a.*dog/a_map"):
        score(folders)


@pytest.mark.parametrize(("broken", "named"), [
    (["-maps/cat/b.png", "-gts/dog/a.png"], "cat/b.*dog/a"), (["-maps/dog/a.png"], "dog/a"),
    (["maps/cat/b.png", "maps/dog/a.png"], "maps/cat/b.png"), (["gts/cat/b.png"], "gts/cat/b.png"),
])  # fmt: skip
def test_what_does_not_pair_or_cannot_be_read_is_an_error_that_names_it(folders, broken, named):
    for name in broken:
        path = folders / name.removeprefix("-")
        path.unlink()
        if path == folders / name:
            path.write_bytes(b"not a picture")
    with pytest.raises(DataError, match=named):
        score(folders)


def test_a_plot_shows_the_curves(folders):
    pytest.importorskip("matplotlib")
    scores = score(folders)
    (folders / "curves.png").write_bytes(plot_curves([scores, scores], "png"))
    picture = load(folders / "curves.png")
    assert picture.shape == (600, 1950)
    assert np.unique(picture).size > 20


def test_command_writes_what_is_asked_and_never_over_it(folders, run):
    maps, gts, out = folders / "maps", folders / "gts", folders / "out"
    options = ["--maps", maps, "--gts", gts, "--json", out / "a.json", "--markdown", out / "a.md"]
    done = run("scripts/evaluate.py", *options, "--workers", 1)
    assert format_table(score(folders)) in done.stdout
    assert json.loads((out / "a.json").read_text()) == score(folders).to_dict()
    assert (out / "a.md").read_text() == format_table(score(folders), markdown=True) + "\n"
    (out / "a.json").write_text("kept")
    refused = run("scripts/evaluate.py", *options, status=2)
    assert "a.json" in refused.stderr and refused.stderr.count("\n") == 1
    assert (out / "a.json").read_text() == "kept"
    run("scripts/evaluate.py", *options, "--overwrite", "--convention", "pysodmetrics")
    assert json.loads((out / "a.json").read_text())["convention"] == "pysodmetrics"
    for place in (out, out / "a.md/b.json"):  # a folder, and a file in the place of one
        blocked = run("scripts/evaluate.py", *options[:4], "--json", place, "--overwrite", status=2)
        assert str(place) in blocked.stderr and not blocked.stdout


@pytest.mark.slow
def test_the_three_benchmarks_total_in_a_minute_and_a_gigabyte(tmp_path):
    """6,626 maps with two workers, as if each of the three processes were as large as the largest one."""
    r = np.random.RandomState(0)
    for number in range(6626):
        for kind in ("maps", "gts"):
            path = tmp_path / kind / f"group{number // 40:03d}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = cv2.resize(r.rand(6, 8), (400, 300), interpolation=cv2.INTER_CUBIC)
            picture = picture > 0.5 if kind == "gts" else picture
            cv2.imwrite(str(path), np.clip(255.0 * picture, 0, 255).astype(np.uint8))
    command = [sys.executable, "scripts/evaluate.py", "--workers", "2", "--maps", f"{tmp_path}/maps"]
    code = f"""
import resource, subprocess, time
start = time.perf_counter()
subprocess.run({[*command, "--gts", f"{tmp_path}/gts"]!r}, stdout=subprocess.DEVNULL, check=True)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    seconds, kibibytes = map(float, done.stdout.split())
    print(f"{seconds:.0f} s, {3 * kibibytes / 1024:.0f} MiB")
    assert seconds < 60 and 3 * kibibytes * 1024 < 1e9
