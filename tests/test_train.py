"""The training loop: resumes bit for bit, stops when told, refuses what would lose something."""

import io
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image

import train as command_module
from gconet.checkpoint import read_checkpoint
from gconet.engine.steplog import AHEAD
from gconet.errors import CheckpointError, ConfigError, DataError, GCoNetError
from tests.conftest import ROOT, log, same, weights


def test_a_run_writes_its_folder_and_only_what_should_learn_moves(train, tmp_path):
    assert train("train.epochs=2", "validation.set=toy_test", "validation.every=1") == 0
    folder = tmp_path / "runs/r"
    assert (torch.tensor(1e-30) * 1e-10).item() == 0  # numbers that would cost much time
    names = {".lock", "config.yaml", "log.jsonl", "tensorboard", "last.pt", "best.pt"}
    assert {p.name for p in folder.iterdir()} == names
    records, epoch = log(folder), [*["step"] * 3, "epoch", "validation"]
    assert [r["event"] for r in records] == ["start", *epoch, *epoch, "done"]
    start, step = records[0], records[1]
    assert {"git", "torch", "python", "gpu", "cpu", "command"} <= start.keys()
    assert {"saliency", "collaboration", "classification", "total", "gradient_norm"} <= step.keys()
    expected = step["saliency"] + 250 * step["collaboration"] + 3 * step["classification"]
    assert step["total"] == pytest.approx(expected, rel=1e-5)
    for steps, epoch in ((records[1:4], records[4]), (records[6:9], records[9])):  # each epoch by itself
        assert epoch["saliency"] == pytest.approx(sum(r["saliency"] for r in steps) / 3)
    assert 0 <= records[5]["s_measure"] <= 1

    assert train("train.steps=1", name="start") == 0
    before, after = weights(tmp_path / "runs/start")[0], weights(folder)[0]
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = {n for n in before if n.startswith("encoder.") and ".28." not in n}
    assert moved == set(before) - frozen


