"""The commands from outside: what they write, and one clear line for each bad input."""

import csv
import shutil
import subprocess
import sys

import torch
from PIL import Image

import gconet
from gconet.cli import VERBS
from tests.conftest import ROOT


def fails(run, script, *args, status, saying, **options):
    done = run(script, *args, status=status, **options)
    message = done.stderr[done.stderr.index("error: ") :]  # argparse prints its usage before
    assert message.count("\n") == 1 and saying in message, done.stderr


def test_maps_mirror_the_groups_and_the_scores_follow(run, checkpoint, toy, tmp_path):
    images, gts = toy / "images/toy", toy / "gts/toy"
    done = run("test.py", "--checkpoint", checkpoint, "--images", images, "--gts", gts,
               "--output", tmp_path / "maps")  # fmt: skip
    written = {p.relative_to(tmp_path / "maps").with_suffix("") for p in (tmp_path / "maps").rglob("*.png")}
    assert written == {p.relative_to(images).with_suffix("") for p in images.rglob("*.jpg")}
    assert "12 maps of 3 groups" in done.stdout and "MAE" in done.stdout
    with Image.open(next((tmp_path / "maps").rglob("*.png"))) as m:
        assert m.mode == "L" and m.size == (48, 48)


def test_strays_are_named_in_the_file_the_page_and_on_the_terminal(run, checkpoint, tmp_path):
    folder = shutil.copytree(ROOT / "data/demo/images/car", tmp_path / "cars")
    shutil.copy(ROOT / "data/demo/images/bird/03.jpg", folder / "not a car.jpg")
    done = run("test.py", "--images", folder, "--output", tmp_path / "maps")
    assert "check 1 of 6: cars/not a car (likely a stray" in done.stdout
    with (tmp_path / "maps/presence.csv").open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["00", "01", "02", "03", "04", "not a car"]
    assert {row["group"] for row in rows.values()} == {"cars"}
    assert [image for image, row in rows.items() if row["stray"] == "yes"] == ["not a car"]
    assert all(0 < float(row["presence"]) < 1 for row in rows.values())
    assert [image for image, row in rows.items() if "likely a stray" in row["check"]] == ["not a car"]
    page = (tmp_path / "maps/index.html").read_text()
    assert page.count("likely a stray") == page.count("it seems to lack the object") == 1
    assert page.index("not a car") < page.index("cars/00")

    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(folder / "00.jpg", alone)
    run("test.py", "--images", alone, "--output", tmp_path / "one", "--checkpoint", checkpoint)
    assert (tmp_path / "one/presence.csv").read_text().splitlines()[1].startswith("alone,00,,,")
    alone.rename(tmp_path / "presence.csv")
    message = "presence.csv"
    fails(run, "test.py", "--images", tmp_path / "presence.csv", status=2, saying=message, cwd=tmp_path)


def test_the_installed_command_does_what_the_scripts_do(run, checkpoint, toy, tmp_path):
    group = shutil.copytree(next((toy / "images/toy").iterdir()), tmp_path / "bikes")
    done = run("gconet/__main__.py", "maps", "bikes", "--checkpoint", checkpoint, cwd=tmp_path)
    assert "4 maps of 1 group in results/bikes" in done.stdout
    run("test.py", "--checkpoint", checkpoint, "--images", group, "--output", tmp_path / "maps")
    for path in (tmp_path / "maps").rglob("*.png"):
        assert path.read_bytes() == (tmp_path / "results/bikes/bikes" / path.name).read_bytes()
    run("gconet/__main__.py", "cutouts", "--images", group, "--maps", tmp_path / "maps",
        "--output", tmp_path / "cutouts")  # fmt: skip
    written = [path.parent.name for path in (tmp_path / "cutouts").rglob("*.png")]
    assert written == 8 * ["bikes"]  # masks and cut-outs
    for verb in VERBS:
        done = run("gconet/__main__.py", verb, "--help")
        assert done.stdout.startswith(f"usage: gconet {verb} ")
    assert "thumbnails" in run("gconet/__main__.py", status=2).stderr
    assert "thumbnails" in run("gconet/__main__.py", "--help").stdout
    assert gconet.__version__ in run("gconet/__main__.py", "--version").stdout
    fails(run, "gconet/__main__.py", "map", status=2, saying="maps")
    fails(run, "gconet/__main__.py", "cutouts", "a", "--tumbnails", status=2, saying="--thumbnails")


