"""Flips and rotations: Pillow's, on whole batches, images and masks alike."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from gconet.data.transforms import augment, resize_image, resize_mask

ANGLES = (0.0, 90.0, -90.0, 45.0, 37.3, -61.7)


@pytest.fixture
def pictures():
    r = np.random.RandomState(0)
    smooth = [cv2.resize(r.randint(0, 256, (9, 9, 3)).astype(np.uint8), (96, 96)) for _ in ANGLES]
    blocks = [
        cv2.resize(r.randint(0, 256, (8, 8)).astype(np.uint8), (96, 96), interpolation=0) for _ in ANGLES
    ]
    return smooth, blocks


def batch(pictures, angles, flips):
    images = torch.from_numpy(np.stack(pictures[0])).permute(0, 3, 1, 2)
    masks = torch.from_numpy(np.stack(pictures[1]))[:, None]
    return augment(images, masks, torch.tensor(angles), torch.tensor(flips))


@pytest.mark.parametrize("flip", [False, True])
def test_equals_pillow_within_rounding(pictures, flip):
    images, masks = batch(pictures, ANGLES, [flip] * len(ANGLES))
    for i, angle in enumerate(ANGLES):
        image, mask = Image.fromarray(pictures[0][i]), Image.fromarray(pictures[1][i])
        if flip:
            image, mask = (p.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for p in (image, mask))
        theirs = np.asarray(image.rotate(angle, Image.Resampling.BILINEAR)).astype(float)
        ours = images[i].permute(1, 2, 0).numpy() * 255
        assert np.abs(ours - theirs).max() < 1.01  # Pillow truncates to whole levels
        theirs = np.asarray(mask.rotate(angle, Image.Resampling.NEAREST))
        assert (np.rint(masks[i, 0].numpy() * 255) != theirs).mean() < 0.002  # ties on pixel borders


def test_masks_turn_with_their_images_and_resizing_is_antialiased():
    r = np.random.RandomState(1)
    grey = cv2.resize(r.randint(0, 2, (6, 6)).astype(np.uint8) * 255, (96, 96), interpolation=0)
    images, masks = batch(([np.stack([grey] * 3, 2)] * 4, [grey] * 4), [30.0, -80.0, 5.0, 90.0],
                          [True, False, True, True])  # fmt: skip
    differ = ((images[:, :1] > 0.5) != (masks > 0.5)).float().mean((1, 2, 3))
    assert (differ < 0.03).all()  # but for the pixels along edges
    white = ([np.full((96, 96, 3), 255, np.uint8)], [np.full((96, 96), 255, np.uint8)])
    images, masks = batch(white, [45.0], [False])
    assert images[0, :, 0, 0].max() == 0 and masks[0, 0, 0, 0] == 0
    assert images[0, :, 48, 48].min() == 1 and masks[0, 0, 48, 48] == 1
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    small = resize_image(Image.fromarray(np.stack([stripes] * 3, 2)), 16)
    assert small.shape == (3, 16, 16) and small.dtype == torch.uint8
    assert abs(small.float().mean().item() - 127.5) < 2 and small.float().std() < 10
    mask = resize_mask(Image.fromarray(stripes), 16)
    assert mask.shape == (1, 16, 16) and set(mask.unique().tolist()) <= {0, 255}
