"""The recipes, pinned without golden files: literal settings, gradients by a reference, rates by step."""

import re
import shlex

import pytest
import torch

from gconet.checkpoint import PRETRAINED, read_checkpoint
from gconet.config import Config, config_to_dict, flatten, load_config
from gconet.data.dataset import EpisodeDataset
from gconet.data.episodes import make_episodes
from gconet.data.groups import scan_set
from gconet.engine.optimizer import make_optimizer
from gconet.losses import Criterion
from gconet.models import build_training_model
from gconet.models.training import TrainingOutput
from tests import reference_path
from tests.conftest import NARROW, ROOT, log

RELEASE = {
    "seed": 0, "init": None, "data.train_set": "DUTS_class", "data.image_size": 224, "data.group_size": 16,
    "data.flip": 0.5, "data.rotation": 90.0, "data.distractors": 0.0, "data.episodes": None,
    "encoder.name": "vgg16", "encoder.weights": "imagenet", "encoder.trainable": "conv5_3",
    "gam.enabled": True, "gam.kind": "affinity", "gam.kernel_size": 1, "gam.softmax": "image",
    "gam.output_conv": True, "gcm.enabled": True, "acm.enabled": True, "loss.saliency": 1.0,
    "loss.collaboration": 250.0, "loss.classification": 3.0, "loss.iou_reduction": "sum",
    "loss.outputs": "all", "loss.bce": 0.0, "optimizer.lr": 1e-4, "optimizer.encoder_lr_scale": 0.01,
    "optimizer.betas": [0.9, 0.99], "optimizer.drop_at": 1.0, "train.epochs": 50, "train.steps": None,
}  # fmt: skip
DISTRACTORS = {
    "data.distractors": 0.7, "data.rotation": 15.0, "encoder.trainable": "stages4-5",
    "loss.outputs": "finest", "loss.bce": 60.0, "optimizer.encoder_lr_scale": 0.1, "optimizer.drop_at": 0.75,
}  # fmt: skip
# settings of a machine, or of where things are, that do not change what is learnt
PLACES = {"name", "init", "encoder.weights", "data.root", "data.cache", "data.workers", "train.device",
          "train.precision", "train.graph", "train.save_minutes", "validation.set",
          "validation.every"}  # fmt: skip


@pytest.mark.parametrize(("file", "expected"), [
    (None, RELEASE), ("gconet.yaml", RELEASE), ("gconet_distractors.yaml", RELEASE | DISTRACTORS),
])  # fmt: skip
def test_recipes_have_their_literal_values(file, expected):
    settings = flatten(config_to_dict(load_config(ROOT / "configs" / file) if file else Config()))
    assert {key: settings[key] for key in expected} == expected


def test_the_optimizer_is_the_recipes():
    config = load_config(ROOT / "configs/gconet.yaml")
    model = build_training_model(config, classes=5)
    optimizer = make_optimizer(config.optimizer, model)
    assert type(optimizer) is torch.optim.Adam
    name_of = {id(p): name for name, p in model.named_parameters()}
    new, encoder = (
        ({name_of[id(p)] for p in group["params"]}, group["lr"]) for group in optimizer.param_groups
    )
    trainable = {f"net.encoder.features.28.{kind}" for kind in ("weight", "bias")}
    assert encoder == (trainable, pytest.approx(1e-6))
    assert new == ({n for n in name_of.values() if not n.startswith("net.encoder.")}, 1e-4)
    for group in optimizer.param_groups:
        assert tuple(group["betas"]) == (0.9, 0.99) and group["weight_decay"] == 0


@pytest.mark.parametrize("name", PRETRAINED)
def test_shipped_weights_were_trained_with_the_command_on_their_card(name):
    """The card's last `python train.py` line, its config file included, gives the settings in the weights."""
    card = PRETRAINED[name][0].with_suffix(".md").read_text(encoding="utf-8")
    command = shlex.split(re.findall(r"python train\.py ([^`\n]*)", card)[-1])
    assert command[0] == "--config"
    expected = flatten(config_to_dict(load_config(ROOT / command[1], command[2:])))
    saved = flatten(config_to_dict(read_checkpoint(PRETRAINED[name][0])["config"]))
    assert {k: v for k, v in saved.items() if k not in PLACES} == {
        k: v for k, v in expected.items() if k not in PLACES
    }


@pytest.mark.parametrize("term", ["saliency", "collaboration", "classification"])
def test_each_loss_and_its_gradients_are_those_of_the_reference_path(term):
    """In float64, for every trained parameter: through the own and the crossed half of the GCM too."""
    torch.manual_seed(0)
    config = load_config(None, ["encoder.trainable=all", NARROW])
    model = build_training_model(config, classes=5).double()
    with torch.no_grad():  # so that the maps depend on the consensus
        model.net.decoder.top[0].weight *= 1e5
    images, masks = torch.rand(4, 3, 32, 32).double(), torch.rand(4, 1, 32, 32).round()
    criterion, labels = Criterion(**vars(config.loss)), torch.tensor([1, 1, 4, 4])
    state = {name.removeprefix("net."): p for name, p in model.named_parameters()}
    sides, logits, classes = reference_path.train_pair(state, (images - model.net.mean) / model.net.std)
    reference = TrainingOutput(tuple(sides), logits, classes, logits, sides[-1])

    def gradients(output):
        loss = criterion(output, masks.to(output.logits.dtype), labels)[term]
        losses.append(loss.item())
        return torch.autograd.grad(loss, list(state.values()), allow_unused=True)

    losses = []
    for name, ours, theirs in zip(state, gradients(model(images)), gradients(reference), strict=True):
        assert (ours is None) == (theirs is None), name
        if ours is not None:
            assert theirs.any() and (ours - theirs).norm() <= 1e-4 * theirs.norm(), name
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_no_two_steps_of_a_run_are_composed_alike(toy):
    """Over two epochs and two ranks, each step draws new kinds, places and partners."""
    config = load_config(None, [f"data.root={toy}", "data.train_set=toy", "data.group_size=2"])
    groups = scan_set(toy, "toy")
    drawn = []
    for rank in (0, 1):
        dataset = EpisodeDataset(
            groups, make_episodes(config, groups), size=32, distractors=0.7, rank=rank, world=2
        )
        drawn += [dataset[step].numbers for step in range(2 * dataset.steps_per_epoch)]
    assert len({tuple(numbers.flatten().tolist()) for numbers in drawn}) == len(drawn) == 8


@pytest.mark.parametrize(("settings", "full"), [
    (("train.epochs=2", "optimizer.drop_at=0.5"), 3),  # of 6 steps
    (("train.epochs=2", "train.steps=5", "optimizer.drop_at=0.34"), 2),  # 1.7, rounded
])  # fmt: skip
def test_rates_drop_at_the_step_that_drop_at_names(train, tmp_path, settings, full):
    assert train(*settings) == 0
    steps = [r for r in log(tmp_path / "runs/r") if r["event"] == "step"]
    factors = [1.0] * full + [0.1] * (len(steps) - full)
    assert [r["lr_new_layers"] for r in steps] == pytest.approx([1e-4 * factor for factor in factors])
    assert [r["lr_encoder"] for r in steps] == pytest.approx([1e-6 * factor for factor in factors])
