"""Two ranks under torchrun, and the smoke config as a user runs it: in processes of their own."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from gconet.config import load_config
from gconet.data.dataset import EpisodeDataset
from gconet.data.episodes import make_episodes
from gconet.data.groups import scan_set
from gconet.data.transforms import augment
from gconet.device import pick_memory_format
from gconet.engine.optimizer import make_optimizer
from gconet.losses import Criterion
from gconet.models import build_training_model
from tests.conftest import ROOT, log, same, weights

pytestmark = pytest.mark.slow


def two_ranks(folder, script, *args, **environment):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(ROOT / script), *map(str, args)], cwd=folder, env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_ranks_resume_bit_for_bit(tmp_path, toy):
    settings = ["--config", str(ROOT / "configs/smoke.yaml"), f"data.root={toy}", "train.device=cpu"]
    settings += ["validation.every=2", "train.epochs=2"]
    two_ranks(tmp_path, "train.py", *settings, "name=whole")
    two_ranks(tmp_path, "train.py", *settings, "train.steps=1", "name=parts")
    two_ranks(tmp_path, "train.py", "--resume", "runs/parts", "train.steps=null")
    assert same(weights(tmp_path / "runs/whole")[0], weights(tmp_path / "runs/parts")[0])
    events = [r["event"] for r in log(tmp_path / "runs/whole")]
    assert events == ["start", "step", "step", "epoch", "step", "step", "epoch", "validation", "done"]


def test_two_ranks_train_to_the_loss_of_one_with_the_same_pairs(tmp_path):
    """The smoke config: two ranks against one process that averages both pairs' gradients itself."""
    subprocess.run([sys.executable, "-m", "gconet.data.toy", "data"], cwd=tmp_path, check=True)
    settings = ["--config", str(ROOT / "configs/smoke.yaml"), "train.device=cpu", "train.steps=24"]
    settings.append("validation.set=null")
    two_ranks(tmp_path, "train.py", *settings)
    ranks = [r["total"] for r in log(tmp_path / "runs/smoke") if r["event"] == "step"]  # of the first rank

    layout = pick_memory_format(torch.device("cpu"), torch.float32, training=True)  # as train.py's
    config = load_config(ROOT / "configs/smoke.yaml", settings[2:])
    groups = scan_set(tmp_path / "data", "toy")
    dataset = EpisodeDataset(groups, make_episodes(config, groups), size=48)
    torch.manual_seed(config.seed)
    model = build_training_model(config, classes=len(groups)).to(memory_format=layout)
    optimizer, criterion = make_optimizer(config.optimizer, model), Criterion(**vars(config.loss))
    alone = []
    for step in range(24):
        optimizer.zero_grad()
        losses = []
        for index in (2 * step, 2 * step + 1):
            images, masks, labels, angles, flips, *_ = dataset[index]
            images, masks = augment(images, masks, angles, flips)
            output = model(images.contiguous(memory_format=layout))
            losses.append(criterion.total(criterion(output, masks, labels)))
            (losses[-1] / 2).backward()
        optimizer.step()
        alone.append(losses[0].item())
    assert alone[-6:] != alone[:6] and sum(alone[-6:]) < sum(alone[:6])
    assert ranks == pytest.approx(alone, rel=2e-3)


def test_the_smoke_config_learns_in_under_a_minute(tmp_path, run):
    run("gconet/data/toy.py", "data", cwd=tmp_path)
    began = time.monotonic()
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(ROOT / "configs/smoke.yaml")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    seconds = time.monotonic() - began
    folders = ("--images", "data/images/toy_test", "--output", "maps")
    run("test.py", "--checkpoint", "runs/smoke/last.pt", *folders, cwd=tmp_path)
    ious, greys = [], []
    for path in (tmp_path / "maps").rglob("*.png"):
        m = np.asarray(Image.open(path)) > 127
        g = np.asarray(Image.open(tmp_path / "data/gts/toy_test" / path.parent.name / path.name)) > 127
        ious.append((m & g).sum() / (m | g).sum())
        greys.append(g.mean())
    print(f"{seconds:.0f} s, mean IoU {np.mean(ious):.3f}, an all-grey map's {np.mean(greys):.3f}")
    assert np.mean(ious) > 2 * np.mean(greys)
    assert seconds < 60
