"""What only a CUDA GPU can show: pytest -m gpu; with GCONET_TEST_DEVICE=cpu a rehearsal without graphs."""

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import train as command_module
from gconet import losses
from gconet.checkpoint import find_checkpoint, load_weights
from gconet.config import Config, load_config
from gconet.data.compose import compose
from gconet.data.dataset import Batch, EpisodeDataset
from gconet.data.episodes import make_episodes
from gconet.data.groups import scan_groups, scan_set
from gconet.data.images import load_with_mask
from gconet.data.toy import make_toy_set
from gconet.data.transforms import augment, resize_image, resize_mask
from gconet.device import autocast, pick_memory_format, pick_precision
from gconet.engine.graphs import GraphedStep
from gconet.engine.steplog import AHEAD, StepLog
from gconet.errors import GCoNetError
from gconet.inference.predictor import Predictor
from gconet.models import build_training_model
from tests.conftest import ROOT, weights

CPU, DEVICE = torch.device("cpu"), torch.device(os.environ.get("GCONET_TEST_DEVICE", "cuda"))
ON_GPU = DEVICE.type == "cuda"
GRAPHS = ("true", "false") if ON_GPU else ("false",)
CACHE = "device" if ON_GPU else "memory"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(ON_GPU and not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """A data root with the set toy: 6 classes of 5, 5, 3, 5, 5, 3 images, so two sizes of batch."""
    root = tmp_path_factory.mktemp("data")
    make_toy_set(root, "toy", classes=6, images_per_class=5, size=64)
    for images in sorted((root / "images/toy").iterdir())[2::3]:
        for path in sorted(images.iterdir())[3:]:
            path.unlink()
            (root / "gts/toy" / images.name / f"{path.stem}.png").unlink()
    return root


@pytest.fixture
def settings(sets) -> list[str]:
    return [
        f"data.root={sets}", "data.train_set=toy", "data.image_size=64", "data.group_size=5",
        f"data.cache={CACHE}", "data.workers=0", "encoder.weights=none", "train.precision=fp32",
        f"train.device={DEVICE.type}", f"train.graph={GRAPHS[0]}", "train.steps=12",
        "train.save_minutes=1000", "encoder.name=vgg16",
    ]  # fmt: skip


@pytest.fixture
def run(train, settings, tmp_path):
    """Train under a name in this process; the weights by name, on the CPU."""

    def run(name, *changes, resume=False):
        given = ["--resume", f"runs/{name}", *changes] if resume else [*settings, *changes]
        assert train(*given, name=name, fresh=not resume) == 0
        return weights(tmp_path / "runs" / name)[0]

    return run


def start(settings):
    """The weights before the first step."""
    config = load_config(ROOT / "configs/gconet.yaml", settings)
    torch.manual_seed(config.seed)
    state = build_training_model(config, classes=6).state_dict()
    return {name.removeprefix("net."): tensor for name, tensor in state.items()}


def apart(a, b, start):
    """How far weights are apart, as a share of the way from the start to `a`."""
    way, gap = (sum((x[n] - a[n]).double().square().sum().item() for n in a) for x in (start, b))
    return (gap / way) ** 0.5


def episodes(settings):
    config = load_config(ROOT / "configs/gconet.yaml", settings)
    groups = scan_set(Path(config.data.root), "toy")
    return EpisodeDataset(groups, make_episodes(config, groups), size=64, distractors=0.6)


BEYOND = ("data.distractors=0.6", "loss.outputs=finest", "loss.bce=60", "encoder.trainable=stages4-5")


@pytest.mark.parametrize(
    ("precision", "drop_at", "more"),
    [("fp32", 1.0, ()), ("bf16", 0.5, ()), ("fp16", 1.0, ()), ("bf16", 1.0, BEYOND)],
)
def test_graphs_learn_what_steps_without_them_learn(
    run, settings, tmp_path, monkeypatch, precision, drop_at, more
):
    recorded = []
    record = GraphedStep._record
    monkeypatch.setattr(GraphedStep, "_record", lambda *args: recorded.append(1) or record(*args))
    given = (f"train.precision={precision}", f"optimizer.drop_at={drop_at}", *more)
    eager, again = (run(name, *given, "train.graph=false") for name in ("a", "b"))
    noise = apart(eager, again, start(settings))
    print(f"{precision}: two runs without graphs are {noise:.2g} apart")
    assert noise < 0.05
    for cache in dict.fromkeys((CACHE, "memory", "none")):  # batches in the host's memory go to the GPU first
        graphed = apart(eager, run(f"g-{cache}", *given, f"data.cache={cache}"), start(settings))
        print(f"{precision}: with graphs, cache {cache}: {graphed:.2g} apart")
        assert graphed <= 3 * noise + 1e-3
    assert len(recorded) == ON_GPU * 3 * 2 * (1 + (drop_at < 1))  # for each run, size and rate
    groups = weights(tmp_path / f"runs/g-{CACHE}")[1]["optimizer"]["param_groups"]
    assert groups[0]["lr"] == pytest.approx(1e-4 if drop_at == 1 else 1e-5)


def test_batches_are_the_same_whatever_the_cache(settings):
    plain, memory, device = (episodes(settings) for _ in range(3))
    memory.fill_cache(CPU, workers=2)
    device.fill_cache(DEVICE, workers=2)
    for step in range(4):
        expected = plain[step]
        for cached in (memory[step], device[step]):
            for a, b in zip(expected, cached, strict=True):
                assert a.dtype == b.dtype and torch.equal(a, b.cpu())
    assert device[0].images.device.type == DEVICE.type


def test_composed_and_turned_pictures_are_those_of_the_cpu(settings):
    dataset = episodes(settings)
    agree = []
    for step in range(12):
        batch = dataset[step]
        there = Batch(*(t.to(DEVICE) for t in batch))
        expected = compose(batch.images, batch.masks, *batch.composition)
        given = compose(there.images, there.masks, *there.composition)
        pairs = zip(expected, given, strict=True)
        differ = [(a.int() - b.cpu().int()).abs().amax((1, 2, 3)) for a, b in pairs]
        agree.append(torch.stack(differ).amax(0) <= 1)
        turned = augment(batch.images, batch.masks, batch.angles, batch.flips)
        given = augment(there.images, there.masks, there.angles, there.flips)
        for a, b in zip(turned, given, strict=True):  # a mask's pixel may be rounded to its neighbour
            assert ((a - b.cpu()).abs() > 1 / 255).float().mean() < 0.005
    share = torch.cat(agree).float().mean().item()
    print(f"{share:.1%} of {len(torch.cat(agree))} composed pictures are the same to a grey level")
    assert share > 0.97  # of two places that hide as much, rounding may choose the other


def one_step(device, precision):
    """The maps and gradients of the shipped weights on two demo groups of 5, brought to the CPU."""
    groups = scan_groups(ROOT / "data/demo/images", ROOT / "data/demo/gts")[:2]
    pairs = [load_with_mask(item.image, item.mask) for group in groups for item in group.items[:5]]
    images = torch.stack([resize_image(image, 64) for image, _ in pairs]) / 255
    masks = torch.stack([resize_mask(mask, 64) for _, mask in pairs]) / 255
    config, dtype = Config(), pick_precision(precision, device)
    torch.manual_seed(0)
    model = build_training_model(config, classes=2)
    load_weights(model.net, config, find_checkpoint("paper"))
    memory_format = pick_memory_format(device, dtype, training=True)
    model = model.to(device).to(memory_format=memory_format)
    with autocast(device, dtype):
        output = model(images.to(device).contiguous(memory_format=memory_format))
    criterion = losses.Criterion(**vars(config.loss))
    labels = torch.arange(2, device=device).repeat_interleave(5)
    criterion.total(criterion(output, masks.to(device), labels)).backward()
    gradients = {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}
    return output.logits.detach().sigmoid().cpu(), gradients


def test_maps_and_gradients_are_those_of_the_cpu():
    maps, gradients = one_step(CPU, "fp32")
    for precision, mean, least in (("fp32", 1e-5, 0.99999), ("bf16", 5e-3, 0.99), ("fp16", 1e-3, 0.99)):
        ours, given = one_step(DEVICE, precision)
        assert given.keys() == gradients.keys()
        difference = (ours - maps).abs()
        a, b = (torch.cat([g.flatten() for g in gs.values()]).double() for gs in (gradients, given))
        cosine = F.cosine_similarity(a, b, dim=0).item()
        print(f"{precision}: maps differ by at most {difference.max():.2g}, mean {difference.mean():.2g}; "
              f"gradients' cosine 1 - {1 - cosine:.2g}")  # fmt: skip
        assert difference.mean() < mean and cosine > least
        for name, gradient in gradients.items():
            if precision == "fp32":
                assert (given[name] - gradient).norm() < 1e-3 * gradient.norm() + 1e-6 * b.norm(), name


def test_float32_inference_has_tf32_off():
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 512, 512, generator=random)
    x, w = torch.randn(2, 64, 32, 32, generator=random), torch.randn(64, 64, 3, 3, generator=random)

    def error(precision):
        pick_precision(precision, DEVICE)
        product, convolved = a.to(DEVICE) @ b.to(DEVICE), F.conv2d(x.to(DEVICE), w.to(DEVICE))
        pairs = (product, a.double() @ b.double()), (convolved, F.conv2d(x.double(), w.double()))
        return [((given.cpu() - exact).norm() / exact.norm()).item() for given, exact in pairs]

    if ON_GPU and torch.cuda.get_device_capability() >= (8, 0):
        assert min(error("tf32")) > 1e-5  # so the next line can tell
    assert max(error("fp32")) < 3e-6
    images = [item.image for item in scan_groups(ROOT / "data/demo/images")[0].items]
    maps = []
    for device in (CPU, DEVICE):
        predictor = Predictor.load("paper", device=device.type, precision="fp32")
        maps.append([torch.from_numpy(m).int() for m in predictor(images)])
    assert max((m - n).abs().max().item() for m, n in zip(*maps, strict=True)) <= 1