def test_tensorboard_shows_the_episode_and_the_curves(train, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train("train.epochs=1", "validation.set=toy_test", "validation.every=1") == 0
    events = EventAccumulator(str(tmp_path / "runs/r/tensorboard")).Reload()
    [shown] = events.Images("episode")
    assert (shown.width, shown.height) == (7 * 34 + 2, 4 * 34 + 2)  # 7 columns, 2 + 2 rows
    picture = np.asarray(Image.open(io.BytesIO(shown.encoded_image_string)))
    assert picture[2:34, 2:34].std() > 10  # the image; random maps are nearly grey
    assert all(events.Scalars(tag) for tag in ("train/total", "validation/s_measure"))


def test_best_is_the_epoch_with_the_highest_score(train, tmp_path, monkeypatch):
    scores = iter([0.5, 0.7, 0.6])
    monkeypatch.setattr(command_module, "validate", lambda *args, **kwargs: {"s_measure": next(scores)})
    assert train("train.epochs=3", "validation.set=toy_test", "validation.every=1") == 0
    best = read_checkpoint(tmp_path / "runs/r/best.pt")["training"]
    assert (best["step"], best["best"]) == (6, 0.7)


def test_an_early_end_is_validated_and_arguments_come_in_any_order(train, tmp_path):
    assert train("train.steps=2", "validation.set=toy_test") == 0 and (tmp_path / "runs/r/best.pt").exists()
    assert [r["event"] for r in log(tmp_path / "runs/r")] == ["start", "step", "step", "validation", "done"]
    config = ROOT / "configs/gconet.yaml"
    assert train("train.steps=1", "--config", config, "seed=3", name="any") == 0
    assert "seed: 3" in (tmp_path / "runs/any/config.yaml").read_text()
    assert read_checkpoint(tmp_path / "runs/any/last.pt")["training"]["step"] == 1


SEVERAL = ["data.train_set=[toy, toy_test]", "data.shares=[1, 2]", "data.distractors=0.5", "train.steps=6"]


@pytest.mark.parametrize(("settings", "classes"), [(["train.epochs=2"], 3), (SEVERAL, 6)])
def test_resuming_is_bit_for_bit_the_uninterrupted_run(train, tmp_path, settings, classes):
    assert train(*settings, name="whole") == 0
    assert train(*settings, "train.steps=2", name="parts") == 0
    assert train("--resume", "runs/parts", "train.steps=4", fresh=False) == 0
    end = settings[-1].replace("epochs=2", "steps=null")
    assert train("--resume", "runs/parts/last.pt", end, fresh=False) == 0  # the file will do
    (whole, progress), (parts, resumed) = (weights(tmp_path / f"runs/{n}") for n in ("whole", "parts"))
    assert progress["step"] == resumed["step"] == 6 and same(whole, parts)
    assert len(progress["classes"]) == classes and len(set(progress["classes"])) == 3
    states = (p["optimizer"]["state"].values() for p in (progress, resumed))
    assert all(same(a, b) for a, b in zip(*states, strict=True))
    ends = [[r for r in log(tmp_path / f"runs/{n}") if r["event"] == "epoch"] for n in ("whole", "parts")]
    assert ends[0] == ends[1]


def test_weights_are_the_same_whatever_the_cache(train, tmp_path):
    for cache in ("none", "device", "memory", "auto"):
        assert train(f"data.cache={cache}", "data.distractors=0.6", "train.epochs=1", name=cache) == 0
        assert same(weights(tmp_path / f"runs/{cache}")[0], weights(tmp_path / "runs/none")[0])
        assert log(tmp_path / f"runs/{cache}")[0]["cache"] == ("None" if cache == "none" else "cpu")


def test_reading_losses_late_changes_nothing(train, tmp_path, monkeypatch):
    assert train("train.epochs=2", name="at-once") == 0
    monkeypatch.setitem(AHEAD, "cpu", 2)
    assert train("train.epochs=2", name="late") == 0
    (a, b) = (log(tmp_path / f"runs/{name}") for name in ("at-once", "late"))
    for record in (*a, *b):
        for measured in ("images_per_second", "memory_gib"):
            record.pop(measured, None)
    assert a[1:] == b[1:]
    assert same(weights(tmp_path / "runs/at-once")[0], weights(tmp_path / "runs/late")[0])


def test_fine_tuning_starts_from_the_given_weights(train, tmp_path):
    train("train.epochs=1", name="first")
    start = ("init=runs/first/last.pt", "encoder.weights=imagenet")  # as if it were not given
    train("train.steps=1", "optimizer.lr=0.0", *start, name="second")
    first, second = (read_checkpoint(tmp_path / f"runs/{name}/last.pt") for name in ("first", "second"))
    assert same(first["model"], second["model"]) and second["training"]["step"] == 1
    for wrong, error, named in (
        (["init=none.pt", start[1]], CheckpointError, "none.pt"),
        ([start[0]], ConfigError, "encoder.weights"),
        ([*start, "gam.softmax=group"], CheckpointError, "gam.*softmax"),
    ):  # fmt: skip
        with pytest.raises(error, match=named):
            train(*wrong, name="third")
    assert not (tmp_path / "runs/third").exists()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step_and_it_resumes(train, tmp_path, monkeypatch, signum):
    plain, calls = command_module.augment, []

    def augment(*args):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signum)
        return plain(*args)

    monkeypatch.setattr(command_module, "augment", augment)
    assert train("train.epochs=2") == 128 + signum
    assert weights(tmp_path / "runs/r")[1]["step"] == 2 and log(tmp_path / "runs/r")[-1]["event"] == "stopped"
    assert train("--resume", "runs/r", fresh=False) == 0 and len(calls) == 6


