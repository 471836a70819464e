"""`predict_group`: any number of pictures of any sizes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from gconet import inference
from gconet.config import load_config
from gconet.data.images import load_image
from gconet.data.transforms import resize_image
from gconet.errors import DataError
from gconet.inference import predict_group
from gconet.models import build_model

SIZES = [(40, 60), (33, 91), (1, 7), (64, 64), (120, 50)]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder, r = tmp_path_factory.mktemp("group"), np.random.RandomState(0)
    for i, (h, w) in enumerate(SIZES):
        Image.fromarray(r.randint(0, 256, (h, w, 3), np.uint8)).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def model(paths):
    """A random network whose maps vary, and depend on the consensus."""
    torch.manual_seed(0)
    model = build_model(load_config()).eval()
    images = torch.stack([resize_image(load_image(p), 32) for p in paths]).float() / 255
    with torch.no_grad():
        model.decoder.top[0].weight *= 1e5
        stages = model.encode(images)
        pyramid = model.decoder(stages, stages[-1] * model.consensus(stages[-1]).vector)
        logits = model.side1.layers(pyramid.p1)
        last = model.side1.layers[4]
        last.bias -= logits.mean()
        for parameter in (last.weight, last.bias):
            parameter /= logits.std()
    return model


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


def test_the_maps_depend_on_the_whole_group(model, paths):
    whole = list(predict_group(model, paths, size=32))
    part = list(predict_group(model, paths[:2], size=32))
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(whole[:2], part, strict=True)) > 10


def test_an_abandoned_generator_leaves_no_context_behind(model, paths):
    next(predict_group(model, paths, size=32, precision=torch.bfloat16))
    assert not torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")


def test_chunks_do_not_change_the_maps(model, paths, monkeypatch):
    whole = list(predict_group(model, paths, size=32))
    monkeypatch.setattr(inference, "CHUNK", 2)
    for a, b in zip(whole, predict_group(model, paths, size=32), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_one_picture_and_an_unreadable_one(model, paths, tmp_path):
    [m] = predict_group(model, paths[:1], size=32)
    assert m.shape == SIZES[0]
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(DataError, match="bad.png"):
        list(predict_group(model, [*paths, tmp_path / "bad.png"], size=32))