def test_a_resumed_run_learns_what_an_uninterrupted_one_does(run, settings):
    whole, again = run("whole"), run("again")
    run("parts", "train.steps=5")
    parts = run("parts", "train.steps=12", resume=True)
    noise, resumed = (apart(whole, other, start(settings)) for other in (again, parts))
    print(f"two runs are {noise:.2g} apart, resumed {resumed:.2g}")
    assert resumed <= 3 * noise + 1e-3


def test_runs_move_between_cpu_and_gpu(run, settings, tmp_path):
    cpu, gpu = ("train.device=cpu", "train.graph=false"), settings[8:10]
    whole, first = run("whole", *cpu), start(settings)
    for name, before, after in (("to", cpu, gpu), ("from", gpu, cpu)):
        run(name, *before, "train.steps=6")
        moved = run(name, *after, "train.steps=12", resume=True)
        assert (share := apart(whole, moved, first)) < 0.1, f"{name} the GPU: {share:.2g} apart"
        state = weights(tmp_path / "runs" / name)[1]["optimizer"]["state"]
        assert {float(s["step"]) for s in state.values()} == {12.0}


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_loss_that_is_not_finite_leaves_the_weights_of_the_step_before(train, settings, monkeypatch, graph):
    bad, steps = 7, torch.zeros((), device=DEVICE)
    plain = losses.saliency_loss

    def broken(*args, **kwargs):  # counted on the device: a graph runs this code once, when it is recorded
        steps.add_(1)
        return plain(*args, **kwargs) * torch.where(steps == bad + 1, torch.nan, 1.0)

    models, kept, done = [], [], []
    make_optimizer, add = command_module.make_optimizer, StepLog.add

    def watch(self, step, *args, **kwargs):
        done.append(step)
        if step == bad - 1:
            kept.extend(p.detach().clone() for p in models[0].parameters())
        add(self, step, *args, **kwargs)

    monkeypatch.setattr(losses, "saliency_loss", broken)
    optimizer = lambda *args: models.append(args[1]) or make_optimizer(*args)  # noqa: E731
    monkeypatch.setattr(command_module, "make_optimizer", optimizer)
    monkeypatch.setattr(StepLog, "add", watch)
    monkeypatch.setitem(AHEAD, DEVICE.type, 3)
    with pytest.raises(GCoNetError, match=rf"step {bad}.*'saliency': nan") as caught:
        train(*settings, f"train.graph={graph}", name="r")
    dataset = episodes(settings)
    files = [str(dataset.items[i].image) for i in dataset.episode(bad).images]
    assert str(caught.value).split("episode: ")[1] == " ".join(files)
    assert done[-1] >= bad and (ON_GPU or done[-1] == bad + 3)
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), kept, strict=True))
