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

import pytest
import torch

from gconet.ablation import (
    Record,
    ablation_table,
    difference,
    keep_losses,
    plan_jobs,
    read_record,
    settings_of,
)
from gconet.checkpoint import read_checkpoint
from gconet.config import config_to_dict, load_config
from gconet.errors import ConfigError, DataError
from gconet.evaluation.tables import render_csv, render_latex, render_markdown, render_text
from gconet.models import build_training_model
from tests.conftest import ROOT

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
    plain = settings_of(load_config())
    off = {**plain, "gam.enabled": False, "gcm.enabled": False, "acm.enabled": False}
    on = {**off, "gam.enabled": True, "gcm.enabled": True}
    one = Record("1-baseline", 0, off, FIGURES)
    two = [Record("5-gam-gcm", k, on, {**FIGURES, "s_measure": s}) for k, s in ((1, 0.75), (0, 0.7))]
    table = ablation_table("cosal2015", [*two, one], "a note")
    header = ["", "GAM", "GCM", "max E", "S", "max F", "MAE", "J@.5", "d within", "d between",
              "paper max E", "paper S", "paper max F", "paper MAE"]  # fmt: skip
    assert list(table.header) == header
    assert table.rows[1] == (
        "5-gam-gcm", "x", "x",
        "0.800 ± 0.000", "0.725 ± 0.025", "0.600 ± 0.000", "0.100 ± 0.000", "0.500 ± 0.000",
        "0.100 ± 0.000", "0.300 ± 0.000", "0.884", "0.842", "0.837", "0.070",
    )  # fmt: skip
    assert table.rows[0][3:5] == ("0.800", "0.700")
    assert table.notes[:2] == (
        "a note",
        "seeds differ; 1-baseline: 0; 5-gam-gcm: 0, 1 (mean ± half the range)",
    )
    other = ablation_table("PASCAL_coseg", [one, two[1]], "")
    assert other.rows[0][-3:] == ("0.591", "0.764", "0.818") and "paper S, CoCA" in other.header
    assert other.notes[1] == "seeds of every row: 0"
    assert list(csv.reader(render_csv(table).splitlines()))[0] == header
    assert "a note" in render_text(table) and "0.725 ± 0.025" in render_markdown(table) + render_latex(table)


def test_rows_of_ones_own_are_labelled_by_what_differs():
    """Other settings than the paper's modules: columns with their values, and no figures of the paper."""
    plain = settings_of(load_config())
    slow, older = {**plain, "optimizer.lr": 1e-5}, {k: v for k, v in plain.items() if k != "loss.bce"}
    records = [Record("mine", 0, plain, FIGURES), Record("slow", 0, slow, FIGURES)]
    table = ablation_table("cosal2015", [*records, Record("mine", 1, older, FIGURES)], "")
    assert table.header[:3] == ("", "optimizer.lr", "max E") and "paper S" not in table.header
    assert [row[:2] for row in table.rows] == [("mine", "0.0001"), ("slow", "1e-05")]
    # runs of one name with other settings are never averaged
    apart = ablation_table("cosal2015", [*records, Record("mine", 1, slow, FIGURES)], "")
    assert [row[:2] for row in apart.rows] == [("mine", "0.0001"), ("mine", "1e-05"), ("slow", "1e-05")]
    # modules in a combination that is not in the paper; two rows of one name; a copy of a record
    odd = {**plain, "gcm.enabled": False}
    table = ablation_table("cosal2015", [records[0], Record("odd", 0, odd, FIGURES)], "")
    assert table.rows[1][0] == "odd" and table.rows[1][-1] == "" and "paper S" in table.header
    table = ablation_table("x", [*records[:1], Record("mine", 5, slow, FIGURES), records[0]], "")
    assert table.notes[1] == "seeds differ; mine: 0; mine: 5" and "±" not in str(table.rows)
    mixed = {**plain, "train.precision": "bf16"}
    assert "train.precision" in ablation_table("x", [*records, Record("a", 0, mixed, FIGURES)], "").header


def test_a_damaged_record_is_named(tmp_path):
    one = Record("1-baseline", 0, settings_of(load_config()), FIGURES)
    one.write(tmp_path / "set.json")
    assert read_record(tmp_path / "set.json").figures == FIGURES
    whole = json.loads((tmp_path / "set.json").read_text())
    odd = {"figures": {}}, {"figures": None}, {"figures": dict.fromkeys(whole["figures"], "?")}
    odd += {"settings": 1}, {"label": 7}, {"seed": "a"}, {"seed": -1}
    damaged = [*(whole | change for change in odd), [], {}, None]
    for text in ("{", *map(json.dumps, damaged)):
        (tmp_path / "set.json").write_text(text)
        with pytest.raises(DataError, match="set.json does not contain a run's scores; move it away"):
            read_record(tmp_path / "set.json")


