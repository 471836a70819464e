"""The losses as pure functions, and a criterion that returns them named and unweighted."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gconet.models.training import TrainingOutput


def soft_iou_loss(maps: Tensor, masks: Tensor) -> Tensor:
    """1 − Σmg / (Σm + Σg − Σmg) per image: maps and masks (N,1,H,W) in [0,1] → (N,) in [0,1]; 0 if an image's
    map and mask are both empty."""
    intersection = (maps * masks).sum((1, 2, 3))
    union = (maps + masks).sum((1, 2, 3)) - intersection
    tiny = torch.finfo(union.dtype).tiny
    return torch.where(union > 0, 1 - intersection / union.clamp_min(tiny), torch.zeros_like(union))


def saliency_loss(side_maps: Sequence[Tensor], masks: Tensor, *, reduction: str = "sum") -> Tensor:
    """L_sal: the soft IoU loss, summed over the side outputs, and over images by `sum` (the release) or
    `mean` (the paper)."""
    per_image = torch.stack([soft_iou_loss(maps, masks) for maps in side_maps])  # (outputs,2N)
    return per_image.sum() if reduction == "sum" else per_image.mean(1).sum()


def collaboration_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """L_ctm: binary focal loss (Lin et al. 2017; γ = 2, no α), averaged over all pixels of both halves.

    logits (4N,1,H,W), own half first: its target is masks (2N,1,H,W), the crossed half's is zero.
    p_t = exp(−BCE), as in pytorch-toolbelt at the time of the release. This p_t equals torchvision's,
    p·g + (1 − p)(1 − g), on binary pixels, but not on grey ones.
    """
    target = torch.cat([masks, torch.zeros_like(masks)])
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return ((1 - torch.exp(-bce)) ** 2 * bce).mean()


class Criterion:
    """The terms of the training loss, by name; a disabled module has no term."""

    def __init__(self, *, iou_reduction: str, outputs: str = "all", **weights: float) -> None:
        """`iou_reduction` (sum or mean) and `outputs` (all or finest) set up the saliency loss. `weights`: λ₁
        `saliency`, λ₂ `collaboration`, λ₃ `classification`; `bce`, of the finest output's cross-entropy."""
        self.weights, self.outputs, self.iou_reduction = weights, outputs, iou_reduction

    def __call__(self, output: TrainingOutput, masks: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """masks (2N,1,H,W) in [0,1], labels (2N,) class indices → unweighted scalar terms."""
        maps = output.side_maps[-1:] if self.outputs == "finest" else output.side_maps
        terms = {"saliency": saliency_loss(maps, masks, reduction=self.iou_reduction)}
        if output.collaboration is not None:
            terms["collaboration"] = collaboration_loss(output.collaboration, masks)
        if output.class_logits is not None:
            terms["classification"] = F.cross_entropy(output.class_logits, labels)  # L_cls, mean over images
        # not in the paper: unlike soft IoU, it has a gradient if a map is confidently wrong
        if self.weights.get("bce"):
            terms["bce"] = F.binary_cross_entropy_with_logits(output.logits, masks)
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Return λ₁ L_sal + λ₂ L_ctm + λ₃ L_cls of the terms that exist, plus the weighted cross-entropy."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
