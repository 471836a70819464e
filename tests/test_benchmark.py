"""`scripts/benchmark.py`: every subject runs and prints what it promises."""

import re
import subprocess
import sys

import pytest
import torch

from gconet.checkpoint import save_checkpoint
from gconet.config import Config, load_config
from gconet.data.images import load_image
from gconet.data.transforms import resize_image
from gconet.models import build_model
from tests.conftest import ROOT, lively

SMALL = ("--size", "32", "--repeats", "2", "--device", "cpu", "--precisions", "fp32", "--group", "2")


def rows_of(out):
    return re.findall(
        r"^(reference path|ours, [\w, ]+\w) .* images/s .* GiB +[\d.]+ times as fast", out, re.M
    )


def test_inference_is_timed_and_compared_with_the_reference_path(run, toy, tmp_path):
    pictures = sorted((toy / "images/toy").iterdir())[0]
    images = torch.stack([resize_image(load_image(p), 32) for p in sorted(pictures.iterdir())[:2]]).float()
    model = lively(build_model(Config()).eval(), images / 255)
    save_checkpoint(tmp_path / "a.pt", config=Config(), model=model)
    given = ("--checkpoint", tmp_path / "a.pt", "--images", pictures)
    out = run("scripts/benchmark.py", "inference", "--groups", "2", *SMALL, *given).stdout
    assert rows_of(out) == ["reference path", "ours, fp32"]
    assert float(re.search(r"maps, fp32: .*largest (\d+) of 255", out)[1]) <= 1


@pytest.mark.slow
def test_training_steps_are_timed(run):
    out = run("scripts/benchmark.py", "train", "--steps", "4", *SMALL).stdout
    assert rows_of(out) == ["reference path", "ours, fp32, cache device, graph false"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn", "resnet50"])
def test_memory_grows_no_faster_than_the_group(tmp_path, name):
    """In processes of their own: a child's peak starts at its parent's, and this one may be large."""
    config = load_config(None, [f"encoder.name={name}", "encoder.trainable=none"])
    save_checkpoint(tmp_path / "a.pt", config=config, model=build_model(config))

    def peaks(*arguments):
        command = [sys.executable, "scripts/benchmark.py", "inference", "--ours", "--repeats", "1"]
        command += ["--device", "cpu", "--precisions", "fp32", "--checkpoint", tmp_path / "a.pt", *arguments]
        out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [float(peak) for peak in re.findall(r"^ours, fp32.* ([\d.]+) GiB", out, re.M)]

    small, large = peaks("--groups", "1", "100")
    assert small < 1.5 and large < 2.5
    [huge] = peaks("--groups", "1000", "--size", "64")
    assert huge < 2.5  # VGG's whole affinity matrix would take 1 GiB, all its features 5.6


@pytest.mark.parametrize(
    "bad", ["--groups 0", "--groups two", "--images .git", "--images none", "--repeats 0", "--repeats -1",
            "--precisions fp31", "--device tpu9"],
)  # fmt: skip
def test_bad_arguments_are_named(run, bad):
    stderr = run("scripts/benchmark.py", "inference", *SMALL, *bad.split(), status=2).stderr
    assert stderr.startswith("error: ") and stderr.count("\n") == 1 and bad.split()[1] in stderr