def test_recorded_episodes_replace_drawn_ones(train, tmp_path, toy):
    names = sorted(f"{p.parent.name}/{p.stem}" for p in (toy / "images/toy").glob("*/*"))
    folders = sorted({n.split("/")[0] for n in names})
    np.savez(tmp_path / "e.npz", names=names, label_folder=folders, labels=[[[0, 1], [2, 0], [1, 2]]],
             sizes=np.array([[2, 2, 2]], np.int16), image=[0, 4, 8, 1, 5, 9],
             angle=np.zeros(6, np.float32), flip=np.zeros(6, bool))  # fmt: skip
    with pytest.raises(ConfigError, match="train.epochs.*data.episodes"):
        train("train.epochs=2", "data.episodes=e.npz", "data.group_size=16", name="none")
    assert not (tmp_path / "runs").exists()
    assert train("train.epochs=1", "data.episodes=e.npz", "data.group_size=16") == 0
    assert sum(r["event"] == "step" for r in log(tmp_path / "runs/r")) == 3


def test_nothing_is_overwritten_and_a_run_resumes_only_as_it_began(train, tmp_path, toy):
    train("train.steps=1")
    before = (tmp_path / "runs/r/last.pt").read_bytes()
    shutil.copytree(toy, tmp_path / "other")
    shutil.rmtree(next((tmp_path / "other/images/toy").iterdir()))
    train("train.steps=2", name="ahead")
    train("train.steps=1", "optimizer.drop_at=0.5", name="drops")
    for wrong, error, named in (
        (["train.steps=1"], ConfigError, "--resume runs/r"),
        (["--resume", "runs/r", "optimizer.lr=1"], ConfigError, "optimizer.lr=1"),
        (["--resume", "runs/ahead", "train.steps=1"], ConfigError, "train.steps.*2"),
        (["--resume", "runs/r", "data.root=other"], CheckpointError, "last.pt.*classes"),
        (["--resume", "runs/drops", "train.steps=9"], CheckpointError, "last.pt: .*steps .*1.*9"),
    ):
        with pytest.raises(error, match=named):
            train(*wrong, fresh=wrong[0] != "--resume")
    assert (tmp_path / "runs/r/last.pt").read_bytes() == before


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(train, tmp_path, monkeypatch, precision):
    from gconet import losses

    monkeypatch.setattr("gconet.models.decoder.WIDTH", 8)  # float16 is slow on most CPUs
    calls, how = [], f"train.precision={precision}"

    def broken(*args, **kwargs):
        calls.append(1)
        return losses.soft_iou_loss(args[0][0], args[1]).sum() * (float("nan") if len(calls) == 2 else 1)

    monkeypatch.setattr("gconet.losses.saliency_loss", broken)
    saved = []
    plain = command_module.make_optimizer  # the weights when the run ends, which it does not save
    monkeypatch.setattr(command_module, "make_optimizer", lambda *args: saved.append(args[1]) or plain(*args))
    names = []
    for ahead in (0, 2):  # found at once, and when the epoch's checkpoint is due, a step later
        calls.clear()
        monkeypatch.setitem(AHEAD, "cpu", ahead)
        with pytest.raises(GCoNetError, match="step 1.*'saliency': nan") as caught:
            train("train.epochs=2", how, name=f"ahead{ahead}")
        names.append(str(caught.value).split("episode: ")[1])
        assert len(calls) == (3 if ahead else 2)
        assert weights(tmp_path / f"runs/ahead{ahead}")[1]["step"] == 0  # nothing was saved after it
    assert names[0] == names[1] and names[0].count(".jpg") == 4
    one_step, *others = (dict(model.named_parameters()) for model in saved)
    assert all(same(one_step, other) for other in others)  # step 1 and those after it left no trace


def test_a_bad_image_ends_in_its_name_also_from_a_loader_thread(train, tmp_path, toy):
    shutil.copytree(toy, tmp_path / "bad")
    for path in (tmp_path / "bad/images/toy").rglob("*.jpg"):
        path.write_bytes(path.read_bytes()[:300])
    for extra in (["data.workers=1"], ["data.cache=memory", "data.workers=1"]):
        with pytest.raises(DataError, match=r"bad/images/toy/.*\.jpg") as caught:
            train("data.root=bad", *extra, name=f"b{len(extra)}")
        assert "\n" not in str(caught.value)
