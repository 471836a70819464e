"""Results have a folder of their own: taken by one run, never mixed, marked until the run is complete."""

import errno
import os
import subprocess
import sys
import time

import pytest

from gconet import files
from gconet.applications.outputs import COMPLETE, MARK, is_unfinished, new_results
from gconet.errors import ConfigError
from tests.conftest import ROOT


def take(output, inputs=None, overwrite=False, write="result"):
    with new_results(output, inputs or {}, (), overwrite=overwrite):
        assert is_unfinished(output)
        if write:
            (output / "a.txt").write_text(write)


def text(folder):
    return (folder / "a.txt").read_text()


def test_a_new_or_empty_folder_is_taken_and_marked_at_the_end(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new/deep", tmp_path / "empty"):
        take(folder)
        assert text(folder) == "result" and not is_unfinished(folder)
        assert (folder / MARK).read_text() == COMPLETE


@pytest.mark.parametrize(("groups", "each"), [(1000, 4), (4000, 1), (1, 4000)])
def test_earlier_results_are_moved_aside_only_when_asked(tmp_path, groups, each):
    """At once, however many there are (kind 25 of issue 38: it took 82 s for 1,000 groups of 4)."""
    out, old = tmp_path / "out", tmp_path / "out.old"
    take(out, write="first")
    for i in range(groups):
        (out / f"maps/{i}").mkdir(parents=True)
        for j in range(each):
            (out / f"maps/{i}/{j}.png").touch()
    with pytest.raises(ConfigError, match="out holds earlier results"):
        take(out)
    begin = time.perf_counter()
    take(out, overwrite=True, write="second")
    assert time.perf_counter() - begin < 2 and len(list((old / "maps").glob("*/*"))) == groups * each
    take(out, overwrite=True, write="third")
    assert text(out) == "third" and text(old) == "second" and not (old / "maps").exists()


@pytest.mark.parametrize("name", ["a.txt", "deep/a.txt", "index.html"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_are_neither_moved_nor_replaced(tmp_path, name, overwrite):
    for folder in ("out", "full.old"):
        (tmp_path / folder / name).parent.mkdir(parents=True)
        (tmp_path / folder / name).write_text("mine")
    take(tmp_path / "full", write="first")
    for folder in ("out", "full"):
        with pytest.raises(ConfigError, match=folder):
            take(tmp_path / folder, overwrite=overwrite)
    assert (tmp_path / "out" / name).read_text() == (tmp_path / "full.old" / name).read_text() == "mine"
    assert text(tmp_path / "full") == "first"


def test_links_are_followed_once_and_lead_to_no_other_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    take(tmp_path / "link", write="first")
    take(tmp_path / "link", overwrite=True)
    assert text(tmp_path / "real.old") == "first" and (tmp_path / "link").is_symlink()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/cats").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="out"):
        take(tmp_path / "out", overwrite=True)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises((ConfigError, OSError)):
        take(tmp_path / "loop")


@pytest.mark.parametrize("where", ["out", "out/in", ".", "out.old/in", "out.old"])
def test_inputs_and_results_stay_apart(tmp_path, where):
    (tmp_path / where).mkdir(parents=True, exist_ok=True)
    with pytest.raises(ConfigError, match="--maps"):
        take(tmp_path / "out", {"--maps": tmp_path / where}, overwrite=True)
    assert not (tmp_path / "out" / MARK).exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_run_that_wrote_nothing_leaves_all_as_it_was(tmp_path, error):
    out = tmp_path / "out"
    take(out, write="first")
    for folder in (out, tmp_path / "new"):
        with pytest.raises(error), new_results(folder, {}, (), overwrite=True):
            raise error
    assert text(out) == "first" and not is_unfinished(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_unfinished_run_does_not_replace_earlier_results(tmp_path):
    out, old = tmp_path / "out", tmp_path / "out.old"
    take(out, write="first")
    for _ in range(2):
        with pytest.raises(OSError), new_results(out, {}, (), overwrite=True):
            (out / "a.txt").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
        assert is_unfinished(out) and text(old) == "first" and not is_unfinished(old)
    with pytest.raises(ConfigError, match="an unfinished run"):
        take(out)
    take(out, overwrite=True, write="second")
    assert text(out) == "second" and text(old) == "first"


RACE = """
import sys, time
from pathlib import Path
from gconet.applications.outputs import new_results
out, name, overwrite = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "overwrite"
mkdir = Path.mkdir  # each has looked into the folder before one takes it
Path.mkdir = lambda *args, **options: (mkdir(*args, **options), time.sleep(0.3))
while not Path(sys.argv[4]).exists():
    pass
with new_results(out, {}, (), overwrite=overwrite):
    for i in range(20):
        (out / f"{i}.txt").write_text(name)
        time.sleep(0.02)
"""


@pytest.mark.parametrize("kind", ["new", "empty", "overwrite"])
def test_of_runs_that_start_at_once_one_gets_the_folder(tmp_path, kind):
    out, go = tmp_path / "out", tmp_path / "go"
    if kind == "empty":
        out.mkdir()
    elif kind == "overwrite":
        take(out, write="first")
    given = [[sys.executable, "-c", RACE, str(out), str(i), kind, str(go)] for i in range(4)]
    runs = [subprocess.Popen(call, cwd=ROOT, stderr=subprocess.PIPE, text=True) for call in given]
    time.sleep(0.5)
    go.touch()
    errors = [run.communicate()[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 1, 1, 1], errors
    assert all("ConfigError" in error for error in errors if error), errors
    assert len({(out / f"{i}.txt").read_text() for i in range(20)}) == 1 and not is_unfinished(out)
    if kind == "overwrite":
        assert text(tmp_path / "out.old") == "first"


def test_a_lock_ends_with_its_process_and_is_no_lock_where_there_are_none(tmp_path, monkeypatch):
    place = repr(str(tmp_path / "x"))
    code = f"import os, pathlib; from gconet.files import hold; hold(pathlib.Path({place}))"
    subprocess.run([sys.executable, "-c", f"{code}; os._exit(9)"], cwd=ROOT, check=False)
    with files.hold(tmp_path / "x"):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert "ConfigError" in done.stderr and "in use" in done.stderr
    monkeypatch.setattr(files, "fcntl", None)  # as on Windows
    with files.hold(tmp_path / "x"), files.hold(tmp_path / "x"):
        pass
    assert os.listdir(tmp_path) == ["x"]  # noqa: PTH208
