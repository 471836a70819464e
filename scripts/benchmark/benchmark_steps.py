"""The training steps that benchmark.py times, each in a process of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from gconet.data.dataset import Batch
    from gconet.models.training import TrainingGCoNet

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo"


def build_reference_step(
    *, group: int, size: int, device: str, checkpoint: Path | None
) -> Callable[[], object]:
    """A training step by the reference path: plain float32, PyTorch's defaults."""
    import reference_path
    import torch

    from gconet.config import Config
    from gconet.device import pick_device, pick_precision
    from gconet.losses import Criterion
    from gconet.models.training import TrainingOutput

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


def build_step(
    *,
    group: int,
    size: int,
    device: str,
    checkpoint: Path | None,
    precision: str,
    before: bool = False,
    graph: bool = False,
) -> Callable[[], object]:
    """The step of train.py on a batch that is on the device.

    `before`: without `flush_denormals` and `keep_memory`. `graph`: by a CUDA graph.
    """
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

    if not before:
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
    group: int, size: int, device: Any, checkpoint: Path | None
) -> tuple["TrainingGCoNet", "Batch"]:
    """A network for training and a pair of groups, both on `device`.

    Without a checkpoint: random weights and noise. With one: its weights, random heads, and the
    first two of the demo groups, repeated to `group` images each; noise would not saturate its maps.
    """
    import torch

    from gconet.checkpoint import load_weights, read_checkpoint, saved_config
    from gconet.config import Config
    from gconet.data.dataset import Batch
    from gconet.data.groups import scan_groups
    from gconet.data.images import load_with_mask
    from gconet.data.transforms import resize_image, resize_mask
    from gconet.models import build_training_model

    torch.manual_seed(0)
    config = Config() if checkpoint is None else saved_config(read_checkpoint(checkpoint), checkpoint)
    model = build_training_model(config, classes=291)
    if checkpoint is None:
        images = torch.randint(0, 256, (2 * group, 3, size, size), dtype=torch.uint8)
        masks = 255 * torch.randint(0, 2, (2 * group, 1, size, size), dtype=torch.uint8)
    else:
        load_weights(model.net, config, checkpoint)
        pairs = []
        for items in [g.items for g in scan_groups(DEMO / "images", DEMO / "gts")][:2]:
            for i in range(group):
                item = items[i % len(items)]
                assert item.mask is not None  # scan_groups pairs every image with its mask
                pairs.append(load_with_mask(item.image, item.mask))
        images = torch.stack([resize_image(image, size) for image, _ in pairs])
        masks = torch.stack([resize_mask(mask, size) for _, mask in pairs])
    none = images[:0]
    batch = Batch(
        images=images,
        masks=masks,
        labels=torch.arange(2).repeat_interleave(group),
        angles=torch.rand(2 * group) * 180 - 90,
        flips=torch.rand(2 * group) < 0.5,
        others=none,
        other_masks=none[:, :1],
        kinds=torch.empty(0, dtype=torch.int64),
        numbers=torch.empty(0, 0),
    )
    return model.to(device), Batch(*(t.to(device) for t in batch))
