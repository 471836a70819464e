"""What benchmark.py times: the reference path's and our code. Each function warms up what it returns."""

from collections.abc import Callable
from pathlib import Path

import torch

from gconet.checkpoint import find_checkpoint, load_model, load_weights
from gconet.config import Config, load_config
from gconet.data.dataset import EpisodeDataset
from gconet.data.episodes import make_episodes
from gconet.data.groups import Group, Item, scan_set
from gconet.device import pick_precision
from gconet.inference import write_maps
from gconet.losses import Criterion
from gconet.models import GCoNet, build_model, build_training_model
from gconet.models.training import TrainingOutput
from gconet.predictor import Predictor
from tests import reference_path

Run = Callable[[], object]


def reference_maps(
    *, images: list[Path], output: Path, checkpoint: Path | None, device: torch.device, size: int
) -> Run:
    """Picture files to map files by the reference path."""
    pick_precision("fp32", device)
    state = {name: tensor.to(device) for name, tensor in _model(checkpoint).state_dict().items()}
    output.mkdir()

    def run() -> None:
        reference_path.predict_files(state, images, output, size)

    run()
    return run


def our_maps(
    *,
    images: list[Path],
    output: Path,
    checkpoint: Path | None,
    device: torch.device,
    size: int,
    precision: str,
    memory: int | None = None,
    warm: int | None = None,
) -> Run:
    """The same by our code; warmed up on the first `warm` pictures, by default on all."""
    predictor = Predictor(
        _model(checkpoint), size=size, device=str(device), precision=precision, memory=memory
    )

    def run(count: int | None = None) -> None:
        items = tuple(Item(stem=path.stem, image=path) for path in images[:count])
        write_maps(predictor, [Group(name=output.name, items=items)], output.parent)

    run(warm)
    return run


def _model(checkpoint: Path | None) -> GCoNet:
    torch.manual_seed(0)
    return (build_model(Config()) if checkpoint is None else load_model(checkpoint)[0]).eval()


def reference_step(*, settings: list[str], device: torch.device) -> Run:
    """A training step on the first batch that `settings` of train.py give, by the reference path.

    Plain float32, PyTorch's defaults, the batch in memory; without augmentation.
    """
    pick_precision("fp32", device)
    config = load_config(None, settings)
    groups = scan_set(Path(config.data.root), config.data.train_set)
    torch.manual_seed(config.seed)
    model = build_training_model(config, classes=len(groups))
    if config.init:
        load_weights(model.net, config, find_checkpoint(config.init))
    model.to(device)
    batch = EpisodeDataset(groups, make_episodes(config, groups), size=config.data.image_size)[0]
    images, masks, labels = (tensor.to(device) for tensor in (batch.images, batch.masks, batch.labels))
    mean, std = (
        torch.tensor(v, device=device).view(3, 1, 1) for v in (reference_path.MEAN, reference_path.STD)
    )
    images, masks = (images / 255 - mean) / std, masks / 255
    state: reference_path.State = {n.removeprefix("net."): p for n, p in model.named_parameters()}
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.99))
    criterion = Criterion(**vars(config.loss))

    def run() -> float:
        sides, logits, classes = reference_path.train_pair(state, images)
        output = TrainingOutput(tuple(sides), logits, classes, logits, sides[-1].logit())
        loss = criterion.total(criterion(output, masks, labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    run()
    return run
