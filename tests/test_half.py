"""float16 on a CPU: maps, losses, overflows of the gradients, resuming. No GPU has run this yet."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from torch.amp import GradScaler

import gconet
import train as command_module
from gconet import losses
from gconet.data.groups import Group, scan_groups
from gconet.data.images import load_mask
from gconet.device import pick_precision
from gconet.errors import ConfigError, GCoNetError
from gconet.evaluation import score_arrays
from gconet.inference.predictor import Predictor
from gconet.models.affinity import best_matches
from tests.conftest import ROOT, log, same, weights


@pytest.mark.parametrize(("name", "capability", "expected"), [
    ("GTX 1080 Ti", (6, 1), torch.float32), ("Tesla V100", (7, 0), torch.float16),
    ("Tesla T4", (7, 5), torch.float16), ("NVIDIA GeForce GTX 1660 Ti", (7, 5), torch.float32),
    ("A100", (8, 0), torch.bfloat16), ("RTX 4090", (8, 9), torch.bfloat16), ("B200", (12, 0), torch.bfloat16),
])  # fmt: skip
def test_auto_is_what_the_gpu_computes_fast(monkeypatch, name, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert pick_precision("auto", torch.device("cuda")) == expected
    assert pick_precision("fp16", torch.device("cpu")) == torch.float16
    with pytest.raises(ConfigError, match="half"):
        pick_precision("half", torch.device("cpu"))


@pytest.mark.parametrize(
    ("size", "count", "near"), [(64, 2, 0.02), pytest.param(224, 99, 0.001, marks=pytest.mark.slow)]
)
def test_maps_and_scores_are_those_of_float32(size, count, near):
    groups = scan_groups(ROOT / "data/demo/images", ROOT / "data/demo/gts")[-count:]
    groups = [Group(group.name, group.items[:count]) for group in groups]
    items = [(group.name, item) for group in groups for item in group.items]
    figures, all_maps = [], []
    for precision in ("fp32", "fp16"):
        predictor = Predictor(gconet.load_pretrained(), size=size, device="cpu", precision=precision)
        all_maps.append([m for group in groups for m in predictor([item.image for item in group.items])])
        pairs = zip(items, all_maps[-1], strict=True)
        scores = score_arrays((name, i.stem, m, np.asarray(load_mask(i.mask))) for (name, i), m in pairs)
        figures.append(scores.figures)
    apart = np.mean([np.abs(a.astype(int) - b).mean() / 255 for a, b in zip(*all_maps, strict=True)])
    scored = max(abs(value - figures[1][name]) for name, value in figures[0].items())
    print(f"maps differ by {apart:.5f} on average, scores by at most {scored:.5f}")
    assert apart < 0.001 and scored < near


@pytest.mark.parametrize("reference", [False, True])
def test_maps_of_numbers_beyond_float16_are_refused(reference):
    model, pictures = gconet.load_pretrained(), [np.full((32, 32, 3), grey, np.uint8) for grey in (90, 200)]
    first, second, *_ = (layer for layer in model.encoder.modules() if isinstance(layer, torch.nn.Conv2d))
    with torch.no_grad():  # the same network in float32
        for numbers, factor in ((first.weight, 6e4), (first.bias, 6e4), (second.weight, 1 / 6e4)):
            numbers.mul_(factor)
    known = (
        Predictor(gconet.load_pretrained(), size=32, device="cpu").remember(pictures) if reference else None
    )
    predictor = Predictor(model, size=32, device="cpu", precision="fp16")
    if known:
        known = dataclasses.replace(known, weights=predictor.digest)
    inside = (predictor.attention, predictor.consensus)
    for look in (partial(predictor, reference=known), *(() if known else inside)):
        with pytest.raises(ConfigError, match="float16"):
            look(pictures)


def test_affinities_beyond_the_range_of_float16_find_the_same_matches():
    random = torch.Generator().manual_seed(0)
    query, key = (30 * torch.randn(3, 512, 4, 4, generator=random) + 12 for _ in "qk")
    given = [x.half().requires_grad_() for x in (query, key)]
    assert not (given[0][0, :, 0, 0] @ given[1][0].flatten(1)).isfinite().all()
    wide = [x.detach().float().requires_grad_() for x in given]
    for inputs in (given, wide):
        best_matches(*inputs).sum().mul(1e-3).backward()
    assert torch.equal(best_matches(*given), best_matches(*wide))
    for a, b in zip(given, wide, strict=True):
        torch.testing.assert_close(a.grad.float(), b.grad, rtol=2e-3, atol=1e-3)


HALF = "train.precision=fp16"


@pytest.fixture
def train(train, monkeypatch):
    """Train a decoder of few channels: on most CPUs float16 is slow."""
    monkeypatch.setattr("gconet.models.decoder.WIDTH", 8)
    return train


def steps(folder):
    return [record for record in log(folder) if record["event"] == "step"]


@pytest.fixture
def scale(monkeypatch):
    """Choose the scale that a run's gradients have at first."""

    def choose(first):
        scaler = lambda *args, **how: GradScaler(*args, **how | {"init_scale": float(first)})  # noqa: E731
        monkeypatch.setattr(command_module, "GradScaler", scaler)

    return choose


