"""The code that benchmark.py times: the reference path and ours. Each function warms up what it returns."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from torchvision.transforms.v2.functional import normalize

from gconet.checkpoint import find_checkpoint, load_model, load_weights
from gconet.config import Config, load_config
from gconet.data.dataset import EpisodeDataset
from gconet.data.episodes import make_episodes
from gconet.data.groups import Group, Item, scan_set
from gconet.device import pick_precision
from gconet.inference.folders import write_maps
from gconet.inference.predictor import Predictor
from gconet.losses import Criterion
from gconet.models import GCoNet, build_model, build_training_model
from gconet.models.training import TrainingOutput
from tests import reference_path

Run = Callable[[], object]
WARM = 20  # most pictures to warm up on; a larger group takes minutes


def reference_maps(args: Namespace, images: list[Path], output: Path) -> Run:
    """Prepare a run of the reference path, from picture files to map files."""
    pick_precision("fp32", args.device)
    state = {name: tensor.to(args.device) for name, tensor in load(args.checkpoint).state_dict().items()}
    output.mkdir()

    def run() -> None:
        reference_path.predict_files(state, images, output, args.size)

    run()
    return run


def our_maps(args: Namespace, images: list[Path], output: Path, precision: str) -> Run:
    """Prepare the same run of our code."""
    predictor = Predictor(
        load(args.checkpoint),
        size=args.size,
        device=str(args.device),
        precision=precision,
        memory=args.memory and int(args.memory * 2**30),
    )

    def run(count: int | None = None) -> None:
        items = tuple(Item(stem=path.stem, image=path) for path in images[:count])
        write_maps(predictor, [Group(name=output.name, items=items)], output.parent)

    run(WARM)
    return run


def load(checkpoint: Path | None) -> GCoNet:
    """Load the network of a checkpoint, or make one with random weights."""
    torch.manual_seed(0)
    return (load_model(checkpoint)[0] if checkpoint else build_model(Config())).eval()


def reference_step(args: Namespace, settings: list[str]) -> Run:
    """Prepare a training step of the reference path on the first batch that train.py's `settings` give.

    Plain float32, PyTorch's defaults, the batch in memory, no augmentation.
    """
    pick_precision("fp32", args.device)
    config = load_config(None, settings)
    groups = scan_set(Path(config.data.root), config.data.train_set)
    torch.manual_seed(config.seed)
    model = build_training_model(config, classes=len(groups))
    if config.init:
        load_weights(model.net, config, find_checkpoint(config.init))
    model.to(args.device)
    batch = EpisodeDataset(groups, make_episodes(config, groups), size=config.data.image_size)[0]
    images, masks, labels = (tensor.to(args.device) for tensor in (batch.images, batch.masks, batch.labels))
    images, masks = normalize(images / 255, [*reference_path.MEAN], [*reference_path.STD]), masks / 255
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
