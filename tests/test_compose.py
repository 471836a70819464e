"""Composed pictures: exact masks, nothing that gives the pasted object away."""

import numpy as np
import torch

from gconet.data.compose import (
    ABSENT,
    DISTRACTOR_PASTED,
    OBJECT_PASTED,
    PLACES,
    PLAIN,
    compose,
    draw_composition,
)  # fmt: skip

SIZES = [5] * 40


def draw(share=0.6, count=16, labels=(3, 7), seed=(0, 1, 2), sizes=SIZES, absent=0.0):
    return draw_composition(sizes, labels, count, share=share, seed=seed, absent=absent)


def test_compositions_are_drawn_by_seed_share_and_class():
    first, again, other = draw(), draw(), draw(seed=(0, 1, 3))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first.numbers != other.numbers).all()
    for step in range(50):
        classes = draw(seed=(0, 0, step)).others // 5
        for half in classes[:8], classes[8:]:
            assert len(set(half)) == 8 and not {3, 7} & set(half)
    classes = draw(sizes=[5] * 4, labels=(0, 1)).others // 5
    assert sorted(set(classes[:8])) == sorted(set(classes[8:])) == [2, 3]
    classes = draw(sizes=[5, 5], labels=(1, 0)).others // 5
    assert classes.tolist() == [0] * 8 + [1] * 8
    kinds = np.concatenate([draw(seed=(0, 0, step)).kinds for step in range(200)])
    shares = [(kinds == kind).mean() for kind in (PLAIN, DISTRACTOR_PASTED, OBJECT_PASTED)]
    np.testing.assert_allclose(shares, [0.4, 0.3, 0.3], atol=0.025)
    assert (draw(share=0.0).kinds == PLAIN).all() and (draw(share=1.0).kinds != PLAIN).all()
    assert len(draw(count=0).others) == 0


def pictures(kind):
    """A red 16 × 16 object on black and a blue one on grey, 64 × 64, to be composed as `kind`."""
    x, y = torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.full((1, 3, 64, 64), 90, dtype=torch.uint8)
    g, h = torch.zeros(1, 1, 64, 64, dtype=torch.uint8), torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    x[:, 0, 8:24, 8:24], g[:, :, 8:24, 8:24] = 255, 255
    y[:, :, 30:46, 30:46], h[:, :, 30:46, 30:46] = 0, 255
    y[:, 2, 30:46, 30:46] = 255
    numbers = torch.rand(1, 2 + 2 * PLACES, generator=torch.Generator().manual_seed(0))
    return x, g, y, h, torch.tensor([kind]), numbers


def test_a_picture_without_the_object_is_another_classs_with_an_empty_mask():
    """Their share leaves the other draws as they were."""
    x, g, y, *rest = pictures(ABSENT)
    picture, mask = compose(x, g, y, *rest)
    assert torch.equal(picture, y) and not mask.any()
    plain, absent = (
        np.concatenate([draw(seed=(0, 0, step), absent=share).kinds for step in range(200)])
        for share in (0.0, 0.25)
    )
    np.testing.assert_allclose((absent == ABSENT).mean(), 0.25, atol=0.025)
    assert (absent[absent != ABSENT] == plain[absent != ABSENT]).all()


def test_plain_pictures_hidden_objects_and_empty_masks_paste_nothing():
    x, g, *rest = pictures(PLAIN)
    picture, mask = compose(x, g, *rest)
    assert torch.equal(picture, x) and torch.equal(mask, g)
    x, g, y, h, kinds, numbers = pictures(DISTRACTOR_PASTED)
    h[:], numbers[:, 1] = 255, 0  # a distractor as large as the picture
    picture, mask = compose(x, g, y, h, kinds, numbers)
    assert torch.equal(picture, x) and torch.equal(mask, g)
    for kind in (DISTRACTOR_PASTED, OBJECT_PASTED):
        x, g, y, h, kinds, numbers = pictures(kind)
        (h if kind == DISTRACTOR_PASTED else g).zero_()
        picture, mask = compose(x, g, y, h, kinds, numbers)
        assert torch.equal(picture, x) and torch.equal(mask, g)


def test_a_pasted_distractor_or_object_has_an_exact_mask():
    x, g, *rest = pictures(DISTRACTOR_PASTED)
    picture, mask = compose(x, g, *rest)
    assert torch.equal(mask, g)  # there is room beside it
    assert torch.equal(picture[:, 0], x[:, 0])
    blue = picture[0, 2] > 200
    assert 16**2 / 2.2**2 * 0.6 < blue.sum() <= 16**2 and not (picture[:, :, blue][:, 1] > 0).any()
    x, g, *rest = pictures(OBJECT_PASTED)
    picture, mask = compose(x, g, *rest)
    red, alpha = picture[0, 0].float(), mask[0, 0].float() / 255
    elsewhere = (rest[0][0, 0].float()).clone()
    torch.testing.assert_close(red, elsewhere + alpha * (255 - elsewhere), atol=1.5, rtol=0)
    assert 16**2 / 2.2**2 * 0.6 < (alpha > 0.5).sum() <= 16**2
    assert ((alpha > 0.05) & (alpha < 0.95)).any()  # a soft edge
    torch.testing.assert_close(picture[0, 2].float(), rest[0][0, 2].float() * (1 - alpha), atol=1.5, rtol=0)
    x, g, y, h, kinds, numbers = pictures(OBJECT_PASTED)
    g[:, :, 12, 12], numbers[:, 1] = 0, 0  # one pixel, pasted at full size
    picture, mask = compose(x, g, y, h, kinds, numbers)
    red, blue = picture[0, 0].float(), picture[0, 2].float()
    whole = compose(x, torch.where(x[:, :1] > 0, 255, 0).to(torch.uint8), y, h, kinds, numbers)[0][0].float()
    dark = (red + blue < 60) & (whole[0] + whole[2] > 80)
    assert not dark.any() and mask.min() == 0


def test_one_picture_does_not_depend_on_its_batch():
    parts = [pictures(kind) for kind in (PLAIN, DISTRACTOR_PASTED, OBJECT_PASTED)]
    whole = compose(*(torch.cat(column) for column in zip(*parts, strict=True)))
    for i, part in enumerate(parts):
        for a, b in zip(whole, compose(*part), strict=True):
            assert torch.equal(a[i : i + 1], b)
