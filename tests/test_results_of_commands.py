"""What the commands leave in a folder of results: whatever was there before, and however they end."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gconet.applications.outputs import is_unfinished
from tests.conftest import ROOT


@pytest.fixture
def photos(tmp_path, toy):
    shutil.copytree(min((toy / "images/toy").iterdir()), tmp_path / "cats")
    return tmp_path


def command(checkpoint, *args):
    return [*map(str, ("gconet/__main__.py", *args, "--checkpoint", checkpoint, "--device", "cpu"))]


@pytest.mark.parametrize("verb", ["maps", "cutouts", "attention"])
def test_a_picture_taken_out_keeps_no_result_and_options_left_out_leave_none(run, checkpoint, photos, verb):
    more = ["--thumbnails", "--background", "blur"] if verb == "cutouts" else []
    words = ["figures", "attention", "--images"] if verb == "attention" else [verb]
    call = command(checkpoint, *words, photos / "cats", "--output", photos / "out")
    run(*call, *more)
    taken = min((photos / "cats").iterdir())
    taken.unlink()
    assert "--overwrite" in run(*call, status=2).stderr
    run(*call, "--overwrite")
    now = {path.relative_to(photos / "out").as_posix() for path in (photos / "out").rglob("*.*")}
    assert not any(taken.stem in Path(name).stem.split("-") for name in now if ".previews" not in name)
    assert not any(name.startswith(("crops/", "backgrounds/")) for name in now)
    assert list((photos / "out.old").rglob(f"{taken.stem}.*g"))


def test_wrong_arguments_and_missing_weights_leave_earlier_results(run, checkpoint, photos):
    call = command(checkpoint, "maps", photos / "cats", "--output", photos / "out")
    run(*call)
    before = {path: path.stat().st_mtime_ns for path in (photos / "out").rglob("*")}
    for more, status in ((["--checkpoint", "none.pt"], 1), (["--device", "tpu"], 2)):
        run(*call, *more, "--overwrite", status=status)
        assert {path: path.stat().st_mtime_ns for path in (photos / "out").rglob("*")} == before
    assert not (photos / "out.old").exists()


@pytest.mark.parametrize("verb", ["cutouts", "maps", "attention"])
@pytest.mark.parametrize("full", ["002", "index.html", "presence.csv"])
def test_a_full_disk_names_the_file_and_locks_no_folder(run, checkpoint, photos, verb, full, monkeypatch):
    words = ["figures", "attention", "--images"] if verb == "attention" else [verb]
    call = command(checkpoint, *words, photos / "cats", "--output", photos / "out")
    run(*call)
    whole = {path.name: path.read_bytes() for path in (photos / "out").rglob("*.png")}

    def check(name):
        if full in name:
            raise OSError(errno.ENOSPC, "No space left on device")  # as the system does: without a name

    write, sync = Path.write_bytes, os.fsync
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", lambda path, content: check(path.name) or write(path, content))
        patch.setattr(os, "fsync", lambda fd: check(str(Path(f"/proc/self/fd/{fd}").readlink())) or sync(fd))
        written = (verb, full) == ("attention", "presence.csv")  # it has none
        done = run(*call, "--overwrite", status=0 if written else 1)
        for thread in threading.enumerate():  # readers; a process waits for them before it exits
            if thread.name.startswith("ThreadPoolExecutor"):
                thread.join(5)
    if not written:
        assert full in done.stderr and "No space left" in done.stderr and "Traceback" not in done.stderr
        assert is_unfinished(photos / "out") and not is_unfinished(photos / "out.old")
        assert full == "002" or not list((photos / "out").rglob(f"*{full}*"))  # no empty file
    assert {path.name: path.read_bytes() for path in (photos / "out.old").rglob("*.png")} == whole
    run(*call, "--overwrite")
    assert (photos / "out/index.html").stat().st_size > 1000 and not is_unfinished(photos / "out")


@pytest.mark.parametrize("name", ["red\x1b[31m", "two\nlines", "left\u202eright"])
def test_no_line_that_is_printed_holds_a_names_control_codes(run, checkpoint, toy, tmp_path, name):
    root = tmp_path / name
    for side in ("images", "gts"):
        shutil.copytree(min((toy / side / "toy").iterdir()), root / "data" / side / name / f"a{name}")
    (root / f"data/images/{name}/a{name}/{name}.txt").touch()  # named in a note
    images, gts = (root / "data" / side / name for side in ("images", "gts"))
    Image.new("L", (48, 48)).save(next(gts.rglob("*.png")))
    how = ["--images", images, "--maps", gts]
    printed = [
        run(*command(checkpoint, "maps", images, "--gts", gts, "--output", root / "m")),
        run("scripts/cosegment.py", *how, "--gts", gts, "--output", root / "c"),
        run("scripts/thumbnails.py", *how, "--output", root / "t"),
        run("scripts/evaluate.py", "--maps", root / "m", "--gts", gts, "--groups"),
        run("scripts/evaluate.py", "--maps", root / "none", "--gts", gts, status=1),
    ]
    next(gts.rglob("*.png")).write_bytes(b"x")
    printed.append(run("scripts/check_data.py", "--root", root / "data", status=1))
    shown = ascii(name)[1:-1]
    for out, err in printed:
        assert shown in out + err
        assert all(character.isprintable() for line in (out + err).split("\n") for character in line)
        assert not any(line.startswith(("lines", "[31m")) for line in (out + err).split("\n"))


OTHER_SIGNALS = [pytest.param(other, marks=pytest.mark.slow) for other in (signal.SIGKILL, signal.SIGHUP)]


@pytest.mark.parametrize("signum", [signal.SIGTERM, *OTHER_SIGNALS])
def test_an_interrupted_run_is_marked_and_those_who_read_its_maps_say_so(
    run, wide_checkpoint, photos, signum
):
    """The first group's first map is there when the signal comes."""
    cats, out = photos / "in/cats", photos / "out"
    for folder, copies in ((cats, 1), (photos / "in/dogs", 10)):
        folder.mkdir(parents=True)
        for path in [*(photos / "cats").iterdir()] * copies:
            shutil.copy(path, folder / f"{len(list(folder.iterdir()))}.jpg")
    call = command(wide_checkpoint, "maps", photos / "in", "--output", out)
    process = subprocess.Popen([sys.executable, *call], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not any(b"IEND" in m.read_bytes() for m in out.glob("cats/*.png")):
        time.sleep(0.01)
    process.send_signal(signum)
    process.wait()
    assert process.returncode == (128 + signum if signum == signal.SIGTERM else -signum)
    assert is_unfinished(out) and is_unfinished(out / "cats")
    for image in cats.iterdir():
        m = out / f"cats/{image.stem}.png"
        if not m.exists() or b"IEND" not in m.read_bytes():  # not written, or not to its end
            image.unlink()
            m.unlink(missing_ok=True)
    shutil.rmtree(photos / "in/dogs")
    shutil.rmtree(out / "dogs", ignore_errors=True)
    masks = shutil.copytree(out / "cats", photos / "gts/cats")
    for path in masks.iterdir():
        Image.fromarray(np.uint8(255 * np.eye(48))).save(path)
    how = ["--images", photos / "in", "--maps", out]
    for script, *args in (
        ["scripts/evaluate.py", "--maps", out, "--gts", photos / "gts"],
        ["scripts/cosegment.py", *how, "--output", photos / "a"],
        ["scripts/thumbnails.py", *how, "--output", photos / "b"],
    ):
        assert f"note: {out}" in run(script, *args).stderr
