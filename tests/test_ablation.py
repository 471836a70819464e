"""Table 1, repeated: the rows differ in their modules alone, and the table says what was measured."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from gconet.config import config_to_dict, load_config
from gconet.errors import DataError
from gconet.models import build_training_model
from tests.conftest import NARROW, ROOT

ROWS = sorted((ROOT / "configs/ablation").glob("*.yaml"))
SCRIPT = runpy.run_path(str(ROOT / "scripts/ablate.py"))
FIGURES = {"max_e": 0.8, "s_measure": 0.7, "max_f": 0.6, "mae": 0.1, "j_half": 0.5}


def test_the_rows_differ_only_in_their_modules():
    plain = config_to_dict(load_config())
    modules = []
    for row in ROWS:
        settings = config_to_dict(load_config(row))
        modules.append("".join("-+"[settings[name].pop("enabled")] for name in ("gam", "gcm", "acm")))
        changed = {**plain, "name": settings["name"]}
        assert settings == {**changed, "gcm": {}, "acm": {}, "gam": settings["gam"]}
        assert settings["gam"] == {k: v for k, v in plain["gam"].items() if k != "enabled"}
    assert modules == ["---", "+--", "-+-", "--+", "++-", "+++"]


def test_shared_parts_start_alike_and_building_draws_nothing_from_the_global_generator():
    given = ["seed=3", NARROW]
    states = [build_training_model(load_config(row, given), classes=5).state_dict() for row in ROWS]
    full = states[-1]
    for state in states[:-1]:
        assert set(state) < set(full) and all(torch.equal(state[name], full[name]) for name in state)
    other = build_training_model(load_config(ROWS[-1], ["seed=4", NARROW]), classes=5).state_dict()
    for name in ("net.decoder.top.0", "net.affinity.query", "gcm.layers.0", "acm.linear"):
        assert not torch.equal(full[f"{name}.weight"], other[f"{name}.weight"])
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build_training_model(load_config(None, [NARROW]), classes=2)
    assert torch.equal(torch.rand(3), expected)


def record(folder, label, *overrides, seed=0, **figures):
    """Write what a run of these settings leaves, and read it."""
    plain = SCRIPT["settings_of"](load_config(None, overrides))
    path = folder / f"ablation-{label}-seed{seed}-{len(plain)}.json"
    path.write_text(json.dumps({"settings": plain, "figures": FIGURES | figures}))
    return SCRIPT["read_record"](path)


def test_a_table_has_a_row_for_each_configuration_and_a_column_for_each_setting_that_differs(tmp_path):
    records = [record(tmp_path, "a-b", seed=1, s_measure=0.75), record(tmp_path, "a-b", mae=float("nan")),
               record(tmp_path, "off", "gam.enabled=false"),
               record(tmp_path, "a-b", "gam.enabled=false", seed=1)]  # fmt: skip
    table = SCRIPT["ablation_table"]("set", records)
    assert table.header == ("", "gam.enabled", "seeds", "max E", "S", "max F", "MAE", "J@.5")
    assert [row[:5] for row in table.rows] == [
        ("a-b", "True", "0 1", "0.800 ± 0.000", "0.725 ± 0.025"),
        ("a-b", "False", "1", "0.800", "0.700"),  # of one name, but never averaged
        ("off", "False", "0", "0.800", "0.700"),
    ]
    assert table.rows[0][6] == "0.100" and len(SCRIPT["ablation_table"]("", records[:1]).header) == 7
    distractors = {"on_object": 0.5, "on_distractors": 0.4, "object_ratio": 1.25}
    [row] = SCRIPT["ablation_table"]("", [record(tmp_path, "a", **distractors)]).rows
    assert row[-3:] == ("0.500", "0.400", "1.250")


@pytest.mark.parametrize("content", ["{", "[]", '{"settings": 1, "figures": {}}'])
def test_a_damaged_record_is_named(tmp_path, content):
    path = tmp_path / "ablation-a-seed0.json"
    path.write_text(content)
    with pytest.raises(DataError, match="ablation-a-seed0.json"):
        SCRIPT["read_record"](path)


def arguments(toy, steps=3, seeds="0,1"):
    return [
        "--sets", "toy_test", "--steps", steps, "--seeds", seeds, "--output", "ablation", f"data.root={toy}",
        "data.train_set=toy", "data.image_size=32", "data.group_size=2", "data.workers=0",
        "encoder.weights=none", "train.precision=fp32", "train.device=cpu", "train.save_minutes=0.001",
    ]  # fmt: skip


def configs(*names):
    return ["--configs", *(str(ROOT / f"configs/ablation/{name}.yaml") for name in names)]


@pytest.mark.parametrize(("changed", "named", "status"), [
    (["--seeds", "a"], "seed", 2), (["--seeds", "0,4294967296"], "seed", 2),
    (["--steps", "0"], "train.epochs", 2), (configs("7-all"), "7-all", 2),
    (["seed=3"], "seed=3", 2), (["data.rot=1"], "data.rot", 2),
    (["--sets", "nothing"], "nothing", 1),
])  # fmt: skip
def test_wrong_arguments_are_named_before_anything_is_trained(run, toy, tmp_path, changed, named, status):
    assert named in run("scripts/ablate.py", *arguments(toy), *changed, cwd=tmp_path, status=status).stderr
    assert not list(tmp_path.iterdir())


def test_rows_are_trained_scored_copied_and_never_mixed(run, toy, tmp_path):
    shutil.copytree(toy, tmp_path / "data")
    shutil.copytree(toy / "gts/toy_test", tmp_path / "data/distractors/toy_test")
    given = [*arguments(tmp_path / "data", steps=1, seeds="0"), *configs("4-acm")]
    output, runs = tmp_path / "ablation/1-steps", tmp_path / "runs"

    def table(*extra, status=0):
        done = run("scripts/ablate.py", *given, *extra, cwd=tmp_path, status=status)
        rows = [line.strip("| ").split(" | ") for line in (output / "toy_test.md").read_text().splitlines()]
        return [row for row in rows if row[0][:1].isdigit()], done.stdout

    [row], printed = table()
    assert (output / "toy_test.md").read_text() in printed and row[:2] == ["4-acm", "0"]
    assert all(0 <= float(cell) <= 1 for cell in row[2:7]) and row[-2] == "-"  # nothing is beside
    [name] = [path.name for path in runs.iterdir()]
    assert name.startswith("ablation-4-acm-seed0-")

    # what another machine scored is taken as it is; with no time at all, only the tables are written
    records = output / "toy_test"
    shutil.copy(records / f"{name}.json", records / f"{name.replace('seed0', 'seed7')}.json")
    shutil.rmtree(runs)
    [row], printed = table("--seeds", "0,7,8", "--minutes", "0")
    assert row[1] == "0 7" and row[2].endswith("± 0.000") and not runs.exists()
    assert "ablation-4-acm-seed8" in printed
    assert "ablation-4-acm-seed0" in table("optimizer.lr=1", "--minutes", "0")[1]  # another run


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_sigterm_to_the_command_stops_the_training_too(toy, tmp_path):
    command = [sys.executable, ROOT / "scripts/ablate.py", *arguments(toy, steps=10000)]
    process = subprocess.Popen(
        list(map(str, command)), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    for _ in range(600):
        logs = list(tmp_path.glob("runs/ablation-6-full-seed0-*/log.jsonl"))
        if process.poll() is not None or (logs and '"step"' in logs[0].read_text()):
            break
        time.sleep(0.1)
    process.terminate()
    output, _ = process.communicate(timeout=60)  # both ends of its pipe: the training's too
    assert process.returncode == 128 + signal.SIGTERM, output
    assert (logs[0].parent / "last.pt").is_file(), output
