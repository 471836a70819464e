"""What surrounds a command: the home folder, closed streams, a cluster's variables, other programs' files."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from gconet.config import load_config
from gconet.data.groups import list_groups, list_others
from gconet.device import launched_ranks
from gconet.errors import expand_home
from gconet.evaluation import format_table, score_folders
from scripts.check_data import check_set
from tests.conftest import ROOT

RANKS = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


def test_the_home_folder_is_found_behind_an_equals_sign(run, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    home = str(tmp_path)
    for given in ("~/maps", "--output=~/maps", "data.root=~", "ours=~/a", "--maps=ours=~/a"):
        assert expand_home(given) == given.replace("~", home)
    for given in ("~user", "a~/b", "--x=y~", ""):
        assert expand_home(given) == given
    config = load_config(None, ["data.root=~/data", "encoder.weights=~/vgg.pth", "data.episodes=~/e.npz"])
    assert (config.data.root, config.encoder.weights) == (f"{home}/data", f"{home}/vgg.pth")
    shutil.copytree(toy / "gts/toy", tmp_path / "maps")
    run("scripts/evaluate.py", "--maps=~/maps", "--gts=~/maps", "--json=~/a.json", cwd=tmp_path)
    assert json.loads((tmp_path / "a.json").read_text())["mae"] == 0 and not (tmp_path / "~").exists()


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize(("how", "status"), [("2>&-", 0), (">&- 2>&-", 0), ("| true", 141)])
@pytest.mark.parametrize("verb", ["score", "cutouts"])
def test_results_are_written_whatever_becomes_of_the_streams(toy, tmp_path, verb, how, status):
    images, masks, out = toy / "images/toy", toy / "gts/toy", tmp_path / "out"
    given = f"--gts {masks} --json {out}" if verb == "score" else f"--images {images} --output {out}"
    script = f"{sys.executable} -m gconet {verb} --maps {masks} {given} {how}; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == status and "Traceback" not in done.stderr, done
    if verb == "score":
        assert json.loads(out.read_text())["mae"] == 0
    else:
        assert (out / "index.html").is_file()


def test_only_torchrun_starts_ranks(monkeypatch):
    for name, value in RANKS.items():  # as clusters leave them behind
        monkeypatch.setenv(name, value)
    assert launched_ranks() == (0, 1, 0)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launched_ranks() == (0, 2, 0)


def test_part_of_a_benchmark_is_not_taken_for_all_of_it(toy, tmp_path):
    for name, known in (("CoCA", 1295), ("cosal2015", 2015), ("mine", None)):
        shutil.copytree(toy / "gts/toy", tmp_path / name)
        scores = score_folders(tmp_path / name, tmp_path / name)
        assert scores.to_dict()["expected_images"] == known
        for markdown in (False, True):
            assert (f"12 of {known}" in format_table(scores, markdown=markdown)) == (known is not None)


@pytest.mark.parametrize("name", ["__MACOSX", "@eaDir", ".ipynb_checkpoints", "lost+found"])
def test_folders_of_other_programs_are_no_groups(toy, tmp_path, name):
    shutil.copytree(toy / "images/toy", tmp_path / "images")
    (tmp_path / "images" / name).mkdir()
    (tmp_path / "images" / name / "._a.jpg").write_bytes(b"x")
    assert list(list_groups(tmp_path / "images")) == sorted(p.name for p in (toy / "images/toy").iterdir())
    assert list_others(tmp_path / "images") == []
    if not name.startswith("."):
        for side in ("images", "gts"):
            shutil.copytree(toy / side / "toy", tmp_path / "data" / side / "toy")
            (tmp_path / "data" / side / "toy" / name).mkdir()
        assert check_set(tmp_path / "data", "toy")[1] == []
