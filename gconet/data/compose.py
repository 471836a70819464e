"""Composed pictures: an object of another class next to the group's object, with exact masks.

Only the group shows which of the two to mark. In half of the composed pictures, another class's object is
pasted into the group's picture; in the other half, the group's object into another class's picture. So the
seam, size and position do not reveal which one it is. (The idea comes from CADC, Zhang et al., ICCV 2021.)
"""

from collections.abc import Container, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PLAIN, DISTRACTOR_PASTED, OBJECT_PASTED, ABSENT = 0, 1, 2, 3  # kinds of pictures
PLACES = 16  # random positions tried for the pasted object; the one that hides least is used
SMALLEST = 1 / 2.2  # scale of the pasted object: log-uniform between this and 1
MOST_HIDDEN = 0.5  # share of the group's object that may be covered; if more is, the picture stays plain
COARSE = 4  # positions are compared on masks this many times smaller


class Composition(NamedTuple):
    """How the B pictures of a batch are composed."""

    others: np.ndarray  # (B,) int64, pictures of other classes: indices into the dataset's items
    kinds: np.ndarray  # (B,) int64: PLAIN, DISTRACTOR_PASTED, OBJECT_PASTED or ABSENT
    numbers: np.ndarray  # (B,2+2·PLACES) float32 in [0,1): flip, scale, then x and y of each position


