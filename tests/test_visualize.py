"""The paper's figures: attention, consensus, comparisons."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from gconet.applications.drawing import draw_grid, draw_matrix, overlay, spread_attention
from gconet.config import load_config
from gconet.data.images import load_image
from gconet.data.transforms import resize_image
from gconet.inference.predictor import Predictor
from gconet.models import build_model
from tests.conftest import NARROW, ROOT, read_group


@pytest.mark.parametrize("setting", ["gam.softmax=image", "gam.softmax=group", "gam.enabled=false"])
def test_the_parts_average_to_the_consensus(toy, setting):
    torch.manual_seed(0)
    config = load_config(None, [setting, NARROW, *(["gcm.enabled=false"] if "enabled" in setting else [])])
    model = build_model(config).eval()
    paths = sorted((toy / "images/toy").rglob("*.jpg"))[:5]
    images = torch.stack([resize_image(load_image(path), 64) for path in paths]).float() / 255
    with torch.inference_mode():
        expected = model.consensus(model.encode(images)[-1])
    predictor, group = Predictor(model, size=64, device="cpu", precision="fp32"), read_group(paths, 64)
    parts, attention = predictor.consensus(group), predictor.attention(group)
    assert parts.shape == (5, 32) and attention.shape == (5, 4, 4)
    np.testing.assert_allclose(parts.mean(0), expected.vector[0, :, 0, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(attention, expected.attention[:, 0], rtol=1e-4, atol=1e-6)


def test_figures_are_what_they_are_by_hand():
    attention = np.zeros((4, 4), np.float32)
    attention[0, 3] = 0.7
    m = spread_attention(attention, 40, 80)
    assert m.shape == (40, 80) and m[:5, 75:].min() > 200 and m[20:].max() == 0
    shown = overlay(np.full((40, 80, 3), 100, np.uint8), m).astype(int)
    assert shown[2, 78].sum() > 2 * shown[30, 10].sum()
    assert spread_attention(np.zeros((4, 4), np.float32), 5, 5).max() == 0
    red, green = (
        np.full((h, w, 3), c, np.uint8) for h, w, c in ((30, 60, (200, 0, 0)), (90, 30, (0, 200, 0)))
    )
    grid = draw_grid([[red, green], [green, red]], ["one", "a very long title " * 9], height=40)
    for colour, area in (((200, 0, 0), 40 * 80), ((0, 200, 0), 40 * 13)):
        assert (grid == colour).all(2).sum() == 2 * area
    drawn = draw_matrix(np.float32([[1, 0.5], [0.5, 1]]), ["Äpfel", "b" * 40], "title")
    colours, counts = np.unique(drawn.reshape(-1, 3), axis=0, return_counts=True)
    assert sorted(counts[(counts >= 1500) & (colours.min(1) < 255)]) == [2 * 28 * 28] * 2


def test_attention_and_consensus_of_groups(run, checkpoint, toy, tmp_path):
    options = ["--checkpoint", checkpoint, "--images", shutil.copytree(toy / "images/toy", tmp_path / "in")]
    (bad := min((tmp_path / "in").iterdir()) / "bad.png").write_bytes(b"x")
    for figure in ("attention", "consensus"):
        call = ["gconet/__main__.py", "figures", figure, *options, "--output", tmp_path / figure]
        assert f"skipped: {bad}" in run(*call, status=1).stderr
        assert str(bad) in run(*call, "--strict", "--overwrite", status=1).stderr
    bad.unlink()
    run("gconet/__main__.py", "figures", "attention", *options, "--output", tmp_path / "a")
    assert len(list((tmp_path / "a").glob("*/*.jpg"))) == 12 + 2 * 12  # with the page's previews
    assert (tmp_path / "a/index.html").read_text().count("<article") == 12

    run("gconet/__main__.py", "figures", "consensus", *options, "--output", tmp_path / "c")
    table = list(csv.reader((tmp_path / "c/similarity.csv").open()))
    names = sorted(p.name for p in (toy / "images/toy").iterdir())
    assert table[0] == ["", *names] and [row[0] for row in table[1:]] == names
    values = np.float64([row[1:] for row in table[1:]])
    assert np.allclose(np.diag(values), 1) and np.allclose(values, values.T) and values.min() < 1
    assert load_image(tmp_path / "c/similarity.png").width > 100
    projector = tmp_path / "c/projector"
    assert (projector / "projector_config.pbtxt").is_file()
    rows = next(projector.rglob("metadata.tsv")).read_text().splitlines()
    assert len(rows) == 13 and len(next(projector.rglob("tensors.tsv")).read_text().splitlines()) == 12
    assert load_image(next(projector.rglob("sprite.png"))).width == 4 * 64  # 12 pictures in a square of 4 x 4


def test_the_grid_needs_no_torch_and_refuses_what_is_wrong(run, toy, tmp_path):
    images, gts = toy / "images/toy", toy / "gts/toy"

    def grid(*more, output=tmp_path / "grid.png", status=0):
        options = ["grid", "--images", images, "--gts", gts, "--output", output]
        return run("gconet/__main__.py", "figures", *options, *more, status=status)

    call = f"figures grid --images {images} --maps {gts} --output {tmp_path / 'first.png'}".split()
    command = [sys.executable, "-X", "importtime", "gconet/__main__.py", *call]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "gconet.data.groups" in imported and "torch" not in imported

    name = sorted(p.name for p in images.iterdir())[1]
    assert "6 pictures\n" in grid(f"--maps=ours={gts}", f"--maps={gts}", "--count", 2).stdout
    with Image.open(tmp_path / "grid.png") as drawn:  # pictures of 48 pixels, enlarged to 120
        assert drawn.height == 14 + 8 + 6 * 124 and drawn.width == 4 * 120 + 5 * 4
    for output in (tmp_path / "grid.png", tmp_path / "a.jpg", images / "a.png"):
        assert output.name in grid(f"--maps={gts}", output=output, status=2).stderr
    for option, more in (("--maps", [f"--maps={gts}"]), ("--count", ["--count", 0])):
        assert option in grid(f"--maps={gts}", *more, output=tmp_path / "new.png", status=2).stderr
    assert not (tmp_path / "new.png").exists()

    maps = shutil.copytree(gts, tmp_path / "maps")
    bad = min((maps / name).iterdir())
    bad.write_bytes(bad.read_bytes()[:50])
    left = grid(f"--maps={maps}", "--count", 2, output=tmp_path / "left.png", status=1)
    assert "5 pictures\n" in left.stdout and f"skipped: {bad}" in left.stderr
    assert str(bad) in grid(f"--maps={maps}", "--strict", output=tmp_path / "new.png", status=1).stderr
