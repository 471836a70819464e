"""What benchmark.py times, each in a process of its own: the reference path's and our code."""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gconet.errors import DataError, GCoNetError

if TYPE_CHECKING:
    import torch

    from gconet.data.dataset import Batch
    from gconet.models import GCoNet
    from gconet.models.training import TrainingGCoNet

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"
Build = Callable[..., Callable[[], object]]


class Worker:
    """A process that builds a path, warms it up and then runs it on demand."""

    def __init__(self, build: Build, options: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, build, options), daemon=True)
        self.process.start()
        theirs.close()
        self._receive()

    def run(self) -> tuple[float, float]:
        """Seconds of one run, and the GiB at most held so far (by PyTorch on a GPU, else by the process)."""
        self.pipe.send(True)
        return self._receive()

    def close(self) -> None:
        self.pipe.close()
        self.process.join()

    def _receive(self) -> tuple[float, float]:
        try:
            spent: tuple[float, float] | GCoNetError = self.pipe.recv()
        except EOFError:
            raise DataError("a benchmark process failed; its message is above") from None
        if isinstance(spent, GCoNetError):
            raise spent
        return spent


def _serve(pipe: Connection, build: Build, options: dict[str, Any]) -> None:
    import torch

    from gconet.device import peak_memory, pick_device

    try:
        device = pick_device(options["device"])
        run = build(**options)
    except GCoNetError as error:
        pipe.send(error)
        return
    pipe.send((0.0, 0.0))
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        pipe.send((time.perf_counter() - start, peak_memory(device)))


def reference_maps(
    images: list[Path], output: Path, checkpoint: Path | None, device: str, size: int
) -> Callable[[], object]:
    """Picture files to map files by the reference path."""
    from gconet.device import pick_device, pick_precision
    from tests import reference_path

    pick_precision("fp32", pick_device(device))
    state = {n: t.to(pick_device(device)) for n, t in _model(checkpoint).state_dict().items()}
    output.mkdir()

    def run() -> None:
        reference_path.predict_files(state, images, output, size)

    run()
    return run


def our_maps(
    images: list[Path], output: Path, checkpoint: Path | None, device: str, size: int, precision: str,
    memory: int | None = None, warm: int | None = None,
) -> Callable[[], object]:  # fmt: skip
    """The same by our code; warmed up on the first `warm` pictures, by default on all."""
    from gconet.data.groups import Group, Item
    from gconet.maps import write_maps
    from gconet.predictor import Predictor

    predictor = Predictor(_model(checkpoint), size=size, device=device, precision=precision, memory=memory)

    def run(count: int | None = None) -> None:
        items = tuple(Item(stem=path.stem, image=path) for path in images[:count])
        write_maps(predictor, [Group(name=output.name, items=items)], output.parent)

    run(warm)
    return run


def _model(checkpoint: Path | None) -> "GCoNet":
    import torch

    from gconet.checkpoint import load_model
    from gconet.config import Config
    from gconet.models import build_model

    torch.manual_seed(0)
    return (build_model(Config()) if checkpoint is None else load_model(checkpoint)[0]).eval()


