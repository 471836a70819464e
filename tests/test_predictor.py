"""`Predictor`: any number of pictures of any kind and size."""

import copy
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from gconet.applications.doubts import find_strays
from gconet.data.groups import Group, Item
from gconet.data.images import load_image
from gconet.data.transforms import resize_image
from gconet.device import CONVOLUTIONS, ON, SWITCH, tf32
from gconet.errors import ConfigError, DataError
from gconet.inference import predictor
from gconet.inference.folders import write_maps
from gconet.inference.memory import Plan
from gconet.inference.predictor import Predictor, average_under, cosine_to_others
from gconet.models.affinity import GroupAffinityModule
from tests import reference_path
from tests.conftest import SIZES, read_group


def allows_tf32():
    """Whether GPUs may use TF32 now, in convolutions and in matrix products."""
    return [getattr(switch, SWITCH) == ON for switch in (CONVOLUTIONS, torch.backends.cuda.matmul)]


def make(model, precision="fp32", **options):
    """A predictor of a copy of `model`, which stays as it is."""
    return Predictor(copy.deepcopy(model), **{"size": 32, "device": "cpu", "precision": precision} | options)


def predict(model, pictures, precision="fp32"):
    return make(model, precision)(pictures)


def test_maps_are_the_reference_paths_and_depend_on_the_whole_group(model, paths, tmp_path):
    reference_path.predict_files(model.state_dict(), paths, tmp_path, 32)
    for path, m in zip(paths, predict(model, paths), strict=True):
        with Image.open(tmp_path / path.name) as theirs:
            assert np.abs(m.astype(int) - np.asarray(theirs)).max() <= 1
    whole = predict(model, paths)
    part = predict(model, paths[:2])
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(whole[:2], part, strict=True)) > 10


def test_a_caller_that_fails_leaves_no_context_behind(model, paths):
    shared = make(model, "bf16")

    def fail(m):
        assert not torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")
        raise KeyError

    with pytest.raises(KeyError):
        shared.predict(read_group(paths, 32), fail)
    assert not torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")
    assert len(shared(paths)) == 5


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_plan_does_not_change_the_maps(model, paths, monkeypatch, precision):
    whole = predict(model, paths, precision)
    for plan in (Plan(1, 0, 1), Plan(2, 4, 100), Plan(2, 1, 10**9), Plan(3, 3, 1), Plan(9, 2, 1)):
        monkeypatch.setattr(predictor, "plan_group", lambda *args, plan=plan, **kwargs: plan)
        for a, b in zip(whole, predict(model, paths, precision), strict=True):
            assert np.abs(a.astype(int) - b).max() <= (1 if precision == "fp32" else 8), plan


def test_several_groups_are_written_as_they_are_one_by_one(model, paths, tmp_path):
    groups = [
        Group(name, tuple(Item(path.stem, path, None) for path in some))
        for name, some in (("a", paths[:2]), ("b", paths[2:]), ("c", paths))
    ]
    shared = make(model)
    _, presence, _, errors = write_maps(shared, groups, tmp_path)
    assert not errors and presence.keys() == set(paths)
    for group in groups:
        files = [item.image for item in group.items]
        for item, m in zip(group.items, shared(files), strict=True):
            with Image.open(tmp_path / group.name / f"{item.stem}.png") as written:
                assert np.array_equal(written, m)
    assert write_maps(shared, [], tmp_path) == ([], {}, {}, [])
    with pytest.raises(DataError, match="no pictures"):
        shared([])


def test_maps_in_bf16_are_those_of_the_network_under_autocast(model, paths):
    images = torch.stack([resize_image(load_image(p), 32) for p in paths]).float() / 255
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        plain = model(images).float()
    ready = make(model, "bf16")
    maps = ready(paths)
    assert plain.std() > 0.01 and [m.shape for m in maps] == SIZES and all(m.dtype == np.uint8 for m in maps)
    for own, size, m in zip(plain, SIZES, maps, strict=True):
        expected = F.interpolate(own[None], size, mode="bilinear", align_corners=True)[0, 0] * 255
        assert np.abs(m - np.floor(expected.numpy())).max() <= 8
    assert ready.model.mean.dtype == torch.float32  # the normalisation keeps its precision


def test_any_picture_goes_to_attention_and_consensus_too(model, paths, tmp_path):
    maps = predict(model, paths[:1])
    assert maps[0].shape == SIZES[0] and len(maps) == 1 and np.isnan(maps.presence).all()
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(DataError, match="bad.png"):
        predict(model, [*paths, tmp_path / "bad.png"])
    predictor = make(model)
    for given in (paths[0].parent, paths, [Image.open(path) for path in paths], read_group(paths, 32)):
        assert predictor.attention(given).shape == (5, 2, 2) and predictor.consensus(given).shape == (5, 32)
    assert len(predictor(path for path in paths)) == 5  # a generator
    with pytest.raises(DataError, match="picture 0.*Tensor"):
        predictor(torch.zeros(2, 3, 8, 8))


