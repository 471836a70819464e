"""Adam as the recipe has it, and how a step that is not finite is kept from the weights."""

import warnings

import torch
import torch.distributed as dist
from torch import Tensor

from gconet.config import OptimizerConfig
from gconet.models import TrainingGCoNet


def make_optimizer(settings: OptimizerConfig, model: TrainingGCoNet) -> torch.optim.Adam:
    """Adam in two groups: all but the encoder, and the encoder's trainable layers at their own rate.

    On the device of `model`, which should not move afterwards.
    """
    encoder = {id(p) for p in model.net.encoder.parameters()}
    groups = [
        {
            "name": "new_layers",
            "params": [p for p in model.parameters() if id(p) not in encoder and p.requires_grad],
            "lr": settings.lr,
        },
        {
            "name": "encoder",
            "params": [p for p in model.net.encoder.parameters() if p.requires_grad],
            "lr": settings.lr * settings.encoder_lr_scale,
        },
    ]
    device = model.net.mean.device
    # each size of batch first runs without a graph, and PyTorch would advise against `capturable`
    warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
    optimizer = torch.optim.Adam(
        [group for group in groups if group["params"]],
        betas=settings.betas,
        fused=True,
        capturable=device.type == "cuda",  # so that CUDA graphs can hold it
    )
    # made here, so that a step that CUDA graphs record does the same as the one that ran before it
    optimizer.found_inf = torch.zeros((), device=device)  # type: ignore[attr-defined]
    return optimizer


def skip_if_not_finite(optimizer: torch.optim.Adam, values: Tensor, *, world: int = 1) -> None:
    """Make an optimizer of `make_optimizer` leave the weights alone from now on if any of `values` is
    not finite.

    Decided on the device, without a word to the host, by the switch that PyTorch's GradScaler
    uses. It stays on, so the weights remain those before the step, on all of `world` ranks.
    """
    bad = (~values.detach().isfinite().all()).float()
    if world > 1:
        dist.all_reduce(bad, dist.ReduceOp.MAX)
    found: Tensor = optimizer.found_inf  # type: ignore[attr-defined]
    torch.maximum(found, bad, out=found)


def rates(optimizer: torch.optim.Adam) -> dict[str, float]:
    """The learning rate of each group, by the group's name."""
    return {f"lr_{group['name']}": float(group["lr"]) for group in optimizer.param_groups}


def drop_rates(optimizer: torch.optim.Adam, factor: float = 0.1) -> None:
    """Multiply every group's learning rate."""
    for group in optimizer.param_groups:
        group["lr"] *= factor


def load_optimizer(optimizer: torch.optim.Adam, state: dict) -> None:
    """Continue from a saved `state`, of a run on any device; raises as PyTorch's `load_state_dict`."""
    for saved, ours in zip(state["param_groups"], optimizer.param_groups, strict=True):
        saved.update({key: ours[key] for key in ("fused", "foreach", "capturable")})
    optimizer.load_state_dict(state)
