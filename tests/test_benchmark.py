"""`scripts/benchmark.py`: every path runs and prints what it promises."""

import re
import subprocess
import sys

import pytest

from gconet.checkpoint import save_checkpoint
from gconet.config import load_config
from gconet.models import build_model
from tests.conftest import ROOT

SMALL = ("--size", "32", "--repeats", "2", "--device", "cpu", "--groups", "2")


def test_inference_is_timed_on_every_path(run, wide_checkpoint):
    given = ("--paths", "reference", "fp32", "--checkpoint", wide_checkpoint)
    out = run("scripts/benchmark.py", *SMALL, *given).stdout
    assert re.findall(r"^  (\w+) +[\d.]+ ms .* images/s .* GiB$", out, re.M) == ["reference", "fp32"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn", "resnet50"])
def test_memory_grows_no_faster_than_the_group(tmp_path, name):
    """In processes of their own: a child's peak starts at its parent's, and this one may be large."""
    config = load_config(None, [f"encoder.name={name}", "encoder.trainable=none"])
    save_checkpoint(tmp_path / "a.pt", config=config, model=build_model(config))

    def peaks(*arguments):
        command = [sys.executable, "scripts/benchmark.py", "--repeats", "1", "--device", "cpu"]
        command += ["--paths", "fp32", "--checkpoint", tmp_path / "a.pt", *arguments]
        out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [float(peak) for peak in re.findall(r"^  fp32 .* ([\d.]+) GiB", out, re.M)]

    small, large = peaks("--groups", "1", "100")
    assert small < 1.5 and large < 2.5
    [huge] = peaks("--groups", "1000", "--size", "64")
    assert huge < 2.5  # VGG's whole affinity matrix would take 1 GiB, all its features 5.6


@pytest.mark.parametrize(
    "bad", ["--groups 0", "--groups two", "--images .git", "--images none", "--repeats -1", "--paths fp31"]
)
def test_bad_arguments_are_named(run, bad):
    stderr = run("scripts/benchmark.py", *SMALL, *bad.split(), status=2).stderr
    assert stderr.startswith("error: ") and stderr.count("\n") == 1 and bad.split()[1] in stderr