def reference_step(group: int, size: int, device: str, checkpoint: Path | None) -> Callable[[], object]:
    """A training step by the reference path: plain float32, PyTorch's defaults."""
    import torch

    from gconet.config import Config
    from gconet.device import pick_device, pick_precision
    from gconet.losses import Criterion
    from gconet.models.training import TrainingOutput
    from tests import reference_path

    where = pick_device(device)
    pick_precision("fp32", where)
    model, batch = _training(group, size, where, checkpoint)
    images, masks = batch.images.float() / 255, batch.masks.float() / 255
    mean, std = (
        torch.tensor(v, device=where).view(3, 1, 1) for v in (reference_path.MEAN, reference_path.STD)
    )
    state: reference_path.State = {n.removeprefix("net."): p for n, p in model.named_parameters()}
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.99))
    criterion = Criterion(**vars(Config().loss))

    def run() -> float:
        sides, logits, classes = reference_path.train_pair(state, (images - mean) / std)
        output = TrainingOutput(tuple(sides), logits, classes, logits, sides[-1].logit())
        loss = criterion.total(criterion(output, masks, batch.labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    run()
    return run


def our_step(
    group: int, size: int, device: str, checkpoint: Path | None, precision: str, graph: bool = False
) -> Callable[[], object]:
    """The step of train.py on a batch that is on the device; `graph`: by a CUDA graph."""
    import torch
    from torch.nn.utils import get_total_norm

    from gconet.config import Config
    from gconet.data.transforms import augment
    from gconet.device import (
        autocast,
        flush_denormals,
        keep_memory,
        pick_device,
        pick_memory_format,
        pick_precision,
    )
    from gconet.graphs import GraphedStep
    from gconet.losses import Criterion
    from gconet.optimizer import make_optimizer, skip_if_not_finite

    flush_denormals()
    keep_memory()
    where = pick_device(device)
    dtype = pick_precision(precision, where)
    model, batch = _training(group, size, where, checkpoint)
    memory_format = pick_memory_format(where, dtype, training=True)
    model = model.to(memory_format=memory_format)
    optimizer = make_optimizer(Config().optimizer, model)
    criterion = Criterion(**vars(Config().loss))

    def train_step(batch: "Batch") -> "torch.Tensor":
        images, masks = augment(batch.images, batch.masks, batch.angles, batch.flips)
        with autocast(where, dtype):
            output = model(images.contiguous(memory_format=memory_format))
        terms = criterion(output, masks, batch.labels)
        loss = criterion.total(terms)
        optimizer.zero_grad()
        loss.backward()
        norm = get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        values = torch.stack([*terms.values(), loss, norm]).detach()
        skip_if_not_finite(optimizer, values)
        optimizer.step()
        return values

    take = GraphedStep(train_step, optimizer) if graph else train_step
    for _ in range(2 if graph else 1):  # the second call records the graph
        take(batch)
    return lambda: take(batch)


def _training(
    group: int, size: int, device: "torch.device", checkpoint: Path | None
) -> tuple["TrainingGCoNet", "Batch"]:
    """A network for training and a pair of groups, both on `device`.

    Without a checkpoint: random weights. With one: its weights and random heads. The pictures are the
    first two of the demo groups, repeated to `group` images each; noise would not saturate trained maps.
    """
    import torch

    from gconet.checkpoint import load_weights, read_checkpoint, saved_config
    from gconet.config import ACMConfig, Config, GCMConfig
    from gconet.data.dataset import Batch
    from gconet.data.groups import scan_groups
    from gconet.data.images import load_with_mask
    from gconet.data.transforms import resize_image, resize_mask
    from gconet.models import build_training_model

    torch.manual_seed(0)
    config = Config() if checkpoint is None else saved_config(read_checkpoint(checkpoint), checkpoint)
    model = build_training_model(replace(config, gcm=GCMConfig(), acm=ACMConfig()), classes=291)
    if checkpoint is not None:
        load_weights(model.net, config, checkpoint)
    items = [
        g.items[i % len(g.items)]
        for g in scan_groups(DEMO / "images", DEMO / "gts")[:2]
        for i in range(group)
    ]
    pairs = [load_with_mask(item.image, item.mask) for item in items if item.mask]
    none = torch.empty(0, 3, size, size, dtype=torch.uint8)
    batch = Batch(
        images=torch.stack([resize_image(image, size) for image, _ in pairs]),
        masks=torch.stack([resize_mask(mask, size) for _, mask in pairs]),
        labels=torch.arange(2).repeat_interleave(group),
        angles=torch.rand(2 * group) * 180 - 90,
        flips=torch.rand(2 * group) < 0.5,
        others=none,
        other_masks=none[:, :1],
        kinds=torch.empty(0, dtype=torch.int64),
        numbers=torch.empty(0, 0),
    )
    return model.to(device), Batch(*(t.to(device) for t in batch))
