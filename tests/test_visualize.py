"""The paper's figures: attention and consensus."""

import csv
import shutil

import numpy as np
import pytest
import torch

from gconet.applications.drawing import draw_matrix, overlay, spread_attention
from gconet.config import load_config
from gconet.data.images import load_image
from gconet.data.transforms import resize_image
from gconet.inference.predictor import Predictor
from gconet.models import build_model
from tests.conftest import NARROW, read_group


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
    drawn = draw_matrix(np.float32([[1, 0.5], [0.5, 1]]), ["Äpfel", "b" * 40], "title")
    colours, counts = np.unique(drawn.reshape(-1, 3), axis=0, return_counts=True)
    assert sorted(counts[(counts >= 1500) & (colours.min(1) < 255)]) == [2 * 28 * 28] * 2
    named = [draw_matrix(np.eye(2), ["é\n", name], "title") for name in ("猫", "犬")]
    assert not np.array_equal(*named)


def test_attention_and_consensus_of_groups(run, checkpoint, toy, tmp_path):
    options = ["--checkpoint", checkpoint, "--images", shutil.copytree(toy / "images/toy", tmp_path / "in")]
    (bad := min((tmp_path / "in").iterdir()) / "bad.png").write_bytes(b"x")
    calls = [["gconet/__main__.py", "figures", figure, *options, "--output", tmp_path / figure]
             for figure in ("attention", "consensus")]  # fmt: skip
    assert all(str(bad) in run(*call, status=1).stderr for call in calls)  # every picture counts in a figure
    bad.unlink()
    for call in calls:
        run(*call, "--overwrite")
    assert len(list((tmp_path / "attention").glob("*/*.jpg"))) == 12 + 2 * 12  # with the page's previews
    assert (tmp_path / "attention/index.html").read_text().count("<article") == 12
    table = list(csv.reader((tmp_path / "consensus/similarity.csv").open()))
    names = sorted(p.name for p in (toy / "images/toy").iterdir())
    assert table[0] == ["", *names] and [row[0] for row in table[1:]] == names
    values = np.float64([row[1:] for row in table[1:]])
    assert np.allclose(np.diag(values), 1) and np.allclose(values, values.T) and values.min() < 1
    assert load_image(tmp_path / "consensus/similarity.png").width > 100
