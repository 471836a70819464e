"""A consensus by vote: the part that all pictures have wins over what is only in one of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gconet.config import load_config
from gconet.errors import ConfigError
from gconet.inference.predictor import Predictor
from gconet.inference.vote import find_parts, vote
from gconet.models import build_model
from gconet.models.affinity import Consensus
from tests.conftest import NARROW

SIZE, UNIT = 16, torch.eye(5)


def group_of(left, right):
    """A network that marks both halves of every picture, and pictures with these features in their halves."""
    halves = [torch.stack([a] * 8 + [b] * 8) for a, b in zip(left, right, strict=True)]
    features = torch.stack([half.T.reshape(5, 4, 4) for half in halves])
    maps = torch.ones(len(features), 1, SIZE, SIZE)
    maps[..., 7:9, :] = 0  # a gap, so that the halves are two parts
    own = Consensus(torch.full((1, 5, 1, 1), 0.5), torch.full((len(features), 1, 4, 4), 1 / 16))
    net = SimpleNamespace(consensus=lambda f: own, decode=lambda laterals, f, E, size: maps[: len(f)])
    net.affinity = SimpleNamespace(output=lambda E: E)
    return net, [([], features)], own


def test_the_part_that_all_pictures_share_gives_the_consensus():
    net, batches, own = group_of([UNIT[0]] * 3, UNIT[1:4])
    E = vote(net, batches, own, SIZE)
    assert torch.allclose(E.flatten(), UNIT[0] / 16)  # as GAM: the mean over 16 positions
    net, batches, own = group_of(UNIT[1:4], [UNIT[4]] * 3)
    assert torch.allclose(vote(net, batches, own, SIZE).flatten(), UNIT[4] / 16)


@pytest.mark.parametrize("left", [[UNIT[0]] * 3, [UNIT[0]]], ids=["clear", "single"])
def test_a_clear_group_and_a_single_picture_keep_their_own_consensus(left):
    net, batches, own = group_of(left, left)
    assert vote(net, batches, own, SIZE) is own.vector


def test_pictures_without_parts_keep_their_own_consensus():
    net, batches, own = group_of([UNIT[0]] * 3, UNIT[1:4])
    net.decode = lambda laterals, f, E, size: torch.full((len(f), 1, SIZE, SIZE), 0.29)
    assert vote(net, batches, own, SIZE) is own.vector


def test_parts_are_connected_bright_and_not_tiny():
    m = np.zeros((20, 20), np.float32)
    m[2:6, 2:6], m[10:14, 10:14], m[18, 18:] = 0.3, 0.9, 1.0
    assert [part.sum().item() for part in find_parts(m)] == [16, 16]
    assert find_parts(np.zeros((20, 20), np.float32)) == []


def test_a_predictor_votes_only_if_asked_and_if_the_network_can(run, tmp_path):
    model = build_model(load_config(None, ["data.image_size=32", NARROW])).eval()
    pictures = [np.full((8, 8, 3), level, np.uint8) for level in (0, 120, 250)]
    mean = build_model(load_config(None, ["gam.kind=mean", NARROW])).eval()
    for net, kind in ((model, "most"), (mean, "vote")):
        with pytest.raises(ConfigError, match=kind):
            Predictor(net, consensus=kind)
    group, voted = (Predictor(model, size=32, consensus=kind)(pictures) for kind in ("group", "vote"))
    assert all(m.shape == v.shape for m, v in zip(group, voted, strict=True))
    wrong = run("test.py", "--consensus", "vote", "--object", "car", "--output", tmp_path / "o", status=2)
    assert "--consensus" in wrong.stderr
