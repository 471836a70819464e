"""Resizing on the CPU, one image at a time; flips and rotations on a whole batch, on its device."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def resize_image(image: Image.Image, size: int) -> Tensor:
    """RGB picture of any size → (3,size,size) uint8; bilinear, antialiased."""
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def resize_mask(mask: Image.Image, size: int) -> Tensor:
    """Grey mask of any size → (1,size,size) uint8; nearest, so no new grey levels appear."""
    return torch.from_numpy(np.array(mask.resize((size, size), Image.Resampling.NEAREST)))[None]


def augment(images: Tensor, masks: Tensor, angles: Tensor, flips: Tensor) -> tuple[Tensor, Tensor]:
    """Flip, then rotate each image and its mask about the centre; pixels from outside are zero.

    images (B,3,S,S) and masks (B,1,S,S) uint8, angles (B,) degrees counter-clockwise, flips (B,) bool
    → float32 in [0,1] of the same shapes. Equal to Pillow's `rotate`, bilinear for the images and
    nearest for the masks, except that Pillow rounds to whole grey levels.
    """
    x, g = images.float() / 255, masks.float() / 255
    flips = flips.view(-1, 1, 1, 1)
    x, g = torch.where(flips, x.flip(3), x), torch.where(flips, g.flip(3), g)
    cos, sin = torch.cos(torch.deg2rad(angles)), torch.sin(torch.deg2rad(angles))
    zero = torch.zeros_like(cos)
    # Where an output pixel comes from: the y axis points down, so its source is clockwise of it.
    theta = torch.stack([cos, -sin, zero, sin, cos, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    inside = (grid.abs() <= 1).all(3)[:, None]
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    g = F.grid_sample(g, grid, mode="nearest", padding_mode="border", align_corners=False)
    return x * inside, g * inside
