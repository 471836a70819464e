"""`predict_group`: any number of pictures of any sizes."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from gconet import inference, memory
from gconet.config import load_config
from gconet.data.images import load_image
from gconet.data.transforms import resize_image
from gconet.errors import ConfigError, DataError
from gconet.inference import predict_group, predict_groups
from gconet.memory import Plan, plan_group
from gconet.models import build_model
from gconet.models.affinity import BLOCK
from scripts import reference_path
from tests.conftest import lively

SIZES = [(40, 60), (33, 91), (1, 7), (64, 64), (120, 50)]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder, r = tmp_path_factory.mktemp("group"), np.random.RandomState(0)
    for i, (h, w) in enumerate(SIZES):
        Image.fromarray(r.randint(0, 256, (h, w, 3), np.uint8)).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def model(paths):
    torch.manual_seed(0)
    images = torch.stack([resize_image(load_image(p), 32) for p in paths]).float() / 255
    return lively(build_model(load_config()).eval(), images)


def test_maps_have_the_pictures_own_sizes_and_are_the_networks(model, paths):
    maps = list(predict_group(model, paths, size=32))
    assert [m.shape for m in maps] == SIZES and all(m.dtype == np.uint8 for m in maps)
    images = torch.stack([resize_image(load_image(p), 32) for p in paths]).float() / 255
    with torch.inference_mode():
        direct = model(images)
    assert direct.std() > 0.01
    for m, own, (h, w) in zip(maps, direct, SIZES, strict=True):
        expected = F.interpolate(own[None], (h, w), mode="bilinear", align_corners=True)[0, 0] * 255
        assert np.abs(m - np.floor(expected.numpy())).max() <= 1
        off_edge = (expected % 1 - 0.5).abs().numpy() < 0.45  # float32 may put the others on either side
        np.testing.assert_array_equal(m[off_edge], np.floor(expected.numpy())[off_edge])


def test_maps_are_the_reference_paths(model, paths, tmp_path):
    reference_path.predict_files(model.state_dict(), paths, tmp_path, 32)
    for path, m in zip(paths, predict_group(model, paths, size=32), strict=True):
        with Image.open(tmp_path / path.name) as theirs:
            assert np.abs(m.astype(int) - np.asarray(theirs)).max() <= 1


def test_the_maps_depend_on_the_whole_group(model, paths):
    whole = list(predict_group(model, paths, size=32))
    part = list(predict_group(model, paths[:2], size=32))
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(whole[:2], part, strict=True)) > 10


def test_an_abandoned_generator_leaves_no_context_behind(model, paths):
    next(predict_group(model, paths, size=32, precision=torch.bfloat16))
    assert not torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_plan_does_not_change_the_maps(model, paths, monkeypatch, precision):
    whole = list(predict_group(model, paths, size=32, precision=precision))
    for plan in [Plan(b, k, n) for b, k, n in ((1, 0, 1), (2, 4, 100), (2, 1, 10**9), (3, 3, 1), (9, 2, 1))]:
        monkeypatch.setattr(inference, "plan_group", lambda *args, plan=plan, **kwargs: plan)
        for a, b in zip(whole, predict_group(model, paths, size=32, precision=precision), strict=True):
            assert np.abs(a.astype(int) - b).max() <= (1 if precision == torch.float32 else 8), plan


def test_several_groups_are_predicted_as_one_by_one(model, paths):
    groups = [paths[:2], paths[2:], paths]
    together = [list(maps) for maps in predict_groups(model, groups, size=32)]
    for images, maps in zip(groups, together, strict=True):
        for a, b in zip(maps, predict_group(model, images, size=32), strict=True):
            assert np.array_equal(a, b)
    assert list(predict_groups(model, [])) == [] and list(predict_group(model, [])) == []


def test_prepare_keeps_the_maps(model, paths):
    cpu = torch.device("cpu")
    for precision in (torch.float32, torch.bfloat16):
        plain = predict_group(model, paths, size=32, precision=precision)
        ready = inference.prepare(copy.deepcopy(model), cpu, precision)
        fast = predict_group(ready, paths, size=32, precision=precision)
        for a, b in zip(plain, fast, strict=True):
            assert np.abs(a.astype(int) - b).max() <= 1
    assert ready.mean.dtype == torch.float32  # the normalisation keeps its precision


def test_more_memory_keeps_more():
    cpu = torch.device("cpu")
    roomy, tight = (plan(100, 224, device=cpu, memory=m * 2**20) for m in (4000, 300))
    assert roomy.kept == 4 and roomy.block == BLOCK and tight.kept < 4
    kept = [plan(100, 224, device=cpu, memory=m * 2**20).kept for m in range(250, 4000, 50)]
    assert kept == sorted(kept) and set(kept) == {0, 1, 2, 3, 4}
    assert plan(1, 224, device=cpu, memory=2**28).batch == 1


def test_too_little_memory_is_refused_with_what_is_needed(model, paths):
    with pytest.raises(ConfigError, match=r"1000 images of 224 pixels need 1\.\d+ GiB .* raise --memory"):
        plan(1000, 224, device=torch.device("cpu"), memory=2**29)
    with pytest.raises(ConfigError, match="5 images of 32 pixels"):
        list(predict_group(model, paths, size=32, memory=1000))


def test_the_default_takes_half_of_what_is_free_at_most_what_is_modest(monkeypatch):
    cpu = torch.device("cpu")
    for free in (2**29, 2**31, 2**36):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        assert plan(20, 224, device=cpu) == plan(20, 224, device=cpu, memory=min(free // 2, memory.MODEST))
    monkeypatch.setattr(memory, "free_memory", lambda device: 0)
    assert (plan(20, 224, device=cpu).batch, plan(20, 224, device=cpu).kept) == (1, 0)
    assert plan(3000, 224, device=cpu).kept == 0  # as much as it needs, even so,
    assert plan(1000, 224, device=cpu).block >= 256 * 1000 * 14**2 * 4  # and large blocks, which are faster


def plan(images, size, **how):
    return plan_group(images, size, precision=torch.float32, **how)


def test_free_memory_is_plausible():
    assert 2**20 < memory.free_memory(torch.device("cpu")) < 2**50


def test_one_picture_and_an_unreadable_one(model, paths, tmp_path):
    [m] = predict_group(model, paths[:1], size=32)
    assert m.shape == SIZES[0]
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(DataError, match="bad.png"):
        list(predict_group(model, [*paths, tmp_path / "bad.png"], size=32))


@pytest.mark.parametrize("bad", [(0,), (2,), (4,), (1, 2, 3), (0, 1, 2, 3, 4)])
def test_unreadable_pictures_can_be_left_out_of_their_group(model, paths, tmp_path, monkeypatch, bad):
    monkeypatch.setattr(inference, "plan_group", lambda *args, **kwargs: Plan(2, 0, 10**6))
    mixed = list(paths)
    for i in bad:
        mixed[i] = tmp_path / f"{i}.png"
        mixed[i].write_bytes(b"x")
    good = [path for i, path in enumerate(paths) if i not in bad]
    expected = predict_group(model, good, size=32)
    [maps, after] = (
        list(group) for group in predict_groups(model, [mixed, paths[:1]], size=32, strict=False)
    )
    for i, m in enumerate(maps):
        if i in bad:
            assert isinstance(m, DataError) and f"{i}.png" in str(m)
        else:
            assert np.abs(m.astype(int) - next(expected)).max() <= 1
    assert len(maps) == 5 and len(after) == 1 and next(expected, None) is None