def draw_composition(
    sizes: Sequence[int],
    labels: tuple[int, int],
    count: int,
    *,
    share: float,
    seed: tuple[int, ...],
    absent: float = 0.0,
    classes: range | None = None,
    showing: Sequence[Container[int]] = ((), ()),
) -> Composition:
    """Draw a composition for `count` pictures: the first half of class labels[0], the second of labels[1].

    `sizes`: images in each class. On average, a `share` of the pictures is composed, half of them in each
    way. Within a group every distractor comes from a different class, as long as there are enough. Another
    class's picture replaces a share `absent` of them. A pure function of its arguments.

    `classes`: those of the group's set, default all; other sets may have the group's class under another
    name. `showing`: for each label, pictures of other classes that show its object too. If a class has
    no others, the picture stays plain.
    """
    if not count:
        return Composition(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0), np.float32))
    r = np.random.RandomState(list(seed))
    starts = np.cumsum((0, *sizes[:-1]))
    half = count // 2
    known = np.setdiff1d(np.arange(len(sizes)) if classes is None else classes, labels)
    if not len(known):
        chosen = np.repeat(np.array(labels)[::-1], half)  # only two classes: each is the other's distractor
    else:
        rounds = -(-half // len(known))
        chosen = np.concatenate(
            [np.concatenate([r.permutation(known) for _ in range(rounds)])[:half] for _ in range(2)]
        )
    others = starts[chosen] + (r.rand(count) * np.asarray(sizes)[chosen]).astype(np.int64)
    composed, swapped = r.rand(count) < share, r.rand(count) < 0.5
    kinds = np.where(composed, np.where(swapped, OBJECT_PASTED, DISTRACTOR_PASTED), PLAIN)
    numbers = r.rand(count, 2 + 2 * PLACES).astype(np.float32)
    if absent:
        kinds[r.rand(count) < absent] = ABSENT
    for i, c in enumerate(chosen):
        after = (starts[c] + (others[i] - starts[c] + k) % sizes[c] for k in range(sizes[c]))
        usable = next((item for item in after if item not in showing[i // half]), None)
        others[i], kinds[i] = (others[i], PLAIN) if usable is None else (usable, kinds[i])
    return Composition(others, kinds, numbers)


def compose(
    images: Tensor, masks: Tensor, others: Tensor, other_masks: Tensor, kinds: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor]:
    """Compose the pictures of a batch; return them and the masks of the group's object in them.

    images, others (B,3,S,S) and masks, other_masks (B,1,S,S) uint8; kinds (B,), numbers (B,…) as in
    `Composition` → images and masks, uint8 of the same shapes. A mask has the share of each pixel that the
    object covers.
    """
    x, g, y, h = (t.float() / 255 for t in (images, masks, others, other_masks))
    swapped = (kinds == OBJECT_PASTED).view(-1, 1, 1, 1)
    below, below_mask = torch.where(swapped, y, x), torch.where(swapped, h, g)
    cut, cut_mask = torch.where(swapped, x, y), torch.where(swapped, g, h)

    transform, hidden = place(cut_mask, below_mask, numbers)
    warped = warp(torch.cat([cut * cut_mask, cut_mask], 1), transform)
    there = warped[:, 3:]
    colour = warped[:, :3] / there.clamp_min(1e-6)  # of the object only, even on its outline
    inside = 2 * F.avg_pool2d(there, 3, 1, 1, count_include_pad=False) - 1  # a soft edge within the outline
    alpha = torch.minimum(inside.clamp_min(0), there)
    picture = below + alpha * (colour - below)
    mask = torch.where(swapped, alpha, below_mask * (1 - alpha))

    plain = (kinds == PLAIN) | ((kinds == DISTRACTOR_PASTED) & (hidden > MOST_HIDDEN))
    plain |= alpha.amax((1, 2, 3)) == 0  # nothing to paste
    plain = plain.view(-1, 1, 1, 1)
    grey_picture, grey_mask = ((255 * t).round().to(torch.uint8) for t in (picture, mask))
    images, masks = torch.where(plain, images, grey_picture), torch.where(plain, masks, grey_mask)
    absent = (kinds == ABSENT).view(-1, 1, 1, 1)
    return torch.where(absent, others, images), torch.where(absent, 0, masks)


def place(cut: Tensor, below: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Choose where the object `cut` goes; also return the share of the object `below` that it hides.

    Both masks (B,1,S,S) in [0,1]; numbers as in `Composition` → (B,2,3), the affine map from a
    picture's coordinates to those of `cut`, in [-1,1] as in PyTorch's affine_grid; and (B,).
    """
    B, _, S, _ = cut.shape
    low, high = bounding_box(cut)  # (B,2), x and y
    centre, half = (low + high) / 2, (high - low) / 2
    scale = SMALLEST ** numbers[:, 1]
    turn = torch.where(numbers[:, 0] < 0.5, 1.0, -1.0)  # mirrored or not
    places = 2 * numbers[:, 2:].view(B, PLACES, 2) - 1
    places = places * (1 - half * scale[:, None]).clamp_min(0)[:, None]  # inside the picture

    zero = torch.zeros_like(places[:, :, 0])
    across, down = ((turn / scale)[:, None] + zero, (1 / scale)[:, None] + zero)
    shift_x = centre[:, :1] - across * places[:, :, 0]
    shift_y = centre[:, 1:] - down * places[:, :, 1]
    transforms = torch.stack([across, zero, shift_x, zero, down, shift_y], 2).view(B, PLACES, 2, 3)

    size = (S // COARSE, S // COARSE)
    small_cut, small = F.adaptive_avg_pool2d(cut, size), F.adaptive_avg_pool2d(below, size)
    tried = warp(small_cut.repeat_interleave(PLACES, 0), transforms.flatten(0, 1)).view(B, PLACES, *size)
    hidden = (tried * small).sum((2, 3)) / small.sum((2, 3)).clamp_min(1e-6)  # (B,PLACES)
    least = hidden.argmin(1)
    rows = torch.arange(B, device=cut.device)
    return transforms[rows, least], hidden[rows, least]


def bounding_box(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Masks (B,1,S,S) in [0,1] → corners (x, y) of the box around values above 0.5, (B,2) each in [-1,1]. For
    an empty mask the corners are (1, 1) and (-1, -1)."""
    S = masks.shape[-1]
    edges = torch.arange(S + 1, device=masks.device) * (2 / S) - 1
    low, high = [], []
    for axis in (2, 3):  # the maximum over rows leaves columns, x
        there = masks.amax(axis)[:, 0] > 0.5  # (B,S)
        low.append(torch.where(there, edges[:-1], 1.0).amin(1))
        high.append(torch.where(there, edges[1:], -1.0).amax(1))
    return torch.stack(low, 1), torch.stack(high, 1)


def warp(images: Tensor, transforms: Tensor) -> Tensor:
    """Images (B,C,S,S) resampled by (B,2,3) affine maps, bilinear, zero outside."""
    grid = F.affine_grid(transforms, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
