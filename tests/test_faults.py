"""A harness of faults: whatever befalls training, its run can be resumed and says what happened."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gconet.checkpoint import read_checkpoint
from tests.conftest import ROOT, same, weights

pytestmark = pytest.mark.slow


def records(folder):
    lines = (folder / "log.jsonl").read_text().splitlines() if (folder / "log.jsonl").exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def start(cwd, *args):
    """train.py as a process, in a process group of its own, which hears Ctrl-C wherever the tests run."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *args],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & turns it off
    )  # fmt: skip


def steps(folder):
    return sum(record["event"] == "step" for record in records(folder))


def wait_for_steps(process, folder, count):
    for _ in range(1200):
        if steps(folder) >= count or process.poll() is not None:
            return
        time.sleep(0.05)


def test_a_killed_run_on_two_sets_in_float16_resumes_to_the_same_weights(tmp_path, tiny):
    settings = [*tiny, "data.train_set=[toy,toy_test]", "data.shares=[0.7,0.3]", "data.absent=0.2"]
    settings += ["train.precision=fp16", "train.epochs=4", "train.save_minutes=0.02", "data.workers=1"]
    assert start(tmp_path, "name=whole", *settings).wait(300) == 0
    process = start(tmp_path, "name=cut", *settings)
    wait_for_steps(process, tmp_path / "runs/cut", 8)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert 0 < read_checkpoint(tmp_path / "runs/cut/last.pt")["training"]["step"] < 24
    assert start(tmp_path, "--resume", "runs/cut").wait(300) == 0
    assert same(weights(tmp_path / "runs/whole")[0], weights(tmp_path / "runs/cut")[0])


def test_twenty_kills_at_random_moments(tmp_path):
    """The smoke config under SIGKILL, SIGTERM or SIGINT twice, while it starts, steps, saves or
    validates: in the end the weights are those of the run left alone."""
    subprocess.run([sys.executable, "-m", "gconet.data.toy", "data"], cwd=tmp_path, check=True)
    settings = ["--config", str(ROOT / "configs/smoke.yaml"), "train.device=cpu", "validation.every=2"]
    settings.append("train.epochs=40")  # so that it outlasts the kills
    assert start(tmp_path, "name=whole", *settings).wait(1200) == 0
    dice, kills = random.Random(0), []
    process = start(tmp_path, "name=cut", *settings, "train.save_minutes=0.01")
    wait_for_steps(process, tmp_path / "runs/cut", 1)
    while len(kills) < 20:
        if starting := dice.random() < 0.25:
            time.sleep(15 * dice.random())
        else:
            wait_for_steps(process, tmp_path / "runs/cut", steps(tmp_path / "runs/cut") + 1)
            time.sleep(3 * dice.random())
        for signum in dice.choice([[signal.SIGKILL], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]]):
            if process.poll() is None:
                os.killpg(process.pid, signum)
                time.sleep(0.02 * dice.random())
        output = process.communicate(timeout=60)[0]
        code, stopped = process.returncode, (-signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGINT)
        early = code in (-signal.SIGTERM, -signal.SIGINT) or output.rstrip().endswith("KeyboardInterrupt")
        assert code in stopped or (starting and early), output
        kills.append((code, read_checkpoint(tmp_path / "runs/cut/last.pt")["training"]["step"]))
        process = start(tmp_path, "--resume", "runs/cut")
    assert process.wait(1200) == 0, process.communicate()[0]
    print(kills)
    assert len({step for _, step in kills}) > 10 and kills[-1][1] < 480
    assert same(weights(tmp_path / "runs/whole")[0], weights(tmp_path / "runs/cut")[0])


def break_off(tmp_path, tiny, *extra, fault):
    """Start a run, bring the fault about after some steps, and see it end; returns its last line."""
    process = start(tmp_path, "name=r", *tiny, "train.epochs=2000", "train.save_minutes=0.01", *extra)
    wait_for_steps(process, tmp_path / "runs/r", 12)
    fault(process)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    # TensorBoard's thread may show a traceback of its own for a full disk
    board = output.count("tensorboard/summary/writer/event_file_writer.py") // 2
    assert output.count("Traceback") == board, output
    assert read_checkpoint(tmp_path / "runs/r/last.pt")["training"]["step"] > 0
    return output.splitlines()[-1]


def goes_on(tmp_path, *extra):
    """Whether the run can be resumed for a few more steps."""
    more = read_checkpoint(tmp_path / "runs/r/last.pt")["training"]["step"] + 3
    done = start(tmp_path, "--resume", "runs/r", f"train.steps={more}", *extra)
    output, _ = done.communicate(timeout=120)
    assert done.returncode == 0, output
    return read_checkpoint(tmp_path / "runs/r/last.pt")["training"]["step"] == more


def test_a_full_disk(tmp_path, tiny):
    """Played by a limit on the size of files, set from outside."""
    line = break_off(
        tmp_path, tiny, fault=lambda p: resource.prlimit(p.pid, resource.RLIMIT_FSIZE, (2000, 2000))
    )
    assert line.startswith("error: runs/r/") and "File too large" in line and "--resume runs/r" in line
    assert not list((tmp_path / "runs/r").glob("*.partial"))
    assert goes_on(tmp_path)


def test_a_data_file_that_vanishes(tmp_path, tiny, toy):
    shutil.copytree(toy, tmp_path / "data")
    kept = sorted((tmp_path / "data/images/toy").rglob("*.jpg"))[:4]
    content = [path.read_bytes() for path in kept]
    fault = lambda process: [path.unlink() for path in kept]  # noqa: E731
    settings = ("data.root=data", "data.workers=1", "data.cache=none")
    line = break_off(tmp_path, tiny, *settings, fault=fault)
    assert "no such file" in line and "data/images/toy" in line
    assert records(tmp_path / "runs/r")[-1]["event"] == "failed"
    for path, data in zip(kept, content, strict=True):
        path.write_bytes(data)
    assert goes_on(tmp_path)


def test_no_memory(tmp_path, tiny):
    def starve(process):
        used = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(process.pid, resource.RLIMIT_AS, (used, used))

    line = break_off(tmp_path, tiny, "data.image_size=256", fault=starve)
    assert "out of memory" in line and "--resume runs/r" in line
    assert records(tmp_path / "runs/r")[-1]["event"] == "failed"
    assert goes_on(tmp_path)


def test_two_processes_in_one_run(tmp_path, tiny):
    first = start(tmp_path, "name=r", *tiny, "train.epochs=2000", "train.save_minutes=0.01")
    wait_for_steps(first, tmp_path / "runs/r", 5)
    second = start(tmp_path, "--resume", "runs/r")
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 2 and output.splitlines()[-1].startswith("error: runs/r is in use")
    os.killpg(first.pid, signal.SIGTERM)
    assert first.wait(60) == 128 + signal.SIGTERM
    assert [r["event"] for r in records(tmp_path / "runs/r")].count("start") == 1
    assert goes_on(tmp_path)
