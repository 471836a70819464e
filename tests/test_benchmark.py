"""`scripts/benchmark.py`: every subject runs and prints what it promises."""

import re
import subprocess
import sys

import pytest
import torch

from gconet.checkpoint import save_checkpoint
from gconet.config import Config
from gconet.data.images import load_image
from gconet.data.transforms import resize_image
from gconet.models import build_model
from tests.conftest import ROOT, lively

SMALL = ("--size", "32", "--repeats", "2", "--device", "cpu", "--precisions", "fp32")


def test_inference_against_the_reference_path(run, toy, tmp_path):
    pictures = sorted((toy / "images/toy").iterdir())[0]
    images = torch.stack([resize_image(load_image(p), 32) for p in sorted(pictures.iterdir())[:2]]).float()
    model = lively(build_model(Config()).eval(), images / 255)
    save_checkpoint(tmp_path / "a.pt", config=Config(), model=model)
    given = ("--checkpoint", tmp_path / "a.pt", "--images", pictures)
    out = run("scripts/benchmark.py", "inference", "--groups", "2", *SMALL, *given).stdout
    line = r"^(reference path|ours, fp32) .* images/s +[\d.]+ GiB +([\d.]+) times as fast"
    ratios = re.findall(line, out, re.M)
    assert [name for name, _ in ratios] == ["reference path", "ours, fp32"] and ratios[0][1] == "1.00"
    assert float(re.search(r"maps, fp32: .*largest (\d+) of 255", out)[1]) <= 1


OURS = "ours, fp32, cache device, graph false"


def rows_of(out):
    line = r"^(training step, weights \w+(?=,)|(?:reference path|ours, [\w, ]+\w)(?= .* times as fast))"
    return re.findall(line, out, re.M)


def test_training_step(run):
    given = ("--group", "2", "--checkpoint", "random", "--steps", "4")
    out = run("scripts/benchmark.py", "train", *given, *SMALL).stdout
    assert rows_of(out) == ["training step, weights random", "reference path", OURS]
    run("scripts/benchmark.py", "train", "--caches", "nowhere", *SMALL, status=2)


@pytest.mark.slow
def test_caches_and_group_sizes(run):
    given = ("--group", "2", "--steps", "4", "--caches", "device", "none")
    out = run("scripts/benchmark.py", "train", *given, *SMALL).stdout
    assert rows_of(out)[1:] == ["reference path", OURS, "ours, fp32, cache none, graph false"]
    out = run("scripts/benchmark.py", "inference", "--ours", "--groups", "3", "4", *SMALL).stdout
    assert rows_of(out) == ["ours, fp32", "ours, fp32"]
    assert re.findall(r"^group of (\d+)", out, re.M) == ["3", "4"]


@pytest.mark.slow
def test_training_step_of_trained_weights(run):
    out = run("scripts/benchmark.py", "train", "--group", "2", "--checkpoint", "pretrained", *SMALL).stdout
    assert rows_of(out) == ["training step, weights pretrained", "reference path", OURS]


def test_the_profile_names_the_kernels(run):
    out = run("scripts/benchmark.py", "profile", "--group", "1", *SMALL).stdout
    assert out.count("steps of 2 x 1 images") == 1 and "convolution_backward" in out


@pytest.mark.slow
def test_memory_grows_no_faster_than_the_group():
    """In processes of their own: a child's peak starts at its parent's, and this one may be large."""

    def peaks(*arguments):
        command = [sys.executable, "scripts/benchmark.py", "inference", "--ours", "--repeats", "1"]
        command += ["--device", "cpu", "--precisions", "fp32", *arguments]
        out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [float(peak) for peak in re.findall(r"^ours, fp32.* ([\d.]+) GiB", out, re.M)]

    small, large = peaks("--groups", "1", "100")
    assert small < 1.5 and large < 2.5
    [huge] = peaks("--groups", "1000", "--size", "64")
    assert huge < 2.5  # the whole affinity matrix would take 1 GiB, all features 5.6


@pytest.mark.parametrize(
    "bad",
    ["--groups 0", "--groups two", "--images .git", "--images none", "--repeats 0", "--precisions fp31",
     "--device tpu9", "--size 8"],
)  # fmt: skip
def test_bad_arguments(run, bad):
    done = run("scripts/benchmark.py", "inference", *SMALL, *bad.split(), status=2)
    assert done.stderr.count("error: ") == 1 and done.stderr.count("\n") == 1


@pytest.mark.parametrize("bad", ["--maps -1", "--folder 0", "--folder two"])
def test_bad_arguments_of_the_scorers_benchmark(run, bad):
    option, value = bad.split()
    done = run("scripts/benchmark.py", "evaluate", option, value, status=2)
    message = f"error: argument {option}: '{value}' is not a whole number of 1 or more"
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1