def test_the_most_telling_runs_come_first():
    names = [job.name for job in plan_jobs(ROWS[:4], [0, 1], [])]
    assert [name.removeprefix("ablation-")[:1] + name[-1:] for name in names] == [
        "10", "20", "11", "21", "30", "40", "31", "41",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="two files are called 1-baseline"):
        plan_jobs([ROWS[0], ROWS[0]], [0], [])


def test_a_configurations_own_precision_is_kept(tmp_path):
    for name, text in (("f", "train: {precision: fp32}"), ("g", "train: {precision: bf16}"), ("h", "{}")):
        (tmp_path / f"{name}.yaml").write_text(text)
    paths = [tmp_path / f"{name}.yaml" for name in "fgh"]
    jobs = plan_jobs(paths, [0], ["train.device=cpu"])
    assert [job.train.precision for job in jobs[:2]] == ["fp32", "bf16"]
    assert jobs[2].train.precision in ("fp32", "bf16")
    (tmp_path / "g.yaml").write_text("data: {train_set: other}")
    with pytest.raises(ConfigError, match="data.train_set differs between the configurations"):
        plan_jobs(paths, [0], ["train.device=cpu"])


def test_the_log_of_a_killed_run_is_read(tmp_path):
    lines = [
        {"event": "step", "step": i, "saliency": v, "total": v} for i, v in ((0, 1.0), (1, 9.0), (1, 3.0))
    ]
    text = "\n".join(map(json.dumps, lines[:2])) + '\n{"event": "st\n' + json.dumps(lines[2]) + "\n"
    (tmp_path / "log.jsonl").write_text(text)
    keep_losses(tmp_path / "log.jsonl", tmp_path / "losses.csv")
    assert (tmp_path / "losses.csv").read_text().split() == ["step,saliency,total", "2,2,2"]