def test_distractors_are_scored_too_and_a_missing_one_stops_before_any_map(run, checkpoint, toy, tmp_path):
    given = ["--checkpoint", checkpoint, "--images", toy / "images/toy", "--output", tmp_path / "maps"]
    others = shutil.copytree(toy / "gts/toy", tmp_path / "others")
    fails(run, "test.py", *given, "--distractors", others, status=2, saying="--gts")
    given += ["--gts", toy / "gts/toy", "--distractors", others]
    missing = min(others.rglob("*.png"))
    missing.rename(tmp_path / "000.png")
    fails(run, "test.py", *given, status=1, saying=f"{missing.parent.name}/000")
    assert not (tmp_path / "maps").exists()
    (tmp_path / "000.png").rename(missing)
    assert f"\n  {missing.parent.name} " in run("test.py", *given).stdout


def test_test_py_refuses_and_overwrites_nothing(run, checkpoint, toy, tmp_path):
    def refused(status, saying, **changes):
        options = {"checkpoint": checkpoint, "images": toy / "images/toy", "output": tmp_path / "maps"}
        arguments = [part for name, value in {**options, **changes}.items() for part in (f"--{name}", value)]
        fails(run, "test.py", *arguments, status=status, saying=saying)
        assert not (tmp_path / "maps").exists()

    full, photos, group = tmp_path / "full", tmp_path / "photos", tmp_path / "photos/cats"
    full.mkdir()
    (full / "thesis.txt").write_text("years of work")
    shutil.copytree(min((toy / "gts/toy").iterdir()), group)  # whose maps would replace them
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pt")
    for status, saying, changes in (
        (2, str(full), {"output": full}), (2, "thesis.txt", {"output": full / "thesis.txt"}),
        (2, "--images", {"images": photos, "output": photos}), (1, str(full), {"images": full}),
        (2, "--images", {"images": group, "output": photos}), (1, "no.pt", {"checkpoint": "no.pt"}),
        (2, "--gts", {"gts": toy / "gts/toy", "output": toy / "gts/toy/new"}), (2, "tpu", {"device": "tpu"}),
        (1, "nowhere", {"images": tmp_path / "nowhere"}), (1, " paper", {"checkpoint": "papre"}),
        (1, "resnet.pt", {"checkpoint": tmp_path / "resnet.pt"}), (2, "int4", {"precision": "int4"}),
        (2, "tf32", {"precision": "tf32", "device": "cpu"}), (2, "--memory", {"memory": "-1"}),
        (2, "--memory", {"memory": "inf"}), (2, "4 images of 32", {"memory": "0.0001"}),
        (2, "--presence", {"presence": "nan", "object": "car"}), (2, "--object", {"presence": "0.5"}),
    ):  # fmt: skip
        refused(status, saying, **changes)
    assert (full / "thesis.txt").read_text() == "years of work"


def test_what_the_bare_commands_need_is_named(run, tmp_path):
    fails(run, "test.py", cwd=tmp_path, status=1, saying="data/demo/images")
    fails(run, "scripts/evaluate.py", cwd=tmp_path, status=1, saying="data/demo/gts")
    fails(run, "scripts/evaluate.py", "--plot", "curves.gif", cwd=tmp_path, status=2, saying="curves.gif")
    (tmp_path / "gts").mkdir()
    for name in ("--json=mask.png", "--plot=gts/mask.png"):  # the second could be an input
        given = [name, "--gts", "gts", "--overwrite"]
        fails(run, "scripts/evaluate.py", *given, cwd=tmp_path, status=2, saying="mask.png")
    for command in (["test.py", ""], ["test.py", "--images="], ["scripts/evaluate.py", "--maps="]):
        fails(run, *command, cwd=tmp_path, status=2, saying="path" if "test.py" in command else "--maps")


