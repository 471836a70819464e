"""Shared fixtures: a toy data set, and small settings for training on it."""

import json
import runpy
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

import train as command_module
from gconet.checkpoint import read_checkpoint, save_checkpoint
from gconet.config import Config, load_config
from gconet.data.pictures import Picture, Pictures, read_groups
from gconet.data.toy import make_toy_set
from gconet.device import CONVOLUTIONS, SWITCH
from gconet.models import ENCODERS, GCoNet, build_model
from gconet.models.encoder import Encoder, VGG16Encoder

ROOT = Path(__file__).resolve().parents[1]
torch.set_num_threads(2)


class NarrowEncoder(VGG16Encoder):
    """VGG-16 with a sixteenth of its channels: `encoder.name=narrow` where a test is about something else."""

    channels = (4, 8, 16, 32, 32)

    def __init__(self) -> None:
        Encoder.__init__(self)
        self.features = make_layers([c if c == "M" else int(c) // 16 for c in cfgs["D"]])[:-1]
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")


ENCODERS["narrow"] = NarrowEncoder  # type: ignore[index]
NARROW = "encoder.name=narrow"


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what commands set for their process: signals; denormals, for hypothesis; TF32, for torch.export;
    and let it keep no memory, which would stay with the tests after it."""
    monkeypatch.setattr("gconet.device.keep_memory", lambda: None)
    found = [(switch, getattr(switch, SWITCH)) for switch in (torch.backends.cuda.matmul, CONVOLUTIONS)]
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    yield
    for signum, handler in handlers.items():
        signal.signal(signum, handler)
    torch.set_flush_denormal(False)
    for switch, value in found:
        setattr(switch, SWITCH, value)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the sets toy and toy_test, 3 classes of 4 images each."""
    root = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("toy", "toy_test")):
        make_toy_set(root, name, classes=3, images_per_class=4, size=48, seed=seed)
    return root


@pytest.fixture
def tiny(toy: Path) -> list[str]:
    """Overrides that make a training step take a fraction of a second."""
    return [
        f"data.root={toy}", "data.train_set=toy", "data.image_size=32", "data.group_size=2",
        "data.workers=0", "encoder.weights=none", "train.precision=fp32", "train.device=cpu",
    ]  # fmt: skip


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: list[str]) -> Callable[..., int]:
    """Call train.py's main in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def train(*args: object, name: str = "r", fresh: bool = True) -> int:
        start = ["--config", str(ROOT / "configs/gconet.yaml"), f"name={name}", NARROW, *tiny]
        monkeypatch.setattr(sys, "argv", ["train.py", *(start if fresh else []), *map(str, args)])
        return command_module.main()

    return train


def weights(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What a run has learnt, by name, and the rest of its last checkpoint's training state."""
    content = read_checkpoint(folder / "last.pt")
    return {**content["model"], **content["training"]["heads"]}, content["training"]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether both have the same names and bits."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def log(folder: Path) -> list[dict[str, Any]]:
    """The records of a run's log."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights for pictures of 32 pixels, for commands in this process."""
    return random_checkpoint(tmp_path_factory.mktemp("narrow") / "last.pt", NARROW)


@pytest.fixture(scope="session")
def wide_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with VGG-16, for commands in processes of their own."""
    return random_checkpoint(tmp_path_factory.mktemp("wide") / "last.pt", "encoder.name=vgg16")


def random_checkpoint(path: Path, encoder: str) -> Path:
    config = load_config(None, ["data.image_size=32", encoder])
    save_checkpoint(path, config=config, model=build_model(config))
    return path


def read_group(pictures: Sequence[Picture], size: int) -> Pictures:
    [group] = read_groups([pictures], size)
    return group


def lively(config: Config, files: Sequence[Path]) -> GCoNet:
    """A network whose maps of these pictures vary and depend on the consensus."""
    model, images = build_model(config).eval(), read_group(files, config.data.image_size).pixels / 255
    with torch.no_grad():
        model.decoder.top[0].weight *= 1e5
        *stages, features = model.encode(images)
        pyramid = model.decoder(model.laterals(stages), features * model.consensus(features).vector)
        logits = model.side1.layers(pyramid.p1)
        last = model.side1.layers[4]
        last.bias -= logits.mean()
        for parameter in (last.weight, last.bias):
            parameter /= logits.std()
    return model


SIZES = [(40, 60), (33, 91), (1, 7), (64, 64), (120, 50)]


@pytest.fixture(scope="session")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of noise, of these sizes."""
    folder, r = tmp_path_factory.mktemp("group"), np.random.RandomState(0)
    for i, size in enumerate(SIZES):
        Image.fromarray(r.randint(0, 256, (*size, 3), np.uint8)).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def model(paths: list[Path]) -> GCoNet:
    """A small lively network; tests copy it."""
    return lively(load_config(None, ["data.image_size=32", NARROW]), paths)


class Done(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run one of the repository's commands in this process; fails unless it exits with `status`."""

    def run(script: str, *args: object, cwd: Path = ROOT, status: int = 0) -> Done:
        monkeypatch.chdir(cwd)
        monkeypatch.syspath_prepend((ROOT / script).parent)  # as Python does
        monkeypatch.setattr(sys, "argv", [str(ROOT / script), *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        done = Done(*capsys.readouterr())
        assert (exited.value.code or 0) == status, done
        return done

    return run
