"""What must not be lost or mistaken: settings as typed, names on other disks, an epoch of training."""

import shutil
import signal
import subprocess
import sys
from operator import attrgetter

import pytest
from PIL import Image

from gconet.applications.outputs import MARK, check_names
from gconet.checkpoint import read_checkpoint
from gconet.config import load_config
from gconet.data.groups import scan_groups
from gconet.engine import validation
from gconet.errors import ConfigError, DataError
from gconet.files import write_file
from tests.conftest import log


@pytest.mark.parametrize("given", [
    "data.root=/data/photos #2", "name=try #2", "init=runs/exp #1/last.pt", "data.root=&x y", "name=no",
    "name=2024-01-01", "name=123", "name=010", "data.root=/d/a: b", "data.episodes=[a].npz", "seed=12",
    "data.root=*all", "train.steps=100", "optimizer.lr=0.0001", "data.cache=none", "train.device=cuda:1",
])  # fmt: skip
def test_settings_on_the_command_line_are_taken_as_they_stand(given):
    key, _, text = given.partition("=")
    assert str(attrgetter(key)(load_config(None, [given]))) == text


@pytest.mark.parametrize(("given", "value"), [
    ("data.train_set=set #1", ("set #1",)), ("data.train_set=[010, no]", ("010", "no")),
    ("data.train_set=2017", ("2017",)), ("optimizer.betas=[0.5, 0.75]", (0.5, 0.75)),
    ("optimizer.lr=1e-4", 1e-4), ("optimizer.lr=5", 5.0), ("data.episodes=null", None),
    ("train.steps=null", None), ("train.graph=true", True), ("gam.enabled=false", False),
])  # fmt: skip
def test_lists_numbers_and_nothing_are_still_understood(given, value):
    assert attrgetter(given.partition("=")[0])(load_config(None, [given])) == value


@pytest.mark.parametrize("given", [
    "seed=010", "seed=1:30", "train.steps=0100", "seed=0x10", "seed=1_000", "seed=1e3", "seed= 7", "seed=",
    "optimizer.lr=1:30", "optimizer.lr=1_0.5", "optimizer.lr=.", "data.flip=nan", "data.root=", "seed=1 #2",
    "optimizer.betas=[010, 0.9]",
])  # fmt: skip
def test_numbers_that_are_not_plain_are_refused(given):
    with pytest.raises(ConfigError, match=given.partition("=")[0]):
        load_config(None, [given])


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)
    return folder


@pytest.mark.parametrize("names", [
    ("Cat/1.jpg", "cat/2.jpg"), ("cat/a.jpg", "cat/A.JPG"), ("x/ä.png", "x/Ä.png", "y/a.png"),
    ("straße/1.png", "STRASSE/2.png"),
])  # fmt: skip
def test_names_that_a_disk_would_not_tell_apart_are_refused(tmp_path, names):
    groups = scan_groups(make(tmp_path / "in", *names))
    out = make(tmp_path / "out")
    out.mkdir()
    (out / MARK).touch()
    check_names(out, groups)  # this disk tells them apart
    (out / MARK.upper()).touch()  # as a disk that ignores case would answer
    with pytest.raises(ConfigError, match="would be one file"):
        check_names(out, groups)
    check_names(out, scan_groups(make(tmp_path / "fine", "cat/a.jpg", "dog/a.jpg")))


@pytest.mark.parametrize("other", [None, "notes.txt", ".DS_Store", "scan.tiff"])
def test_a_group_without_pictures_does_not_stop_the_others(tmp_path, capsys, other):
    make(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "empty").mkdir()
    if other:
        (tmp_path / "empty" / other).write_bytes(b"x")
    assert [group.name for group in scan_groups(tmp_path)] == ["a", "b"]
    assert "empty" in capsys.readouterr().err
    with pytest.raises(DataError, match="empty"):
        scan_groups(tmp_path / "empty")


