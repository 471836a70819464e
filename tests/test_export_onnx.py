"""`gconet export`: one file for groups of any size, equal to PyTorch."""

import errno
import os
import tempfile

import numpy as np
import pytest
import torch

import gconet
from gconet.checkpoint import save_checkpoint
from gconet.config import load_config
from gconet.inference.onnx_file import export
from gconet.models import build_model
from gconet.opencv import cv2
from tests.conftest import NARROW, lively, read_group

OTHERS = [["encoder.name=resnet50", "encoder.trainable=none"], ["gam.kind=mean"]]
SLOW = [pytest.param(parts, marks=pytest.mark.slow) for parts in OTHERS]
PAPER = ["gam.softmax=group", "gam.kernel_size=3", "gam.output_conv=false"]
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.mark.parametrize("overrides", [[], PAPER, *SLOW])
def test_maps_are_pytorchs_for_any_group_size(run, toy, tmp_path, overrides):
    config = load_config(None, ["data.image_size=32", NARROW, *overrides])
    paths = sorted((toy / "images/toy").rglob("*.jpg"))[:7]
    model, images = lively(config, paths), read_group(paths, 32).pixels / 255
    save_checkpoint(tmp_path / "a.pt", config=config, model=model)
    arguments = ("--checkpoint", tmp_path / "a.pt", "--output", tmp_path / "a.onnx")
    assert "agree with PyTorch within" in run("gconet/__main__.py", "export", *arguments).stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "a.pt"]

    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        with torch.inference_mode():
            expected = model(images[:count]).numpy()
        [maps] = session.run(["maps"], {"images": images[:count].numpy()})
        assert expected.std() > 0.01
        np.testing.assert_allclose(maps, expected, atol=1e-4)

    written = (tmp_path / "a.onnx").read_bytes()
    assert "exists" in run("gconet/__main__.py", "export", *arguments, status=2).stderr
    assert (tmp_path / "a.onnx").read_bytes() == written


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), SystemExit(143)]
)
def test_an_export_that_is_cut_short_leaves_nothing_behind(run, tmp_path, monkeypatch, error):
    config = load_config(None, ["data.image_size=32", NARROW])
    save_checkpoint(tmp_path / "a.pt", config=config, model=build_model(config))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def fsync(fd):
        raise error

    monkeypatch.setattr(os, "fsync", fsync)
    call = ["export", "--checkpoint", tmp_path / "a.pt", "--output", tmp_path / "a.onnx"]
    done = run("gconet/__main__.py", *call, status={OSError: 1, KeyboardInterrupt: 130}.get(type(error), 143))
    assert ("a.onnx" in done.stderr) == isinstance(error, OSError)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.pt", "temporary"]


@pytest.mark.slow
def test_opencv_computes_the_same_maps(tmp_path):
    net = gconet.load_pretrained()
    export(net, 64, tmp_path / "a.onnx")
    for count in (1, 2, 3, 5, 7):
        images = torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(count))
        second = cv2.dnn.readNetFromONNX(str(tmp_path / "a.onnx"))
        second.setInput(images.numpy())
        with torch.inference_mode():
            np.testing.assert_allclose(second.forward(), net(images).numpy(), atol=1e-4)
