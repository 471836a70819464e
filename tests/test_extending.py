"""Other encoders, another consensus, and docs/extending.md, whose code runs here as it stands there."""

import contextlib
import io
import re

import numpy as np
import pytest
import torch
import torchvision
import yaml
from PIL import Image

import train as command_module
from gconet.checkpoint import load_encoder, read_checkpoint
from gconet.config import load_config
from gconet.data.sets import known_sets
from gconet.errors import CheckpointError, ConfigError
from gconet.inference.memory import plan_group
from gconet.inference.predictor import Predictor
from gconet.models import CONSENSUS, ENCODERS, build_model, build_training_model
from gconet.models.affinity import Consensus
from tests.conftest import ROOT, log, same, weights

DOC = (ROOT / "docs/extending.md").read_text()
SHIPPED = ["vgg16", "vgg16_bn", "resnet50"]
OTHERS = SHIPPED[1:]


@pytest.fixture
def extended():
    """The names that the code of docs/extending.md defines; what it adds to the lists goes away again."""
    before = [(known, dict(known)) for known in (ENCODERS, CONSENSUS)]
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for block in re.findall(r"```python\n(.*?)```", DOC, re.S):
            exec(block, names)
    yield names | {"printed": printed.getvalue()}
    for known, entries in before:
        known.clear()
        known.update(entries)


def read_config(folder):
    return read_checkpoint(folder / "last.pt")["config"]


def trained(train, tmp_path, *settings):
    """Train 2 steps in one go, and as 1 and 1; returns the folder of the first run once both agree."""
    assert train(*settings, "train.steps=2", name="whole") == 0
    assert train(*settings, "train.steps=1", name="cut") == 0
    assert train("--resume", "runs/cut", "train.steps=2", fresh=False) == 0
    whole, cut = (weights(tmp_path / "runs" / name)[0] for name in ("whole", "cut"))
    assert same(whole, cut)
    return tmp_path / "runs/whole"


def plain(name):
    """torchvision's network, with parameters of any value: drawing those of its classifier takes a second."""
    with torch.device("meta"):
        return getattr(torchvision.models, name)(weights=None).to_empty(device="cpu")


