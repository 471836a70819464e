"""The recipe's Adam, and a guard that skips non-finite steps."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.amp import GradScaler

from gconet.config import OptimizerConfig
from gconet.device import runs_ahead
from gconet.models import TrainingGCoNet


def make_optimizer(settings: OptimizerConfig, model: TrainingGCoNet) -> torch.optim.Adam:
    """Return Adam with two parameter groups: the encoder's trainable layers, at their own rate, and the rest.
    It is made for the current device of `model`, which should not be moved afterwards."""
    groups: dict[str, list[Tensor]] = {"new_layers": [], "encoder": []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups["encoder" if name.startswith("net.encoder.") else "new_layers"].append(parameter)
    device = model.net.mean.device
    given = [{"name": name, "params": parameters} for name, parameters in groups.items() if parameters]
    graphs = runs_ahead(device)  # can record it
    optimizer = torch.optim.Adam(given, betas=settings.betas, fused=True, capturable=graphs)
    set_rates(optimizer, settings, dropped=False)
    # made here, so that the step that CUDA graphs record does the same as the warm-up step before it
    for name in ("found_inf", "ended"):  # whether to skip this update; whether to skip all that follow
        setattr(optimizer, name, torch.zeros((), device=device))
    return optimizer


def skip_if_not_finite(
    optimizer: torch.optim.Adam, values: Tensor, scaler: GradScaler | None = None, *, world: int = 1
) -> Tensor:
    """If any of `values` (k,) is not finite, skip this and all later updates of `make_optimizer`'s optimizer.

    The device decides this without the host, by the switch that PyTorch's GradScaler uses. Returns the
    values; with several ranks the last one is NaN if any rank's are not finite.

    With an enabled `scaler` (fp16), only this update is skipped if just the last value, the gradients' norm,
    overflowed, as long as the scale is above 1. The norm is then 0, and one more value 1 (0 if not skipped).
    """
    finite = values.isfinite()
    bad = (~finite.all()).float()
    overflow = torch.zeros_like(bad)
    if scaler and scaler.is_enabled():
        overflow = finite[:-1].all() * bad * (scaler.scale(torch.ones_like(bad)) > 1)
        bad = bad - overflow
        values = torch.stack([*values[:-1], values[-1].where(overflow == 0, 0.0), overflow])
    if world > 1:
        dist.all_reduce(bad, dist.ReduceOp.MAX)
        values = torch.cat([values[:-1], torch.where(bad > 0, torch.nan, values[-1:])])
    found, ended = optimizer.found_inf, optimizer.ended  # type: ignore[attr-defined]
    torch.maximum(ended, bad, out=ended)
    torch.maximum(ended, overflow, out=found)
    return values


def update(optimizer: torch.optim.Adam) -> None:
    """Take a step, unless `skip_if_not_finite` decided otherwise. The host reads its switch if it may wait
    for the device, because PyTorch's fused Adam ignores it on MPS."""
    if runs_ahead((found := optimizer.found_inf).device) or not found:  # type: ignore[attr-defined]
        optimizer.step()


def rates(optimizer: torch.optim.Adam) -> dict[str, float]:
    """Return the learning rate of each parameter group, by its name."""
    return {f"lr_{group['name']}": float(group["lr"]) for group in optimizer.param_groups}


def set_rates(optimizer: torch.optim.Adam, settings: OptimizerConfig, *, dropped: bool) -> None:
    """Set each group's learning rate, or a tenth of it if `dropped`."""
    for group in optimizer.param_groups:
        scale = settings.encoder_lr_scale if group["name"] == "encoder" else 1.0
        group["lr"] = settings.lr * scale * (0.1 if dropped else 1.0)


def load_optimizer(optimizer: torch.optim.Adam, state: dict) -> None:
    """Restore the saved `state` of a run on any device; raises like PyTorch's `load_state_dict`. The moments
    take the memory layout of their parameters, which may be another one: on a GPU, fused Adam requires it."""
    for saved, ours in zip(state["param_groups"], optimizer.param_groups, strict=True):
        saved.update({key: ours[key] for key in ("fused", "foreach", "capturable")})
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        for name in ("exp_avg", "exp_avg_sq"):
            moments[name] = torch.empty_like(parameter).copy_(moments[name])
