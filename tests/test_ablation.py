"""Table 1, repeated: the rows differ in their modules alone, and the table says what was measured."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from gconet.ablation import difference, settings_of
from gconet.checkpoint import read_checkpoint
from gconet.config import config_to_dict, load_config
from gconet.errors import DataError
from gconet.evaluation.ablation import RunScores, ablation_table, read_scores
from gconet.evaluation.tables import render_csv, render_latex, render_markdown, render_text
from gconet.models import build_training_model
from tests.conftest import ROOT
from tests.test_scripts_data import load_script

ROWS = sorted((ROOT / "configs/ablation").glob("*.yaml"))
FIGURES = {
    "max_e": 0.8, "s_measure": 0.7, "max_f": 0.6, "mae": 0.1, "j_half": 0.5, "within": 0.1, "between": 0.3,
}  # fmt: skip


def test_the_rows_differ_in_their_modules_alone():
    plain = config_to_dict(load_config())
    modules = []
    for row in ROWS:
        settings = config_to_dict(load_config(row))
        modules.append(tuple(settings[name].pop("enabled") for name in ("gam", "gcm", "acm")))
        rest = {**settings, "name": plain["name"]}
        assert rest == {**plain, **{name: settings[name] for name in ("gam", "gcm", "acm")}}
        assert settings["gam"] == {k: v for k, v in plain["gam"].items() if k != "enabled"}
    off, on = False, True
    assert modules == [
        (off, off, off),
        (on, off, off),
        (off, on, off),
        (off, off, on),
        (on, on, off),
        (on, on, on),
    ]


def test_records_of_earlier_versions_had_the_defaults_of_later_settings():
    ours = settings_of(load_config())
    older = {k: v for k, v in ours.items() if k not in ("data.distractors", "loss.bce", "loss.outputs")}
    assert difference(older, ours) is None and difference({**ours, "train.graph": False}, ours) is None
    changed = settings_of(load_config(None, ["data.distractors=0.5"]))
    assert difference(older, changed) == "data.distractors=0.0, not 0.5"


def test_shared_parts_start_alike_whatever_is_off():
    states = [build_training_model(load_config(row, ["seed=3"]), classes=5).state_dict() for row in ROWS]
    full = states[-1]
    for state in states[:-1]:
        assert set(state) < set(full) and all(torch.equal(state[name], full[name]) for name in state)
    other = build_training_model(load_config(ROWS[-1], ["seed=4"]), classes=5).state_dict()
    names = (
        "net.decoder.top.0.weight",
        "net.affinity.query.weight",
        "gcm.layers.0.weight",
        "acm.linear.weight",
    )
    assert not any(torch.equal(full[name], other[name]) for name in names)


def test_building_draws_nothing_from_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build_training_model(load_config(), classes=2)
    assert torch.equal(torch.rand(3), expected)


def test_the_table_by_hand(tmp_path):
    off = {"gam.enabled": False, "gcm.enabled": False, "acm.enabled": False, "optimizer.betas": [0.9, 0.99]}
    on = {**off, "gam.enabled": True, "gcm.enabled": True}
    one = RunScores(1, 0, FIGURES, off, "0")
    two = [RunScores(5, k, {**FIGURES, "s_measure": s}, on, "0") for k, s in ((1, 0.75), (0, 0.7))]
    table = ablation_table("cosal2015", [*two, one], ["a note"])
    header = ["", "GAM", "GCM", "ACM", "max E", "S", "max F", "MAE", "J@.5", "d within", "d between",
              "paper max E", "paper S", "paper max F", "paper MAE"]  # fmt: skip
    assert list(table.header) == header
    assert table.rows[1] == (
        "5", "x", "x", "",
        "0.800 ± 0.000", "0.725 ± 0.025", "0.600 ± 0.000", "0.100 ± 0.000", "0.500 ± 0.000",
        "0.100 ± 0.000", "0.300 ± 0.000", "0.884", "0.842", "0.837", "0.070",
    )  # fmt: skip
    assert table.rows[0][4:6] == ("0.800", "0.700")
    assert table.notes[:2] == ("a note", "seeds differ; row 1: 0; row 5: 0, 1 (mean ± half the range)")
    other = ablation_table("PASCAL_coseg", [one, two[1]], [])
    assert other.rows[0][-3:] == ("0.591", "0.764", "0.818") and "paper S, CoCA" in other.header
    assert other.notes[0] == "seeds of every row: 0"
    assert list(csv.reader(render_csv(table).splitlines()))[0] == header
    assert "a note" in render_text(table) and "0.725 ± 0.025" in render_markdown(table) + render_latex(table)
    one.write(tmp_path / "scores.json")
    assert read_scores(tmp_path / "scores.json") == one
    whole = json.loads((tmp_path / "scores.json").read_text())
    odd = {"figures": {}}, {"figures": None}, {"figures": dict.fromkeys(whole["figures"], "?")}
    odd += {"settings": 1}, {"row": 7}, {"row": "1"}, {"seed": "a"}, {"seed": -1}
    damaged = [*(whole | change for change in odd), [], {}, None]
    for text in ("{", *map(json.dumps, damaged)):
        (tmp_path / "scores.json").write_text(text)
        with pytest.raises(DataError, match="scores.json holds no scores of a run; move it away"):
            read_scores(tmp_path / "scores.json")


def test_a_set_with_distractors_has_their_columns(toy, tmp_path, monkeypatch):
    ablate = load_script("ablate")
    root = shutil.copytree(toy, tmp_path / "data")
    plan = ablate.Plan(ROOT / "configs/ablation", ["data.train_set=toy", f"data.root={root}"], steps=1)
    job = plan.job(1, 0)
    monkeypatch.setattr(ablate, "run_python", lambda *_: None)  # its results are made here
    monkeypatch.setattr(ablate, "digest", lambda _: "0")
    for name in ("toy", "toy_test"):
        folder = ablate.record_of(job, tmp_path, name).parent
        shutil.copytree(root / "gts" / name, folder / "maps")
        (folder / "consensus").mkdir()
        (folder / "consensus/distances.csv").write_text("group,within,between\na,0.1,0.3\n")
    shutil.copytree(root / "gts/toy", root / "distractors/toy")
    for name in ("toy", "toy_test"):
        ablate.measure_row(job, tmp_path, name)
    with_them, without = (read_scores(ablate.record_of(job, tmp_path, name)) for name in ("toy", "toy_test"))
    assert with_them.figures["on_object"] == 1 and "on_object" not in without.figures
    table = ablation_table(
        "toy", [replace(with_them, figures=with_them.figures | {"on_distractors": 0.25})], []
    )
    start = table.header.index("on")
    assert table.header[start : start + 3] == ("on", "off", "on/off")
    assert table.rows[0][start : start + 2] == ("1.000", "0.250")
    assert "on" not in ablation_table("toy", [with_them, without], []).header


def arguments(toy, steps=3):
    return [
        "--sets", "toy_test", "--steps", steps, "--seeds", "0,1", "--output", "ablation", f"data.root={toy}",
        "data.train_set=toy", "data.image_size=32", "data.group_size=2", "data.workers=0",
        "encoder.weights=none", "train.precision=fp32", "train.device=cpu", "train.save_minutes=0.001",
    ]  # fmt: skip


def test_wrong_arguments_are_named(run, toy, tmp_path):
    def refused(text, *changed, status=2):
        assert text in run("scripts/ablate.py", *changed, cwd=tmp_path, status=status).stderr
        assert not list(tmp_path.iterdir())

    given = arguments(toy)
    refused("give whole numbers with commas", *given, "--seeds", "a")
    refused("give at least 1", *given[:2], "--steps", 0)
    refused("there is no row 7; choose from 1,2,3,4,5,6", *given, "--rows", "1,7")
    refused("seed: ", *given, "--seeds", "0,4294967296")  # before seed 0 is trained
    refused("seed=3: that is what the rows", *given, "seed=3")
    refused("gam.enabled=True: row 1 is defined by its modules", *given, "gam={kernel_size: 3}")
    refused("precision tf32 needs a CUDA GPU", *given, "train.precision=tf32")
    refused("no data set 'nothing'", "--sets", "nothing", *given[2:], status=1)
    refused("unknown key", *given, "data.rot=1")
    refused("unknown key", "data.rot=1", *given)  # in any order


def test_rows_one_by_one(run, toy, tmp_path):
    given = [*arguments(toy, steps=1), "--seeds", "0", "--rows", "4"]
    output, runs = tmp_path / "ablation/1-steps", tmp_path / "runs"

    def table(*changed):
        printed = run("scripts/ablate.py", *given, *changed, cwd=tmp_path).stdout
        return list(csv.reader((output / "ablation-toy_test.csv").open()))[1:], printed

    (measured,), printed = table()
    assert measured[:4] == ["4", "", "", "x"] and all(0 <= float(cell) <= 1 for cell in measured[4:11])
    assert [path.name for path in runs.iterdir()] == ["ablation-4-acm-seed0"]
    assert "1 steps a run, fp32 on cpu\nseeds of every row: 0\n" in printed and "not in" not in printed

    scores = read_scores(output / "ablation-4-acm-seed0/toy_test/scores.json")

    def pretend(row, seed, **changed):
        """As if another call had trained this row: with `changed` settings."""
        off = {f"{name}.enabled": False for name in ("gam", "gcm", "acm")}
        name = f"ablation-{row}-seed{seed}"
        settings = {**scores.settings, **off, "name": name, "seed": seed, **changed}
        (output / name / "toy_test").mkdir(parents=True)
        shutil.copytree(runs / "ablation-4-acm-seed0", runs / name)
        like = replace(scores, row=int(row[0]), seed=seed, settings=settings)
        like.write(output / name / "toy_test/scores.json")

    pretend("1-baseline", 0)
    pretend("1-baseline", 7)
    pretend("1-baseline", 8, **{"optimizer.lr": 1.0})
    pretend("1-baseline", 9, **{"train.precision": "bf16"})
    pretend("2-gam", 0)  # but its GAM was off
    pretend("3-gcm", 0, **{"gcm.enabled": True})
    pretend("3-gcm", 1, **{"gcm.enabled": True})
    (runs / "ablation-3-gcm-seed0/last.pt").write_bytes(b"damaged")
    other = torch.load(runs / "ablation-3-gcm-seed1/last.pt", weights_only=True)
    other["config"] |= {
        "name": "ablation-3-gcm-seed1",
        "seed": 1,
        "acm": {**other["config"]["acm"], "enabled": False},
    }
    other["config"]["gcm"]["enabled"] = True
    torch.save(other, runs / "ablation-3-gcm-seed1/last.pt")
    rows, printed = table()
    assert [row[0] for row in rows] == ["1", "4"] and rows[1] == measured and rows[0][4].endswith("± 0.000")
    assert "row 1: 0, 7; row 4: 0" in printed
    left_out = [line.partition(": it is damaged")[0] for line in printed.splitlines() if "not in the" in line]
    assert left_out == [
        "not in the table: ablation-1-baseline-seed8 was trained with optimizer.lr=1.0, not 0.0001",
        "not in the table: ablation-1-baseline-seed9 was trained with train.precision=bf16, not fp32",
        "not in the table: ablation-2-gam-seed0 was trained with gam.enabled=False, not True",
        "not in the table: runs/ablation-3-gcm-seed0/last.pt: cannot be read as a checkpoint",
        "not in the table: runs/ablation-3-gcm-seed1/last.pt is no longer what was scored",
    ]
    # a row asked for must have these settings, which is known before anything is trained
    shutil.rmtree(runs / "ablation-1-baseline-seed0")
    again = [*given, "--rows", "1,4", "train.precision=bf16"]
    refusal = run("scripts/ablate.py", *again, cwd=tmp_path, status=2).stderr
    assert "ablation-4-acm-seed0 was trained with train.precision=fp32, not bf16; move it away" in refusal
    assert not (runs / "ablation-1-baseline-seed0").exists()


def test_a_larger_budget_leaves_the_tables_of_a_smaller_one(run, toy, tmp_path):
    given = [*arguments(toy, steps=1), "--seeds", "0", "--rows", "1"]
    run("scripts/ablate.py", *given, cwd=tmp_path)
    tables = sorted((tmp_path / "ablation/1-steps").glob("*.*"))
    before = [table.read_text() for table in tables]
    run("scripts/ablate.py", *given, "--steps", 2, cwd=tmp_path)
    again = run("scripts/ablate.py", *given, cwd=tmp_path).stdout
    assert "not in the table" not in again and [table.read_text() for table in tables] == before
    # its scores are gone: they cannot be made again from a run that has gone on
    record = tmp_path / "ablation/1-steps/ablation-1-baseline-seed0/toy_test/scores.json"
    scores = record.read_text()
    record.unlink()
    refusal = run("scripts/ablate.py", *given, cwd=tmp_path, status=2).stderr
    assert "runs/ablation-1-baseline-seed0 has done 2 steps, more than 1; move it away" in refusal
    record.write_text(scores)
    shutil.rmtree(tmp_path / "runs")  # to save space
    assert "not in the table" not in run("scripts/ablate.py", *given, cwd=tmp_path).stdout
    # a damaged record is found before anything is trained, also one that was not asked for
    record.write_text("{")
    refusal = run("scripts/ablate.py", *given, "--rows", "2", cwd=tmp_path, status=1).stderr
    assert "scores.json holds no scores of a run" in refusal and not (tmp_path / "runs").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_sigterm_stops_the_training_too(toy, tmp_path):
    """SIGTERM to the command alone, as a scheduler or `kill` sends it."""
    process = start(tmp_path, toy, steps=10000)
    log = tmp_path / "runs/ablation-1-baseline-seed0/log.jsonl"
    for _ in range(600):
        if process.poll() is not None or (log.is_file() and '"step"' in log.read_text()):
            break
        time.sleep(0.1)
    process.terminate()
    output, _ = process.communicate(timeout=60)  # both ends of its pipe: the training's too
    assert process.returncode in (-signal.SIGTERM, 130, 143), output
    assert (log.parent / "last.pt").is_file(), output


def start(cwd, toy, **how):
    command = [sys.executable, ROOT / "scripts/ablate.py", *arguments(toy, **how)]
    return subprocess.Popen(
        list(map(str, command)), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


@pytest.mark.slow
def test_killed_at_any_point_it_ends_in_the_same_table(toy, tmp_path):
    """Two seeds of six rows on toy data, killed up to eight times after random times."""
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = start(tmp_path / "whole", toy)
    output, _ = whole.communicate(timeout=1200)
    assert whole.returncode == 0, output
    dice, kills = random.Random(0), 0
    while True:
        process = start(tmp_path / "cut", toy)
        try:
            output, _ = process.communicate(timeout=dice.uniform(10, 60) if kills < 8 else 1200)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, dice.choice([signal.SIGKILL, signal.SIGTERM]))
            process.communicate()
            kills += 1
            time.sleep(0.5)
            continue
        assert process.returncode == 0, output
        break
    print(f"{kills} kills")
    assert kills >= 2
    for suffix in ("txt", "md", "csv", "tex"):
        ours, theirs = (
            tmp_path / n / f"ablation/3-steps/ablation-toy_test.{suffix}" for n in ("cut", "whole")
        )
        assert ours.read_bytes() == theirs.read_bytes()
    table = list(csv.reader((tmp_path / "cut/ablation/3-steps/ablation-toy_test.csv").open()))
    assert [row[0] for row in table] == ["", *"123456"] and all("±" in cell for cell in table[1][4:10])
    saved = read_checkpoint(tmp_path / "cut/runs/ablation-6-full-seed1/last.pt")
    assert saved["training"]["step"] == 3
