"""The network: shapes, the GAM against its equations, invariances, gradients, options."""

import itertools

import pytest
import torch

from gconet.checkpoint import load_encoder
from gconet.config import load_config
from gconet.errors import CheckpointError
from gconet.losses import Criterion
from gconet.models import build_model, build_training_model
from gconet.models.affinity import GroupAffinityModule, MeanConsensus
from gconet.models.encoder import VGG16Encoder
from tests import reference_path
from tests.conftest import NARROW


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return build_model(load_config()).eval()


@pytest.fixture(scope="module")
def group():
    return torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def gam(C=8, **changes):
    torch.manual_seed(0)
    return GroupAffinityModule(
        **{"channels": C, "kernel_size": 1, "softmax": "image", "output_conv": True, **changes}
    )


def test_the_networks_parameters_and_stages(net):
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == 16.83
    with torch.inference_mode():
        stages = net.encode(torch.rand(2, 3, 64, 96))
    assert [tuple(s.shape) for s in stages] == [
        (2, c, 64 // stride, 96 // stride)
        for c, stride in zip((64, 128, 256, 512, 512), (1, 2, 4, 8, 16), strict=True)
    ]


def slow_gam(module, features, softmax):
    """The GAM position by position, from the equations in reference form."""
    N, C, h, w = features.shape
    theta, phi = module.query(features), module.key(features)
    relevance = torch.zeros(N, h, w)
    places = list(itertools.product(range(h), range(w)))
    for n, (y, x) in itertools.product(range(N), places):
        best = [max(torch.dot(theta[n, :, y, x], phi[m, :, v, u]) for v, u in places) for m in range(N)]
        relevance[n, y, x] = sum(best) / N / C**0.5
    if softmax == "group":
        attention = (relevance.exp() / relevance.exp().sum())[:, None]
    else:
        attention = (relevance.exp() / relevance.exp().sum((1, 2), keepdim=True))[:, None]
    return module.output(features * attention).mean((0, 2, 3)), attention


@pytest.mark.parametrize("softmax", ["image", "group"])
@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("output_conv", [True, False])
def test_gam_equals_the_slow_loop(softmax, kernel_size, output_conv):
    module = gam(kernel_size=kernel_size, softmax=softmax, output_conv=output_conv)
    features = torch.rand(3, 8, 3, 4)
    with torch.inference_mode():
        ours = module(features)
        vector, attention = slow_gam(module, features, softmax)
    torch.testing.assert_close(ours.vector.flatten(), vector)
    torch.testing.assert_close(ours.attention, attention)
    assert ours.attention.sum().item() == pytest.approx(1 if softmax == "group" else 3, rel=1e-5)


@pytest.mark.parametrize("block", [1, 5000, None])  # a row at a time, some rows, the whole matrix
@pytest.mark.parametrize(("N", "h", "w"), [(1, 1, 1), (1, 14, 14), (2, 7, 5), (17, 5, 5), (60, 3, 5)])
def test_gam_in_blocks_equals_the_whole_affinity_matrix(N, h, w, block):
    module, features = gam(C=32), torch.rand(N, 32, h, w, requires_grad=True)
    weights = torch.rand(32)
    vector = module(features, block).vector.flatten()
    gradients = torch.autograd.grad((vector * weights).sum(), [features, *module.parameters()])

    module, exact = module.double(), features.detach().double().requires_grad_()
    state = {f"affinity.{name}": p for name, p in module.named_parameters()}
    expected = reference_path.consensus(state, exact).flatten()
    theirs = torch.autograd.grad((expected * weights).sum(), [exact, *module.parameters()])
    for a, b in zip((vector, *gradients), (expected, *theirs), strict=True):
        torch.testing.assert_close(a.double(), b, atol=1e-5, rtol=0)


def test_order_does_not_matter_and_the_baseline_is_the_mean(net, group):
    order = torch.tensor([2, 0, 1])
    with torch.inference_mode():
        features = net.encode(group)[-1]
        vector, shuffled = net.consensus(features).vector, net.consensus(features[order]).vector
        torch.testing.assert_close(shuffled, vector, atol=1e-6, rtol=1e-4)
        others = [net.consensus(features[i : i + 1]).vector for i in range(3)]
        assert all((other - vector).abs().max() > 0.05 * vector.abs().max() for other in others)
        torch.testing.assert_close(net(group[order]), net(group)[order], atol=1e-5, rtol=1e-4)
    features = torch.rand(3, 8, 4, 4)
    torch.testing.assert_close(MeanConsensus()(features).vector.flatten(), features.mean((0, 2, 3)))
    assert isinstance(build_model(load_config(None, ["gam.enabled=false"])).affinity, MeanConsensus)
    model, output = training_gradients("gcm.enabled=false", "acm.enabled=false")
    assert output.collaboration is None and output.class_logits is None
    assert all(name.startswith("net.") for name, _ in model.named_parameters())


def training_gradients(*overrides):
    torch.manual_seed(0)
    config = load_config(None, [NARROW, *overrides])
    model = build_training_model(config, classes=5)
    output = model(torch.rand(4, 3, 32, 32))
    criterion = Criterion(**vars(config.loss))
    terms = criterion(output, torch.rand(4, 1, 32, 32).round(), torch.tensor([1, 1, 4, 4]))
    criterion.total(terms).backward()
    return model, output


@pytest.mark.parametrize(("overrides", "trained"), [
    ((), 2), (("encoder.trainable=all",), 26), (("encoder.trainable=none",), 0),
    (("gam.enabled=false", "gcm.enabled=false", "acm.enabled=false"), 2),
    (("gam.kernel_size=3", "gam.softmax=group", "gam.output_conv=false"), 2),
])  # fmt: skip
def test_every_trainable_parameter_gets_a_finite_gradient_and_no_frozen_one_does(overrides, trained):
    model, _ = training_gradients(*overrides)
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
    grads = [n for n, p in model.named_parameters() if p.grad is not None and n.startswith("net.encoder")]
    assert len(grads) == trained
    if trained == 2:
        assert {n.rsplit(".", 1)[0] for n in grads} == {"net.encoder.features.28"}


def test_encoder_weights_that_cannot_be_had(tmp_path, monkeypatch):
    encoder = VGG16Encoder()
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pth")
    for name in ("none.pth", "text.pth", "other.pth"):
        with pytest.raises(CheckpointError, match=name):
            load_encoder(encoder, str(tmp_path / name))

    def unreachable(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(CheckpointError, match="https://.*encoder.weights=vgg16") as caught:
        load_encoder(encoder, "imagenet")
    assert "\n" not in str(caught.value)
