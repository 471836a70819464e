"""Maps refined by what the object looks like: as the parts that all pictures share, or as a reference."""

import numpy as np
import pytest
import torch

from gconet.checkpoint import PRETRAINED
from gconet.config import load_config
from gconet.errors import ConfigError, DataError
from gconet.inference.predictor import Predictor
from gconet.inference.presence import average_under
from gconet.inference.reference import OBJECTS, PRESENT, read_references
from gconet.inference.vote import SURE, add_own_parts, apply_look, find_parts, mean_look, refine_group, vote
from gconet.models import build_model
from gconet.models.affinity import Consensus
from tests.conftest import NARROW, ROOT

UNIT, CENTER, SIZE = torch.eye(5), torch.zeros(1), 56


def halves(left, right):
    """Stage 5 (N,5,4,4) of pictures with these features in their halves, and maps that mark both alike."""
    pairs = zip(left, right, strict=True)
    features = torch.stack([torch.stack([a] * 2 + [b] * 2, 1)[:, None].repeat(1, 4, 1) for a, b in pairs])
    maps = torch.full((len(features), 1, SIZE, SIZE), 0.6)
    maps[..., SIZE // 2 - 1 : SIZE // 2 + 1] = 0  # a gap, so that the halves are two parts
    return features, maps


@pytest.mark.parametrize("side", [0, 1])
def test_the_part_that_all_pictures_share_stays_and_the_others_are_darkened(side):
    sides = [[UNIT[0]] * 3, [*UNIT[1:4]]]
    features, maps = halves(*(sides if side == 0 else sides[::-1]))
    torch.testing.assert_close(vote([(features, maps)], CENTER), UNIT[0])
    batches = [(features[:2], maps[:2]), (features[2:], maps[2:])]
    looks = average_under(features, maps).numpy()
    refined = torch.cat([*refine_group(batches, looks, "other weights")])
    shared, other = refined[..., 4:20].mean(), refined[..., 36:52].mean()
    shared, other = (shared, other) if side == 0 else (other, shared)
    assert shared > 0.6 and other < 0.3, (shared, other)


def test_a_picture_keeps_its_own_part_of_the_consensus_if_it_is_like_the_others():
    looks = torch.stack([UNIT[0]] * 3 + [UNIT[0] + UNIT[1], UNIT[2]])[..., None, None]
    parts = torch.tensor([1.0, 4, 9, 16, 25]).view(5, 1, 1, 1).repeat(1, 5, 1, 1)
    group = Consensus(parts.mean(0, keepdim=True), torch.ones(5, 1, 4, 4))
    shares = (add_own_parts(group, looks, parts).vector - group.vector) / (parts - group.vector)
    torch.testing.assert_close(shares[:3], torch.full_like(shares[:3], 0.5))
    assert 0.1 < shares[3].mean() < 0.4 and not shares[4].any()  # in between; a stray
    assert add_own_parts(group, looks[:1], parts[:1]) is group


def test_a_single_picture_and_pictures_without_parts_keep_their_maps():
    features, maps = halves([UNIT[0]], [UNIT[1]])
    looks = average_under(features, maps).numpy()
    assert [*refine_group([(features, maps)], looks, "")][0] is maps
    features, maps = halves([UNIT[0]] * 3, UNIT[1:4])
    dark = maps / 3
    assert vote([(features, dark)], CENTER) is None
    assert [*refine_group([(features, dark)], average_under(features, dark).numpy(), "")][0] is dark


def test_sure_pictures_keep_their_maps_and_those_that_lack_the_object_are_only_darkened():
    features, maps = halves([UNIT[0]] * 3, [UNIT[1]] * 3)
    presence = np.float32([SURE, (SURE + PRESENT) / 2, PRESENT])
    refined = apply_look(maps, features, presence, UNIT[0], CENTER)
    torch.testing.assert_close(refined[0, :, :, 4:20], maps[0, :, :, 4:20])
    other = refined[..., 36:52].mean((1, 2, 3))
    assert other[0] > other[1] > other[2]
    assert (apply_look(maps, features, presence[2:].repeat(3), UNIT[4], CENTER) < maps.clamp_min(1e-3)).all()


def test_what_all_objects_look_like_does_not_count():
    common = 4 * UNIT[4]
    features, maps = halves([common + UNIT[0]], [common + UNIT[1]])
    center = torch.nn.functional.normalize(common, dim=0)
    presence = np.float32([PRESENT])
    other = [apply_look(maps, features, presence, UNIT[0], c)[..., 36:52].mean() for c in (center, CENTER)]
    assert other[0] < 0.01 < other[1], other


def test_an_empty_and_a_full_map_give_finite_numbers():
    features, maps = halves([UNIT[0]] * 2, [UNIT[1]] * 2)
    for level in (0, 1):
        refined = apply_look(torch.full_like(maps, level), features, np.zeros(2, np.float32), UNIT[0], CENTER)
        assert refined.isfinite().all() and refined.min() >= 0 and refined.max() <= 1


def test_parts_are_connected_bright_and_not_tiny():
    m = torch.zeros(1, 1, SIZE, SIZE)
    m[..., 2:14, 2:14], m[..., 14:24, 14:24], m[..., 30:44, 30:44], m[..., 50, 50:] = 0.3, 0.9, 0.5, 1.0
    parts = find_parts(m)
    assert sorted(parts.sum((1, 2, 3)).tolist()) == [14 * 14, 12 * 12 + 10 * 10]  # corners connect
    assert find_parts(torch.zeros(1, 1, SIZE, SIZE)).shape == (0, 1, SIZE, SIZE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_callers_autocast_changes_nothing(dtype):
    features, maps = halves([UNIT[0]] * 3, [*UNIT[1:4]])
    looks = average_under(features, maps).numpy()
    plain = [*refine_group([(features, maps)], looks, "")]
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal([*refine_group([(features, maps)], looks, "")][0], plain[0])


def test_the_callers_default_dtype_and_device_change_nothing():
    m = torch.zeros(1, 1, SIZE, SIZE)
    m[..., 50:, :20], m[..., 50:, 30:] = 0.9, 0.9  # their numbers are alike in bfloat16
    mean_look.cache_clear()
    try:
        torch.set_default_dtype(torch.bfloat16)
        assert len(find_parts(m)) == 2
        with torch.device("meta"):
            assert mean_look("other weights").to(m) == 0
    finally:
        torch.set_default_dtype(torch.float32)
        mean_look.cache_clear()


def test_damaged_objects_are_named_where_they_are_needed(monkeypatch, tmp_path):
    damaged = tmp_path / "objects.npz"
    damaged.write_bytes(OBJECTS.read_bytes()[:1000])
    monkeypatch.setattr("gconet.inference.vote.OBJECTS", damaged)
    mean_look.cache_clear()
    features, maps = halves([UNIT[0]] * 2, [UNIT[1]] * 2)
    looks = average_under(features, maps).numpy()
    assert [*refine_group([(features[:1], maps[:1])], looks[:1], "")][0].equal(maps[:1])
    with pytest.raises(DataError, match="objects.npz"):
        [*refine_group([(features, maps)], looks, "")]
    mean_look.cache_clear()


def test_the_shipped_objects_give_the_center_for_their_weights_only():
    objects = read_references(OBJECTS)
    expected = np.mean([one.appearance for one in objects], 0)
    assert np.array_equal(mean_look(objects[0].weights), expected)
    assert not mean_look("other weights").any()


def test_only_the_default_weights_vote_unless_asked(run, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in ("pretrained", PRETRAINED["distractors"][0], "gconet/weights/gconet_distractors.pt"):
        assert Predictor.load(name).voting
    assert not Predictor.load("paper").voting and Predictor.load("paper", consensus="vote").voting
    assert not Predictor.load(consensus="group").voting
    model = build_model(load_config(None, ["data.image_size=32", NARROW])).eval()
    with pytest.raises(ConfigError, match="most"):
        Predictor(model, consensus="most")
    wrong = run("test.py", "--consensus", "most", "--output", tmp_path / "o", status=2)
    assert "--consensus" in wrong.stderr
