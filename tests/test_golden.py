"""Parity with the authors' network; skipped where the golden files are absent."""

import json

import numpy as np
import pytest
import torch

from gconet.config import Config
from gconet.losses import Criterion
from gconet.models import TrainingGCoNet, build_training_model
from gconet.official import OFFICIAL_NAMES, OFFICIAL_UNUSED, from_official
from tests import official
from tests.official import GOLDEN, needs_golden

pytestmark = needs_golden


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "official_outputs.npz")


@pytest.fixture(scope="module")
def model() -> TrainingGCoNet:
    model = build_training_model(Config(), classes=291)
    model.load_state_dict(from_official(official.official_state()))
    return model


def close(ours: torch.Tensor, theirs: np.ndarray, atol: float) -> None:
    torch.testing.assert_close(ours.detach(), torch.from_numpy(theirs), atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("name", "seed", "n", "size"), [("eval5", 11, 5, 224), ("eval3_256", 12, 3, 256), ("eval1", 13, 1, 224)]
)
def test_maps_and_consensus(model, golden, name, seed, n, size):
    net = model.net.eval()
    with torch.inference_mode():
        *stages, features = net.encode(official.images(seed, n, size))
        vector = net.consensus(features).vector
        maps = net.decode(net.laterals(stages), features, vector, (size, size))
    close(maps.reshape(golden[f"{name}_map"].shape), golden[f"{name}_map"], 1e-4)
    close(vector.reshape(golden[f"{name}_consensus"].shape), golden[f"{name}_consensus"], 1e-4)
    close(features.mean((2, 3)), golden[f"{name}_x5_mean"], 1e-4)


def test_training_step(model, golden):
    output = model.train()(official.images(21, 8, 224))
    for k, side in zip((4, 3, 2, 1), output.side_maps, strict=True):
        theirs = golden[f"train_map_p{k}"]
        close(side[:, :, ::4, ::4].reshape(theirs.shape), theirs, 1e-4)
    theirs = golden["train_collab_logits"]
    close(output.collaboration[:, :, ::4, ::4].reshape(theirs.shape), theirs, 1e-4)
    close(output.class_logits, golden["train_class_logits"], 1e-4)

    criterion = Criterion(**vars(Config().loss))
    terms = criterion(output, official.masks(), torch.tensor([3] * 4 + [290] * 4))
    total = criterion.total(terms)
    ours = [terms["saliency"], terms["classification"], terms["collaboration"], total]
    np.testing.assert_allclose([t.item() for t in ours], golden["train_losses"], rtol=1e-4)

    model.zero_grad()
    total.backward()
    theirs = json.loads((GOLDEN / "official_grad_norms.json").read_text())
    expected = {our_name(name): norm for name, norm in theirs.items() if not name.startswith(OFFICIAL_UNUSED)}
    norms = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}
    assert norms == pytest.approx(expected, rel=1e-3)


def our_name(name: str) -> str:
    layer, _, kind = name.rpartition(".")
    return f"{OFFICIAL_NAMES[layer]}.{kind}"
