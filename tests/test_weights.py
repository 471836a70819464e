"""The weights that ship: they load, they are checked, and how well they see what demo groups share."""

import shutil

import numpy as np
import pytest
import torch

import gconet
from gconet import checkpoint
from gconet.data.groups import scan_groups
from gconet.data.images import load_mask
from gconet.data.transforms import resize_mask
from gconet.errors import CheckpointError
from gconet.evaluation import score_folders
from gconet.inference.predictor import Predictor
from gconet.inference.reference import Reference
from tests.conftest import ROOT, read_group

DEMO = ROOT / "data/demo"
# pictures that hold another group's object too: its group, its stem, the other group
SHARED = [
    ("bird", "01", "cattle"), ("bird", "02", "car"), ("car", "00", "bird"), ("car", "01", "cattle"),
    ("car", "03", "guitar"), ("cattle", "01", "car"), ("cattle", "02", "bird"), ("guitar", "00", "bird"),
    ("guitar", "01", "car"),
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return gconet.load_pretrained()


@pytest.mark.parametrize("name", checkpoint.PRETRAINED)
def test_the_shipped_files_are_small_plain_and_whole(name):
    (path, _), model = checkpoint.PRETRAINED[name], gconet.load_pretrained(name)
    content = torch.load(path, weights_only=True)
    assert {tensor.dtype for tensor in content["model"].values()} == {torch.float16}
    assert path.stat().st_size < 35e6 and "training" not in content
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(16.83e6, rel=1e-3)
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())


def test_a_truncated_or_altered_file_is_refused(tmp_path, monkeypatch):
    own, digest = checkpoint.PRETRAINED["paper"]
    data, path = own.read_bytes(), tmp_path / "gconet.pt"
    monkeypatch.setitem(checkpoint.PRETRAINED, "paper", (path, digest))
    middle = len(data) // 2
    for content in (data[:-1000], data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="gconet.pt"):
            gconet.load_pretrained("paper")


def test_the_bare_commands_end_in_maps_scores_and_a_page(run, tmp_path):
    shutil.copytree(DEMO, tmp_path / "data/demo")
    done = run("test.py", cwd=tmp_path)
    assert "34 maps of 6 groups in results/demo" in done.stdout and "J@.5" in done.stdout
    assert (tmp_path / "results/demo/index.html").is_file()
    options = ["--distractors", "data/demo/others"]
    table = run("scripts/evaluate.py", *options, cwd=tmp_path).stdout.splitlines()
    assert table[1:] == done.stdout.splitlines()[2:][: len(table) - 1]
    scores = score_folders(tmp_path / "results/demo", DEMO / "gts")
    j_half = {name: group.figures["j_half"] for name, group in scores.groups.items()}
    hard = [j_half[name] * scores.groups[name].images for name in ("bird", "car", "cattle", "guitar")]
    # 0.812 in fp32; 0.806 on the composites, where marking every object perfectly reaches 0.488
    assert scores.figures["j_half"] > 0.8 and sum(hard) / 23 > 0.79
    assert j_half["album_birds"] > 0.86 and j_half["album_fish"] > 0.76  # 0.874 and 0.781
    assert j_half["guitar"] > 0.5  # 0.563, though the training set holds no guitars


def test_a_reference_darkens_other_objects_unless_the_papers_way_is_asked_for():
    picture, car, other = DEMO / "images/car/02.jpg", DEMO / "gts/car/02.png", DEMO / "others/car/02.png"
    maps = [
        Predictor.load(consensus=c)(picture, reference=Reference.named("car"))[0] for c in (None, "group")
    ]
    (on, off), (plain_on, plain_off) = [
        [m[np.asarray(load_mask(k)) > 0].mean() for k in (car, other)] for m in maps
    ]
    assert on > 200 and plain_on > 200 and off < plain_off / 2, (on, off, plain_on, plain_off)


def test_weights_by_name():
    names = ("pretrained", "distractors", "paper")
    default, distractors, paper = (gconet.load_pretrained(n).encoder.features[28].weight for n in names)
    assert torch.equal(default, distractors) and not torch.equal(default, paper)
    with pytest.raises(CheckpointError, match="best.*paper"):
        gconet.load_pretrained("best")


@pytest.mark.slow
def test_the_weights_of_the_papers_recipe_mark_most_of_the_other_objects_too(run, tmp_path):
    run("test.py", "--checkpoint", "paper", "--output", tmp_path / "maps", cwd=ROOT)
    j_half = score_folders(tmp_path / "maps", DEMO / "gts").figures["j_half"]
    assert 0.61 < j_half < 0.64  # 0.626 in bf16


@pytest.mark.slow
def test_the_same_picture_in_another_group_has_another_map(model):
    """On average the map lies more on the object of the group that it is seen in."""
    groups = {group.name: group for group in scan_groups(DEMO / "images", DEMO / "gts")}
    gains = []
    with torch.inference_mode():
        encoded = {
            name: model.encode(read_group([i.image for i in group.items], 224).pixels / 255)
            for name, group in groups.items()
        }
        for own, stem, other in SHARED:
            [i] = [i for i, item in enumerate(groups[own].items) if item.stem == stem]
            *stages, features = (stage[i : i + 1] for stage in encoded[own])
            laterals = model.laterals(stages)
            mask = resize_mask(load_mask(groups[own].items[i].mask), 224) > 127
            shares = []
            for group in (encoded[own][-1], torch.cat([features, encoded[other][-1]])):
                m = model.decode(laterals, features, model.consensus(group).vector, (224, 224))[0]
                shares.append(float(m[mask].sum() / m.sum()))
            gains.append(shares[0] - shares[1])
    assert np.mean(gains) > 0.4 and np.median(gains) > 0.4 and sum(gain > 0.1 for gain in gains) >= 8