@pytest.mark.parametrize("epochs", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_thirty_steps_keep_the_losses_of_float32(train, tmp_path, epochs):
    for precision in ("fp32", "fp16"):
        assert train(f"train.precision={precision}", f"train.epochs={epochs}", name=precision) == 0
    wide, half = (steps(tmp_path / "runs" / name) for name in ("fp32", "fp16"))
    assert len(half) == 3 * epochs and all(step["skipped"] == 0 for step in half) and "skipped" not in wide[0]
    for name in ("saliency", "collaboration", "classification", "total"):
        assert [step[name] for step in half] == pytest.approx([step[name] for step in wide], rel=0.02)
    moved = weights(tmp_path / "runs/fp16")[0]
    assert all(tensor.dtype == torch.float32 for tensor in moved.values())


def test_steps_whose_gradients_overflow_are_skipped_counted_and_no_reason_to_stop(train, tmp_path, scale):
    scale(2**20)
    assert train(HALF, "train.steps=1", "optimizer.lr=1.0", name="one") == 0
    assert train(HALF, "train.epochs=4", name="r") == 0
    states = [weights(tmp_path / "runs" / name) for name in ("one", "r")]
    done = steps(tmp_path / "runs/r")
    skipped = [step["skipped"] for step in done]
    assert 1 < sum(skipped) < 12 and skipped[0] and not any(skipped[-2:])  # it recovers
    assert all(np.isfinite(step["total"]) for step in done)
    assert all((step["gradient_norm"] == 0) == step["skipped"] for step in done)
    counted = [r["skipped"] for r in log(tmp_path / "runs/r") if r["event"] == "epoch"]
    assert sum(counted) == sum(skipped)
    assert states[1][1]["scaler"]["scale"] == 2 ** (20 - sum(skipped))
    taken = {float(state["step"]) for state in states[1][1]["optimizer"]["state"].values()}
    assert taken == {12 - sum(skipped)}
    assert train("train.steps=1", "optimizer.lr=0.0", name="start") == 0
    assert same(states[0][0], weights(tmp_path / "runs/start")[0])  # a skipped step changes nothing


@pytest.mark.parametrize(("precision", "stops"), [("fp32", 0), ("fp16", 2)])
def test_gradients_that_are_never_finite_stop_the_run(train, monkeypatch, scale, precision, stops):
    scale(4)  # then 2, then 1, at which nothing can have overflowed for the scale
    plain = losses.saliency_loss

    def broken(maps, masks, **kwargs):
        return plain(maps, masks, **kwargs) + (0 * maps[0].sum()).sqrt()  # finite, its gradient is not

    monkeypatch.setattr("gconet.losses.saliency_loss", broken)
    with pytest.raises(GCoNetError, match=f"not finite at step {stops}:"):
        train(f"train.precision={precision}", "train.epochs=2")


def test_resuming_is_bit_for_bit_also_while_steps_are_skipped(train, tmp_path, scale):
    scale(2**20)
    assert train(HALF, "train.epochs=3", name="whole") == 0
    assert train(HALF, "train.epochs=3", "train.steps=2", name="parts") == 0
    scale(2**10)  # the saved scale counts
    assert train("--resume", "runs/parts", "train.steps=5", fresh=False) == 0
    assert train("--resume", "runs/parts", "train.steps=null", fresh=False) == 0
    (whole, ours), (parts, theirs) = (weights(tmp_path / f"runs/{name}") for name in ("whole", "parts"))
    assert same(whole, parts) and ours["scaler"] == theirs["scaler"] and ours["sums"] == theirs["sums"]
    a, b = ([s["skipped"] for s in steps(tmp_path / "runs" / name)] for name in ("whole", "parts"))
    assert a == b and 2 < sum(a) < 9


def test_runs_change_their_precision_when_resumed(train, tmp_path):
    assert train("train.epochs=2", "train.steps=2") == 0
    assert weights(tmp_path / "runs/r")[1]["scaler"] == {}
    for precision, until in (("fp16", 4), ("fp32", 6)):
        assert train("--resume", "runs/r", f"train.precision={precision}", f"train.steps={until}",
                     fresh=False) == 0  # fmt: skip
    half = ["skipped" in step for step in steps(tmp_path / "runs/r")]
    assert half == [False, False, True, True, False, False]