def test_losses_are_drawn(tmp_path, run, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/losses.csv").write_text("step,saliency,total\n100,2,2\n200,1,1\n")
    draw = ("scripts/tools/draw_losses.py", tmp_path / "a", "--output", tmp_path / "losses.svg")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        assert "pip install 'gconet[plot]'" in run(*draw, status=2).stderr
    pytest.importorskip("matplotlib")
    run(*draw)
    assert "</svg>" in (tmp_path / "losses.svg").read_text()
    assert "exists" in run(*draw, status=2).stderr
    assert "neither" in run(draw[0], tmp_path, "--output", tmp_path / "b.svg", status=1).stderr


def arguments(toy, steps=3):
    return [
        "--sets", "toy_test", "--steps", steps, "--seeds", "0,1", "--output", "ablation", f"data.root={toy}",
        "data.train_set=toy", "data.image_size=32", "data.group_size=2", "data.workers=0",
        "encoder.weights=none", "train.precision=fp32", "train.device=cpu", "train.save_minutes=0.001",
    ]  # fmt: skip


def configs(*names):
    return ["--configs", *(str(ROOT / f"configs/ablation/{name}.yaml") for name in names)]


def test_wrong_arguments_are_named(run, toy, tmp_path):
    def refused(text, *changed, status=2):
        assert text in run("scripts/ablate.py", *changed, cwd=tmp_path, status=status).stderr
        assert not list(tmp_path.iterdir())

    given = arguments(toy)
    refused("seed: expected int, got 'a'", *given, "--seeds", "a")
    refused("train.epochs: 0 is below 1", *given[:2], "--steps", 0)
    refused("no config ", *given, *configs("7-all"))
    refused("seed: ", *given, "--seeds", "0,4294967296")  # before seed 0 is trained
    refused("seed=3: the options of this command", *given, "seed=3")
    refused("precision tf32 needs a CUDA GPU", *given, "train.precision=tf32")
    refused("no data set 'nothing'", "--sets", "nothing", *given[2:], status=1)
    refused("unknown key", *given, "data.rot=1")
    refused("unknown key", "data.rot=1", *given)  # in any order


def test_rows_one_by_one(run, toy, tmp_path):
    shutil.copytree(toy, tmp_path / "data")
    shutil.copytree(toy / "gts/toy_test", tmp_path / "data/distractors/toy_test")
    given = [*arguments(tmp_path / "data", steps=1), "--seeds", "0"]
    output, runs = tmp_path / "ablation/1-steps", tmp_path / "runs"

    def table(*names, extra=()):
        printed = run("scripts/ablate.py", *given, *configs(*names), *extra, cwd=tmp_path).stdout
        return list(csv.reader((output / "ablation-toy_test.csv").open())), printed

    (header, measured), printed = table("4-acm")
    assert header[:3] == ["", "max E", "S"] and header[-3:] == ["on", "off", "on/off"]
    assert measured[0] == "4-acm" and all(0 <= float(cell) <= 1 for cell in measured[1:8])
    assert measured[-3] != "-" and measured[-2] == "-"  # the object's own mask: nothing is left beside it
    assert [path.name for path in runs.iterdir()] == ["ablation-4-acm-seed0"]
    assert "1 step per run, fp32 on cpu\nseeds of every row: 0\n" in printed
    losses = list(csv.reader((output / "ablation-4-acm-seed0/losses.csv").open()))
    assert losses[0] == ["step", "saliency", "classification", "total"] and losses[1][0] == "1"

    # what another machine made is taken as it is, and its weights are not needed
    record = output / "ablation-4-acm-seed0/toy_test.json"
    other = json.loads(record.read_text())
    shutil.copytree(record.parent, output / "ablation-4-acm-seed7")
    (output / "ablation-4-acm-seed7/toy_test.json").write_text(json.dumps(other | {"seed": 7}))
    shutil.rmtree(runs)
    (_, both), printed = table("4-acm", extra=["--seeds", "0,7"])
    assert both[1].endswith("± 0.000") and "seeds of every row: 0, 7" in printed and not runs.exists()

    # no time at all: nothing is trained, and the tables are written
    (output / "ablation-toy_test.csv").unlink()
    (_, again), printed = table("4-acm", "1-baseline", extra=["--minutes", "0"])
    assert again == both and not runs.exists()
    assert "0 minutes have passed; not done: ablation-1-baseline-seed0. Run this again to resume." in printed

    # a row asked for must have the settings that its record has, which is known before anything is trained
    refusal = run(
        "scripts/ablate.py", *given, *configs("1-baseline", "4-acm"), "train.precision=bf16",
        cwd=tmp_path, status=2,
    ).stderr  # fmt: skip
    assert "toy_test.json is from a run with train.precision=fp32, not bf16; move it away" in refusal
    assert not runs.exists()


def test_a_larger_budget_leaves_the_tables_of_a_smaller_one(run, toy, tmp_path):
    given = [*arguments(toy, steps=1), "--seeds", "0", *configs("1-baseline")]
    run("scripts/ablate.py", *given, cwd=tmp_path)
    tables = sorted((tmp_path / "ablation/1-steps").glob("*.*"))
    before = [table.read_text() for table in tables]
    run("scripts/ablate.py", *given, "--steps", 2, cwd=tmp_path)
    run("scripts/ablate.py", *given, cwd=tmp_path)
    assert tables and [table.read_text() for table in tables] == before
    # its scores are gone: they cannot be made again from a run that has been trained further
    record = tmp_path / "ablation/1-steps/ablation-1-baseline-seed0/toy_test.json"
    record.unlink()
    refusal = run("scripts/ablate.py", *given, cwd=tmp_path, status=2).stderr
    assert "runs/ablation-1-baseline-seed0 has done 2 steps, more than 1; move it away" in refusal
    # a run of that name with other settings
    refusal = run("scripts/ablate.py", *given, "--steps", 3, "optimizer.lr=1", cwd=tmp_path, status=2).stderr
    assert "runs/ablation-1-baseline-seed0 is from a run with optimizer.lr=0.0001, not 1.0" in refusal
    # a damaged record is found before anything is trained, also one that was not asked for
    record.write_text("{")
    shutil.rmtree(tmp_path / "runs")
    refusal = run("scripts/ablate.py", *given, *configs("2-gam"), cwd=tmp_path, status=1).stderr
    assert "toy_test.json does not contain a run's scores" in refusal and not (tmp_path / "runs").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_sigterm_stops_the_training_too(toy, tmp_path):
    """SIGTERM to the command alone, as a scheduler or `kill` sends it."""
    process = start(tmp_path, toy, steps=10000)
    log = tmp_path / "runs/ablation-6-full-seed0/log.jsonl"
    for _ in range(600):
        if process.poll() is not None or (log.is_file() and '"step"' in log.read_text()):
            break
        time.sleep(0.1)
    process.terminate()
    output, _ = process.communicate(timeout=60)  # both ends of its pipe: the training's too
    assert process.returncode in (-signal.SIGTERM, 130, 143), output
    assert (log.parent / "last.pt").is_file(), output


@pytest.mark.slow
def test_the_time_given_ends_a_run_that_the_same_command_resumes(run, toy, tmp_path):
    given = [*arguments(toy, steps=10000), *configs("1-baseline"), "--seeds", "0"]
    printed = run("scripts/ablate.py", *given, "--minutes", 0.2, cwd=tmp_path).stdout
    assert "not done: ablation-1-baseline-seed0. Run this again to resume." in printed
    last = tmp_path / "runs/ablation-1-baseline-seed0/last.pt"
    step = read_checkpoint(last)["training"]["step"]
    run("scripts/ablate.py", *given, "--minutes", 0.2, cwd=tmp_path)
    assert 0 < step < read_checkpoint(last)["training"]["step"] < 10000


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
            output, _ = process.communicate(timeout=dice.uniform(5, 25) if kills < 8 else 1200)
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
    assert [row[0][:1] for row in table] == ["", *"123456"] and all("±" in cell for cell in table[1][4:10])
    saved = read_checkpoint(tmp_path / "cut/runs/ablation-6-full-seed1/last.pt")
    assert saved["training"]["step"] == 3
