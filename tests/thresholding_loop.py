"""The slow way to score a map: binarise it at each of 255 thresholds and pass over the pixels.

It computes what eval-co-sod computes, but sums in float64: the second opinion of the tests.
"""

import numpy as np
import torch

TINY = 1e-20


def score_by_thresholding(map_u8: np.ndarray, gt_u8: np.ndarray) -> dict[str, np.ndarray]:
    """MAE, S-measure and the 255-point curves of a map (H, W) and its mask (H, W), both 8-bit.

    The map is read and stretched in float32. NaN where the toolbox has NaN: an S-measure with an empty
    quadrant or a single pixel of object or background.
    """
    raw = torch.from_numpy(map_u8.astype(np.float32)) / 255
    gt = torch.from_numpy(gt_u8.astype(np.float64)) / 255
    m = (raw - raw.min()) / (raw.max() - raw.min() + TINY)
    binary = (m >= torch.linspace(0, 1 - 1e-10, 255)[:, None, None]).double()  # (255, H, W)
    true, false = (binary * gt).sum((1, 2)), (binary * (1 - gt)).sum((1, 2))
    precision, recall = true / (binary.sum((1, 2)) + TINY), true / (gt.sum() + TINY)
    b, g = binary - binary.mean((1, 2), keepdim=True), gt - gt.mean()
    aligned = 2 * g * b / (g * g + b * b + TINY)
    scores = {
        "mae": (raw.double() - gt).abs().mean(),
        "s_measure": structure(m.double(), gt),
        "f": torch.nan_to_num(1.3 * precision * recall / (0.3 * precision + recall), nan=0.0),
        "e": ((aligned + 1) ** 2 / 4).sum((1, 2)) / (gt.numel() - 1 + TINY),
        "precision": precision,
        "recall": recall,
        "fpr": false / ((1 - gt).sum() + TINY),
    }
    return {name: value.numpy() for name, value in scores.items()}


def structure(m: torch.Tensor, gt: torch.Tensor) -> torch.Tensor:
    """S-measure of a stretched map."""
    if gt.mean() == 0:
        return 1 - m.mean()
    if gt.mean() == 1:
        return m.mean()
    front = (gt >= 0.5).to(m.dtype)
    share = front.mean()
    if share in (0, 1):  # a grey mask all on one side of 0.5: the other side's mean is NaN
        return torch.tensor(torch.nan)
    objects = share * similarity(m[front == 1]) + (1 - share) * similarity(1 - m[front == 0])

    h, w = front.shape
    total = front.sum()
    row = int(torch.round((front.sum(1) * torch.arange(h)).sum().float() / total.float()))
    column = int(torch.round((front.sum(0) * torch.arange(w)).sum().float() / total.float()))
    regions = torch.zeros(())
    for rows in (slice(0, row), slice(row, h)):
        for columns in (slice(0, column), slice(column, w)):
            part, truth = m[rows, columns], front[rows, columns]
            regions = regions + part.numel() / m.numel() * compare(part, truth)
    return torch.clamp((objects + regions) / 2, min=0)


def similarity(x: torch.Tensor) -> torch.Tensor:
    """Object score of the map's values over object or background."""
    mean = x.mean()
    variance = ((x - mean) ** 2).sum() / (x.numel() - 1)
    return 2 * mean / (mean * mean + 1 + variance.sqrt() + TINY)


def compare(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Structural similarity of map and mask in a quadrant."""
    # the mean of equal pixels can differ from them by rounding, and that noise would decide below
    dx = x - x.mean() if x.numel() and x.max() > x.min() else torch.zeros_like(x)
    dy, pairs = y - y.mean(), x.numel() - 1 + TINY
    covariance, variances = (dx * dy).sum() / pairs, (dx * dx + dy * dy).sum() / pairs
    above = 4 * x.mean() * y.mean() * covariance
    below = (x.mean() ** 2 + y.mean() ** 2) * variances
    if above != 0:
        return above / (below + TINY)
    return torch.tensor(1.0 if below == 0 else 0.0)