@pytest.mark.parametrize("stem", ["a" * 251, "é" * 125, "日" * 83])
def test_two_pictures_of_one_long_stem_get_names_that_fit(tmp_path, stem):
    make(tmp_path, f"a/{stem}.png", f"a/{stem}.jpg", "b/1.png")
    groups = scan_groups(tmp_path)
    names = [item.stem for item in groups[0].items]
    assert len(set(names)) == 2 and [name[-4:] for name in sorted(names)] == [".jpg", ".png"]
    for name in names:
        (tmp_path / f"{name}.png").touch()


VALIDATION = ("validation.set=toy_test", "validation.every=1", "train.epochs=2")


@pytest.mark.parametrize("side", ["images", "gts", "size"])
def test_a_damaged_validation_set_is_named_before_training(train, toy, tmp_path, side):
    shutil.copytree(toy, tmp_path / "d")
    victim = sorted((tmp_path / "d" / ("gts" if side == "size" else side) / "toy_test").rglob("*.*"))[-1]
    if side == "size":
        Image.new("L", (5, 5)).save(victim)
    else:
        victim.write_bytes(victim.read_bytes()[:60])
    with pytest.raises(DataError, match=victim.name):
        train(f"data.root={tmp_path / 'd'}", *VALIDATION)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("how", ["damaged", "gone", "size"])
def test_a_validation_that_fails_later_is_a_note_and_training_goes_on(
    train, toy, tmp_path, monkeypatch, capsys, how
):
    shutil.copytree(toy, tmp_path / "d")
    victim, saved = max((tmp_path / "d/gts/toy_test").rglob("*.png")), []
    whole = victim.read_bytes()

    def broken(*args, plain=validation.score_arrays):
        victim.write_bytes(whole if saved else b"x")
        if not saved and how != "damaged":
            victim.unlink() if how == "gone" else Image.new("L", (5, 5)).save(victim)
        saved.append(read_checkpoint(tmp_path / "runs/r/last.pt")["training"]["step"])
        return plain(*args)

    monkeypatch.setattr(validation, "score_arrays", broken)
    assert train(f"data.root={tmp_path / 'd'}", *VALIDATION) == 0
    assert victim.name in capsys.readouterr().err and saved[0] > 0  # the epoch was saved before
    last, best = (read_checkpoint(tmp_path / f"runs/r/{n}.pt")["training"] for n in ("last", "best"))
    assert last["step"] == 2 * saved[0] and last["best"] == best["best"] > 0
    events = [record["event"] for record in log(tmp_path / "runs/r")]
    assert events.count("validation") == 1 and events[-1] == "done"


@pytest.mark.parametrize("how", ["SIGTERM", "KeyboardInterrupt", "OSError"])
def test_a_write_that_is_cut_off_leaves_the_old_file_alone(tmp_path, how):
    code = f"""
import os, signal
from pathlib import Path
from gconet.errors import run_command
from gconet.files import write_file
def cut(handle):
    if {how!r} == "SIGTERM":
        os.kill(os.getpid(), signal.SIGTERM)
    raise {how if how != "SIGTERM" else "AssertionError"}
os.fsync = cut
run_command(lambda: write_file(Path("a.json"), "new"))
"""
    (tmp_path / "a.json").write_text("old")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == {"SIGTERM": 128 + signal.SIGTERM, "KeyboardInterrupt": 130, "OSError": 1}[how]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


@pytest.mark.parametrize("stale", ["file", "link", "read-only"])
def test_what_a_killed_process_left_is_replaced(tmp_path, stale):
    left = tmp_path / ".a.json.partial"
    if stale == "link":
        (tmp_path / "other").write_text("other")
        left.symlink_to("other")
    else:
        left.write_text("half of a longer text")
        left.chmod(0o444 if stale == "read-only" else 0o644)
    write_file(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new" and not left.is_symlink() and not left.exists()
    assert stale != "link" or (tmp_path / "other").read_text() == "other"