@pytest.mark.parametrize("name", SHIPPED)
def test_an_encoder_is_torchvisions(name):
    encoder, theirs = ENCODERS[name]().eval(), plain(name).eval()
    for tensor in encoder.state_dict().values():  # statistics that are not those of no training at all
        tensor.add_(0.01 * torch.rand_like(tensor))
    assert not theirs.load_state_dict(encoder.state_dict(), strict=False).unexpected_keys
    x = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        stages = encoder(x)
        if name == "resnet50":
            y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
            expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(y))))
        else:
            expected = theirs.features[:-1](x)
        assert same(dict(enumerate(encoder(x, 3))), dict(enumerate(stages[:3])))
    torch.testing.assert_close(stages[-1], expected, rtol=1e-4, atol=1e-4)
    for stage, channels, stride in zip(stages, encoder.channels, encoder.strides, strict=True):
        assert stage.shape == (2, channels, 64 // stride, 96 // stride)
    # every part can learn, and nothing else then does
    for part in encoder.parts():
        encoder.set_trainable(encoder.parts()[part])
        learning = {id(p) for p in encoder.parameters() if p.requires_grad}
        assert learning == {id(p) for module in encoder.parts()[part] for p in module.parameters()}
    assert str(encoder.pretrained) == f"{type(encoder.pretrained).__name__}.IMAGENET1K_V1"


@pytest.mark.parametrize("name", SHIPPED)
def test_maps_have_the_inputs_size_whatever_the_strides(name):
    config = load_config(None, [f"encoder.name={name}", "encoder.trainable=none"])
    model = build_training_model(config, classes=3).eval()
    for size in ((32, 32), (50, 70), (49, 33)):
        images = torch.rand(4, 3, *size)
        with torch.inference_mode():
            output, maps, alone = model(images), model.net(images[:2]), model.net(images[:1])
        assert maps.shape == (2, 1, *size) and output.logits.shape == (4, 1, *size) and len(alone) == 1
        assert {side.shape for side in output.side_maps} == {(4, 1, *size)}
        assert maps.min() >= 0 and maps.max() <= 1
        torch.testing.assert_close(output.side_maps[-1][:2], maps)


def test_the_memory_plan_and_the_pages_lists_read_the_encoders():
    how = {"device": torch.device("cpu"), "precision": torch.float32, "memory": 2**31}
    plans = {name: plan_group(100, 224, encoder=ENCODERS[name](), **how) for name in SHIPPED}
    assert plans["vgg16"] == plans["vgg16_bn"]
    # at half of the size, all laterals of ResNet-50 fit
    assert plans["resnet50"].kept == 4 > plans["vgg16"].kept
    assert all(f"`{name}`" in DOC for name in (*SHIPPED, *CONSENSUS)) and {*SHIPPED} <= {*ENCODERS}
    [line] = re.findall(r"```yaml\n(.*?)```", DOC, re.S)
    assert yaml.safe_load(line)["mine"].keys() == known_sets()["PASCAL_coseg"].keys()


def test_wrong_names_and_weights_of_another_encoder_are_refused(tmp_path):
    for setting, named in (
        ("encoder.name=vgg17", "vgg17.*vgg16, vgg16_bn, resnet50"),
        ("gam.kind=max", "gam.kind.*max.*affinity, mean"),
        ("encoder.name=resnet50", "conv5_3.*none, stage5, stages4-5, all"),
    ):
        with pytest.raises(ConfigError, match=named):
            build_model(load_config(None, [setting]))
    theirs = ENCODERS["vgg16"]().state_dict()
    torch.save(theirs | {"classifier.6.bias": torch.zeros(1000)}, tmp_path / "vgg16.pth")
    load_encoder(encoder := ENCODERS["vgg16"](), str(tmp_path / "vgg16.pth"))
    assert same(theirs, encoder.state_dict())
    for name in OTHERS:
        with pytest.raises(CheckpointError, match="vgg16.pth"):
            load_encoder(ENCODERS[name](), str(tmp_path / "vgg16.pth"))


@pytest.mark.parametrize("kind", ["mean", "each image"])
def test_every_shape_of_a_consensus_trains_resumes_and_predicts(train, tmp_path, toy, monkeypatch, kind):
    class EachImage(torch.nn.Module):
        def forward(self, features, block=None):
            vector = features.mean((2, 3), keepdim=True) + features.mean()
            return Consensus(vector, torch.ones_like(features[:, :1]))

    monkeypatch.setitem(CONSENSUS, "each image", lambda gam, channels: EachImage())
    folder = trained(train, tmp_path, f"gam.kind={kind}")
    predictor = Predictor.load(folder / "last.pt", device="cpu", precision="fp32")
    pictures = sorted((toy / "images/toy_test").rglob("*.jpg"))[:5]
    group = [np.asarray(Image.open(path).resize((32, 32))) for path in pictures]
    images = torch.from_numpy(np.stack(group)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        whole = (255 * predictor.model(images))[:, 0].to(torch.uint8).numpy()
    maps = predictor(group)  # in batches of two
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(maps, whole, strict=True))
    with pytest.raises(CheckpointError, match="gam"):
        train("init=runs/whole/last.pt", "encoder.weights=imagenet", name="other")


def test_the_pages_code_runs(extended, train, tmp_path, toy, monkeypatch):
    monkeypatch.setattr(command_module, "Criterion", extended["Criterion"])
    settings = ["encoder.name=mobilenet_v2", "encoder.trainable=stages4-5", "gam.kind=prototype"]
    folder = trained(train, tmp_path, *settings)
    steps = [record for record in log(folder) if record["event"] == "step"]
    assert all(0 < step["dice"] <= 1 for step in steps)
    first = build_training_model(read_config(folder), classes=3).net.state_dict()
    moved = {
        n for n, tensor in weights(folder)[0].items() if n in first and not torch.equal(first[n], tensor)
    }
    assert any(n.startswith("encoder.") for n in moved) and not any("running" in n for n in moved)
    with pytest.raises(CheckpointError, match="encoder.name.*mobilenet_v2.*narrow"):
        train("init=runs/whole/last.pt", "encoder.weights=imagenet", name="other")
    terms = steps[0]["saliency"] + 250 * steps[0]["collaboration"] + 3 * steps[0]["classification"]
    assert steps[0]["total"] == pytest.approx(terms + steps[0]["dice"], rel=1e-5)
    predictor = Predictor.load(folder / "last.pt", device="cpu", precision="fp32")
    assert predictor(min((toy / "images/toy").iterdir()))[0].shape == (48, 48)
    assert extended["printed"] == re.search(r"```\n```\n(.*?)```", DOC, re.S)[1]
    maps = torch.tensor([[[[1.0, 0.5]]]])
    assert extended["dice_loss"](maps, torch.tensor([[[[1.0, 0.0]]]])) == pytest.approx(1 - 2 / 2.5)