def test_files_pictures_and_arrays_give_the_same_maps(model, paths, tmp_path):
    expected = predict(model, paths)
    assert list(expected.names) == ["0", "1", "2", "3", "4"]
    pictures = [Image.open(path) for path in paths]
    arrays = [np.asarray(picture) for picture in pictures]
    mixed = [str(paths[0]), paths[1], pictures[2], arrays[3], arrays[4][:, :, ::-1][:, :, ::-1]]
    for given in (paths[0].parent, str(paths[0].parent), pictures, arrays, mixed):
        maps = predict(model, given)
        assert all(np.array_equal(a, b) for a, b in zip(maps, expected, strict=True))
        np.testing.assert_array_equal(maps.presence, expected.presence)
    streamed, shared = [], make(model, size=np.int64(32), device=torch.device("cpu"))
    np.testing.assert_array_equal(shared.predict(paths, streamed.append), expected.presence)
    assert all(np.array_equal(a, b) for a, b in zip(streamed, expected, strict=True))
    stack = np.stack([arrays[3], arrays[3]])
    assert len(predict(model, stack)) == 2
    one = predict(model, paths[:1])[0]
    for given in (paths[0], str(paths[0]), pictures[0], arrays[0]):
        assert np.array_equal(predict(model, given)[0], one)
    upside_down = pictures[0].copy()
    upside_down.getexif()[0x0112] = 3
    upside_down.save(tmp_path / "turned.png", exif=upside_down.getexif())
    turned = predict(model, [tmp_path / "turned.png"])[0]
    with Image.open(tmp_path / "turned.png") as picture:
        assert np.array_equal(predict(model, [picture])[0], turned)


def test_arrays_that_are_not_pictures_are_refused_by_place(model, paths, tmp_path):
    good = np.zeros((8, 8, 3), np.uint8)
    for bad in (good.astype(np.float32), good[0, 0], good[..., :2], good[:0], np.zeros((8, 8, 4), np.uint8)):
        with pytest.raises(DataError, match="picture 1"):
            predict(model, [good, bad])
    with pytest.raises(DataError, match="picture 0.*NoneType"):
        predict(model, None)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(good).save(tmp_path / name / "x.png")
    for wrong, named in ((tmp_path, tmp_path.name), ([tmp_path / "a"], "/a"), ("nowhere.jpg", "nowhere.jpg")):
        with pytest.raises(DataError, match=named):
            predict(model, wrong)


@pytest.mark.parametrize(("given", "named"), [
    ({"size": 10}, "size.*10"), ({"size": 224.0}, "size.*224.0"), ({"memory": "2G"}, "memory.*2G"),
    ({"device": "gpu"}, "gpu.*auto, cpu"), ({"model": "paper"}, "paper.*Predictor.load"),
])  # fmt: skip
def test_wrong_arguments_are_named(model, given, named):
    with pytest.raises(ConfigError, match=named):
        Predictor(**{"model": model, "device": "cpu"} | given)


def test_threads_take_turns_each_with_its_own_switches(model, paths, monkeypatch):
    """On a CPU TF32 changes nothing; what is tested is who holds the switches while it computes."""
    exact, fast = (make(model) for _ in "12")
    fast.tf32 = True
    inside, overlaps = [], []

    def watched(shared, encode):
        def run(*args):
            inside.append(shared)
            time.sleep(0.01)
            overlaps.append(len(set(inside)) > 1 or allows_tf32() != [shared.tf32] * 2)
            inside.remove(shared)
            return encode(*args)

        return run

    for shared in (exact, fast):
        monkeypatch.setattr(shared.model, "encode", watched(shared, shared.model.encode))
    for allowed in (True, False):  # as other code of the process may have it
        with tf32(allowed), ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda shared: shared(paths), [exact, fast] * 2))
            assert allows_tf32() == [allowed] * 2
    assert len(overlaps) >= 8 and not any(overlaps)


def test_a_shared_picture_is_decoded_once(tmp_path):
    noise = np.random.RandomState(0).randint(0, 256, (900, 900, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    pixels = read_group([Image.open(tmp_path / "a.png")] * 8, 32).pixels
    assert (pixels == pixels[0]).all() and torch.equal(pixels[0], read_group([noise], 32).pixels[0])


def test_presence_by_hand():
    features = torch.zeros(2, 3, 2, 2)
    features[:, 0, 0, 0], features[:, 1, 1, 1], features[1, 2] = 3, 4, 0
    maps = torch.zeros(2, 1, 4, 4)
    maps[0, 0, :2, :2], maps[1, 0] = 1, 1
    found = average_under(features, maps)
    np.testing.assert_allclose(found, [[1, 0, 0], [0.6, 0.8, 0]], rtol=1e-6)
    np.testing.assert_allclose(cosine_to_others(found.numpy()), [0.6, 0.6], rtol=1e-6)
    three = np.float32([[1, 0], [1, 0], [0, 1]])
    np.testing.assert_allclose(cosine_to_others(three), [0.5**0.5, 0.5**0.5, 0], rtol=1e-6)
    empty = average_under(features, torch.zeros(2, 1, 4, 4))  # nothing was found
    assert cosine_to_others(empty.numpy()).tolist() == [0, 0]


def test_strays_are_found_by_their_presence():
    assert find_strays([0.9, 0.8, 0.61, 0.59, 0.8]) == [False, False, False, True, False]
    assert find_strays([0.1, 0.1]) == [False, False] and find_strays([]) == []
    assert find_strays([float("nan")]) == [False]


@pytest.mark.parametrize("consensus", ["group", "vote"])
def test_every_map_is_announced_before_the_last_is_given(model, paths, consensus):
    heard = []
    predictor = Predictor(model, size=32, consensus=consensus)
    predictor.predict(paths, lambda m: heard.append("map"), tick=heard.append)
    assert heard.count("map") == len(paths) == sum(n for n in heard if n != "map") and heard[-1] == "map"


class Other(torch.nn.Module):
    forward = GroupAffinityModule.forward


def test_only_a_consensus_that_is_the_mean_of_its_parts_is_mixed(model, paths, monkeypatch):
    mixed, vote = [], make(model, consensus="vote")
    monkeypatch.setattr(predictor, "add_own_parts", lambda consensus, *_: mixed.append(1) or consensus)
    vote(paths), make(model)(paths), vote.remember(paths)
    assert len(mixed) == 1
    vote.model.affinity.__class__ = Other
    assert len(vote(paths)) == len(paths) and len(mixed) == 1
