"""Checkpoints: round trip, refusals, and the authors' format."""

import hashlib
import pickle

import pytest
import torch

from gconet.checkpoint import load_model, load_state, save_checkpoint
from gconet.config import load_config
from gconet.errors import CheckpointError, ConfigError
from gconet.models import build_model
from gconet.official import convert_official, from_official
from scripts.tools.ship_weights import ship_weights
from tests import official
from tests.conftest import NARROW, same
from tests.official import needs_golden


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "a.pt"
    config = load_config(None, ["gam.kernel_size=3", "data.image_size=64", NARROW])
    model = build_model(config)
    save_checkpoint(path, config=config, model=model)
    return path, config, model


def test_round_trip(saved):
    path, config, model = saved
    loaded, its_config = load_model(path)
    assert its_config == config and not loaded.training
    assert same(model.state_dict(), loaded.state_dict())
    assert [file.name for file in path.parent.iterdir()] == ["a.pt"]


class Bomb:
    def __reduce__(self):
        return (print, ("the bomb ran",))


def test_what_is_no_checkpoint_of_ours_is_refused(saved, tmp_path, capsys):
    path, config, _ = saved
    (tmp_path / "t.pt").write_bytes(path.read_bytes()[:-5000])
    torch.save({"layer": torch.zeros(2)}, tmp_path / "foreign.pt")
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps({"format": Bomb()}, protocol=2))
    save_checkpoint(tmp_path / "other.pt", config=load_config(None, [NARROW]), model=build_model(config))
    for wrong, named in (
        (path.parent / "b.pt", "b.pt.*paper.*a.pt"), (path.parent, "paper.*a.pt"),
        (tmp_path / "t.pt", "t.pt"), (tmp_path / "foreign.pt", "foreign.pt.*convert_checkpoint"),
        (tmp_path / "bomb.pt", "bomb.pt"), (tmp_path / "other.pt", "other.pt.*affinity.query"),
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=named) as caught:
            load_model(wrong)
        assert "\n" not in str(caught.value)
    assert "bomb ran" not in capsys.readouterr().out


def test_weights_that_ship_are_half_as_large_checked_and_without_paths(saved, tmp_path, run):
    path, config, model = saved
    weights = tmp_path / "w.pt"
    given = ["scripts/tools/ship_weights.py", path, "--output", weights]
    out = run(*given).stdout
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in out
    assert weights.stat().st_size < 0.51 * path.stat().st_size
    loaded, its_config = load_model(weights)
    assert its_config == config and next(loaded.parameters()).dtype == torch.float32
    assert same(loaded.state_dict(), {name: t.half().float() for name, t in model.state_dict().items()})
    assert "w.pt" in run(*given, status=2).stderr
    config = load_config(None, ["data.root=/home/me/data", "encoder.weights=/home/me/vgg.pth", NARROW])
    save_checkpoint(tmp_path / "a.pt", config=config, model=build_model(config))
    ship_weights([tmp_path / "a.pt"], [1], tmp_path / "new/w.pt")
    assert load_model(tmp_path / "new/w.pt")[1] == load_config(None, ["encoder.weights=vgg.pth", NARROW])


@pytest.fixture(scope="module")
def theirs():
    return official.random_state()


@pytest.mark.parametrize(("prefix", "whole"), [("", False), ("ginet.", False), ("module.ginet.", True)])
def test_the_authors_weights_and_training_checkpoints_convert(theirs, run, tmp_path, prefix, whole):
    content = {prefix + name: tensor for name, tensor in theirs.items()}
    if whole:
        content = {"epoch": 3, "state_dict": content, "scheduler": {"last_epoch": 3}}
    torch.save(content, tmp_path / "official.pth")
    run("scripts/convert_checkpoint.py", tmp_path / "official.pth", tmp_path / "ours.pt")
    model, config = load_model(tmp_path / "ours.pt")
    assert config == load_config()
    assert torch.equal(model.affinity.output.weight, theirs["co_x5.all_attention.conv6.weight"])
    assert torch.equal(model.side1.layers[4].bias, theirs["dslayer1.predlayer.0.bias"])
    with pytest.raises(ConfigError, match="ours.pt"):
        convert_official(tmp_path / "official.pth", tmp_path / "ours.pt")


def test_anything_unexpected_in_it_is_refused(theirs, tmp_path):
    short = {name: t for name, t in theirs.items() if name != "toplayer.0.bias"}
    for content, named in (
        ({**theirs, "extra.weight": torch.zeros(1)}, "extra.weight"), (short, "toplayer.0"),
        ({**theirs, "toplayer.0.bias": torch.zeros(3)}, "toplayer.0|decoder"), ([1, 2], "wrong.pth"),
    ):  # fmt: skip
        torch.save(content, tmp_path / "wrong.pth")
        with pytest.raises(CheckpointError, match=named):
            convert_official(tmp_path / "wrong.pth", tmp_path / "ours.pt")
    assert not (tmp_path / "ours.pt").exists()


@needs_golden
def test_the_layout_of_the_authors_checkpoint_is_the_one_we_read():
    ours = from_official(official.official_state())
    assert set(official.layout()) == set(official.official_state()) | {
        f"backbone.classifier.{i}.{kind}" for i in (0, 3, 6) for kind in ("weight", "bias")
    }
    assert sum(n.startswith("net.") for n in ours) == len(build_model(load_config()).state_dict())


def test_integer_buffers_are_loaded_and_integers_in_place_of_weights_are_not(tmp_path):
    trained = torch.nn.BatchNorm2d(3)
    trained(torch.rand(2, 3, 4, 4))
    fresh = torch.nn.BatchNorm2d(3)
    load_state(fresh, trained.state_dict(), tmp_path / "a.pt")
    assert fresh.num_batches_tracked == 1 and torch.equal(fresh.running_mean, trained.running_mean)
    damaged = {**trained.state_dict(), "weight": torch.ones(3, dtype=torch.int64)}
    with pytest.raises(CheckpointError, match="a.pt.*weight"):
        load_state(fresh, damaged, tmp_path / "a.pt")


def test_the_mean_of_checkpoints(run, tmp_path):
    models = [build_model(load_config(None, [f"seed={seed}", NARROW])) for seed in (0, 1)]
    for i, model in enumerate(models):
        save_checkpoint(tmp_path / f"{i}.pt", config=load_config(None, [f"seed={i}", NARROW]), model=model)
    given = ["scripts/tools/ship_weights.py", tmp_path / "0.pt", tmp_path / "1.pt", "--output"]
    run(*given, tmp_path / "mean.pt")
    mean, config = load_model(tmp_path / "mean.pt")
    assert config.seed == 1
    run(*given, tmp_path / "weighted.pt", "--shares", 3, 1)
    weighted = load_model(tmp_path / "weighted.pt")[0].state_dict()
    for name, tensor in mean.state_dict().items():
        a, b = (model.state_dict()[name] for model in models)
        assert torch.equal(tensor, ((a + b) / 2).half().float())
        assert torch.equal(weighted[name], ((3 * a + b) / 4).half().float())
    assert "--shares" in run(*given, tmp_path / "x.pt", "--shares", 3, status=2).stderr
    other = load_config(None, ["gam.enabled=false", NARROW])
    save_checkpoint(tmp_path / "2.pt", config=other, model=build_model(other))
    assert "0.pt" in run(*given[:3], tmp_path / "2.pt", "--output", tmp_path / "x.pt", status=1).stderr
