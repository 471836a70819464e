"""Names, checkpoints and pictures that are traps: refused, soon and in little memory."""

import os
import re

import pytest
import torch
from PIL import Image

from gconet.checkpoint import load_encoder
from gconet.config import load_config
from gconet.data.groups import Group, Item
from gconet.engine.run import Run
from gconet.errors import CheckpointError, DataError
from gconet.models.encoder import VGG16Encoder
from tests.conftest import NARROW


@pytest.mark.parametrize("name", ["../evil", "a/b", "..", ".", "", "a\\b", "nul\0"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(DataError, match=re.escape(repr(name))):
        Group(name, ())
    with pytest.raises(DataError, match=re.escape(repr(name))):
        Item(name, tmp_path / "a.png")


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("name", ["index.html", ".previews"])
def test_a_group_named_as_the_page_is_refused_first(run, checkpoint, tmp_path, name):
    (tmp_path / "images" / name).mkdir(parents=True)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "images" / name / "0.png")
    given = ["--checkpoint", checkpoint, "--images", tmp_path / "images" / name]
    assert name in run("test.py", *given, "--output", tmp_path / "out", status=2).stderr
    assert not (tmp_path / "out").exists()


def test_weights_in_the_download_cache_run_no_code_and_must_be_torchvisions(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached, marker = tmp_path / "hub/checkpoints/vgg16-397923af.pth", tmp_path / "ran"
    cached.parent.mkdir(parents=True)
    encoder = VGG16Encoder()
    for content in (Bomb(marker), encoder.state_dict(), [1]):
        torch.save(content, cached)
        with pytest.raises(CheckpointError, match=cached.name) as caught:
            load_encoder(encoder, "imagenet")
        assert not marker.exists() and "\n" not in str(caught.value)


def test_damaged_training_states_are_named(run, tiny, tmp_path):
    run("train.py", *tiny, NARROW, "name=r", "train.steps=1", cwd=tmp_path)
    path = tmp_path / "runs/r/last.pt"
    content = torch.load(path, weights_only=True)
    bias = "side1.layers.4.bias"
    nan, whole = ({**content["model"], bias: torch.tensor([x])} for x in (float("nan"), 1))
    training = [{k: v for k, v in content["training"].items() if k != name} for name in ("heads", "step")]
    for key, value in (
        ("step", "x"), ("step", -5), ("optimizer", {"state": {}}), ("optimizer", None), ("heads", [1]),
        ("sums", 3), ("sums", {"total": "x"}), ("best", "x"),
    ):  # fmt: skip
        training.append({**content["training"], key: value})
    for key, value in (
        *(("training", damaged) for damaged in ([1], *training)), ("model", [1]), ("model", nan),
        ("model", whole), ("config", 3), ("config", {"seed": "x"}),
        ("config", {"data": {"image_size": 60000}}),
    ):  # fmt: skip
        torch.save({**content, key: value}, path)
        done = run("train.py", "--resume", "runs/r", cwd=tmp_path, status=1)
        assert done.stderr.startswith("error: runs/r/last.pt: ") and done.stderr.count("\n") == 1, done
    torch.save({**content, "config": {k: v for k, v in content["config"].items() if k != "validation"}}, path)
    run("train.py", "--resume", "runs/r", cwd=tmp_path)


def test_a_new_run_stays_out_of_a_folder_that_came_to_be_meanwhile(tmp_path):
    config = load_config()
    run = Run(tmp_path / "r")
    (tmp_path / "r").mkdir()
    with pytest.raises(FileExistsError, match=f"{tmp_path.name}/r"):
        run.start(config, first=0)


def test_no_name_or_file_leads_a_table_elsewhere(run, toy, tmp_path):
    gts = toy / "gts/toy"
    command = ["scripts/evaluate.py", "--gts", gts, "--maps"]
    for wrong in ((f"../../escaped={gts}",), (gts, "--sets", "../escaped")):
        assert "escaped" in run(*command, *wrong, status=2).stderr and not list(tmp_path.iterdir())
    command.append(gts)
    (tmp_path / ".scores.json").write_text("mine")
    (tmp_path / "pipe").symlink_to("/dev/null")
    run(*command, "--json", tmp_path / "scores.json", "--markdown", tmp_path / ".a")
    run(*command, "--markdown", tmp_path / "pipe", "--overwrite")
    assert (tmp_path / ".scores.json").read_text() == "mine" and (tmp_path / "pipe").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a", ".scores.json", "pipe", "scores.json"]


def test_tables_take_names_that_are_no_text_and_replace_files_whole(run, tmp_path):
    folder = tmp_path / "maps" / os.fsdecode(b"caf\xe9")
    folder.mkdir(parents=True)
    Image.new("L", (9, 9), 255).save(folder / "a.png")
    files = [f"--{kind}={tmp_path / kind}" for kind in ("markdown", "json")]
    given = ["--maps", folder.parent, "--gts", folder.parent, "--groups"]
    for overwrite in ((), ("--overwrite",)):
        run("scripts/evaluate.py", *given, *files, *overwrite)
    assert r"caf\udce9" in (tmp_path / "markdown").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["json", "maps", "markdown"]