def test_an_unreadable_picture_is_left_out(run, checkpoint, toy, tmp_path):
    images, gts = tmp_path / "images", tmp_path / "gts"
    shutil.copytree(toy / "images/toy", images)
    shutil.copytree(toy / "gts/toy", gts)
    bad = sorted(images.rglob("*.jpg"))[5]
    whole = bad.read_bytes()
    bad.write_bytes(whole[:200])
    command = ["test.py", "--checkpoint", checkpoint, "--images", images, "--gts", gts]
    command += ["--output", tmp_path / "m"]
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(bad, alone)
    assert bad.name in run(*command[:3], "--images", alone, "--output", tmp_path / "a", status=1).stderr
    assert not (tmp_path / "a").exists()
    done = run(*command, status=1)
    assert "11 maps of 3 groups" in done.stdout and "MAE" in done.stdout and "open: " in done.stdout
    assert f"skipped: {bad}" in done.stderr
    assert len(list((tmp_path / "m").rglob("*/*.png"))) == 11
    bad.write_bytes(whole)
    assert "12 maps" in run(*command, "--overwrite").stdout


def test_train_py_refuses_and_leaves_no_folder(run, toy, tiny, tmp_path):
    def refused(*args, status, saying):
        fails(run, "train.py", *args, status=status, saying=saying, cwd=tmp_path)
        assert not (tmp_path / "runs").exists()

    base = ("--config", ROOT / "configs/gconet.yaml", *tiny)
    refused(*base, "data.rooot=/d", status=2, saying="data.root,")
    refused(*base, "train.epochs=ten", status=2, saying="train.epochs")
    refused("--config", "none.yaml", status=2, saying="none.yaml")
    refused("--resume", tmp_path / "empty", status=1, saying="empty")
    for setting in ("data.root=nowhere", "encoder.weights=vgg.pth"):
        refused(*base, setting, status=1, saying=setting.partition("=")[2])

    data = tmp_path / "data"
    shutil.copytree(toy, data)
    masks = sorted((data / "gts/toy").iterdir())[0]
    mask = sorted(masks.iterdir())[0]
    Image.new("L", (9, 9)).save(mask)
    # reading all images first finds it before the run exists
    refused(*base, f"data.root={data}", "data.cache=memory", status=1, saying=str(mask))
    mask.unlink()
    refused(*base, f"data.root={data}", status=1, saying=f"{masks.name}/{mask.stem}")
    shutil.rmtree(masks)
    refused(*base, f"data.root={data}", status=1, saying=masks.name)


COMMANDS = [["train.py"], ["test.py"], ["gconet/data/toy.py"]]
COMMANDS += [[str(path.relative_to(ROOT))] for path in sorted((ROOT / "scripts").glob("*.py"))]
COMMANDS += [["gconet/__main__.py", verb] for verb in VERBS]


def test_help_wrong_arguments_and_scoring_need_no_pytorch():
    code = f"""
import contextlib, importlib, io, pathlib, pkgutil, runpy, sys
import gconet.applications, gconet.evaluation
for package in (gconet.applications, gconet.evaluation):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
gts = pathlib.Path("data/demo/gts")
assert gconet.evaluation.score_folders(gts, gts).figures["mae"] == 0 and "torch" not in sys.modules
for script, *verb in {COMMANDS!r}:
    for option, status in (("--help", 0), ("--bogus", 2)):
        sys.argv = [script, *verb, option]
        out, err, what = io.StringIO(), io.StringIO(), (script, verb, option)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as end:
                assert end.code == status, what
        assert "torch" not in sys.modules, what
        text = out.getvalue() + err.getvalue()
        if status == 0:
            assert "usage:" in text and len(text) > 400, what
        else:
            assert text.startswith("error: ") and text.count("\\n") == 1 and "--gts?" not in text, what
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_verbs_do_not_import_each_other_nor_the_work_its_arguments():
    for verb in VERBS:
        text = (ROOT / f"gconet/cli/{verb}.py").read_text(encoding="utf-8")
        assert not any(f"gconet.cli.{other}" in text for other in VERBS), verb
    for file in (ROOT / "gconet/applications").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "argparse" not in text and "gconet.cli" not in text, file
