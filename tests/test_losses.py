"""The losses against tables worked out by hand."""

import math

import pytest
import torch
from torchvision.ops import sigmoid_focal_loss

from gconet.losses import Criterion, collaboration_loss, saliency_loss, soft_iou_loss
from gconet.models.training import TrainingOutput


def maps(*rows):
    return torch.tensor(rows).view(len(rows), 1, 1, -1)


@pytest.mark.parametrize(("m", "g", "loss"), [
    ([1.0, 0.0], [1.0, 0.0], 0.0),  # equal
    ([1.0, 0.0], [0.0, 1.0], 1.0),  # disjoint
    ([0.5, 0.0], [1.0, 0.0], 0.5),  # 1 - 0.5 / (0.5 + 1 - 0.5)
    ([0.5, 0.5], [1.0, 0.0], 1 - 0.5 / 1.5),
    ([0.5, 0.5], [0.5, 0.0], 1 - 0.25 / 1.25),  # a grey mask
    ([0.0, 0.0], [0.0, 0.0], 0.0),  # both empty: agreement, and no NaN
    ([0.3, 0.0], [0.0, 0.0], 1.0),
])  # fmt: skip
def test_soft_iou(m, g, loss):
    assert soft_iou_loss(maps(m), maps(g)).tolist() == pytest.approx([loss])


def test_soft_iou_is_reduced_and_has_a_finite_gradient():
    m, g = maps([1.0, 0.0], [0.0, 1.0], [0.5, 0.0]), maps([1.0, 0.0], [1.0, 0.0], [1.0, 0.0])
    four = (m, m, m, m)  # per image 0, 1, 0.5
    assert saliency_loss(four, g, reduction="sum").item() == pytest.approx(4 * 1.5)
    assert saliency_loss(four, g, reduction="mean").item() == pytest.approx(4 * 0.5)
    m = torch.zeros(2, 1, 2, 2, requires_grad=True)
    soft_iou_loss(m, torch.zeros(2, 1, 2, 2)).sum().backward()
    assert m.grad is not None and m.grad.isfinite().all()


def test_focal_loss_of_both_halves_grey_pixels_and_binary_masks():
    logits = maps([0.0], [math.log(3)])  # sigmoid: 0.5 own, 0.75 crossed
    masks = maps([1.0])
    own, crossed = 0.5**2 * math.log(2), 0.75**2 * math.log(4)  # (1-pt)^2 * -log(pt)
    assert collaboration_loss(logits, masks).item() == pytest.approx((own + crossed) / 2)
    bce = -0.5 * (math.log(0.75) + math.log(0.25))  # target 0.5, sigmoid 0.75
    own, crossed = (1 - math.exp(-bce)) ** 2 * bce, 0.5**2 * math.log(2)
    loss = collaboration_loss(maps([math.log(3)], [0.0]), maps([0.5]))
    assert loss.item() == pytest.approx((own + crossed) / 2)
    logits, masks = 3 * torch.randn(4, 1, 5, 5), (torch.rand(2, 1, 5, 5) > 0.5).float()
    target = torch.cat([masks, torch.zeros_like(masks)])
    theirs = sigmoid_focal_loss(logits, target, alpha=-1, gamma=2, reduction="mean")
    torch.testing.assert_close(collaboration_loss(logits, masks), theirs)


def test_outputs_and_terms_are_settings():
    m = maps([1.0, 0.0], [0.0, 1.0])
    both = torch.zeros(4, 1, 1, 2)
    classes = torch.tensor([[math.log(2), 0.0, 0.0], [math.log(2), 0.0, 0.0]])
    full = TrainingOutput((m, m, m, m), both, classes, m, m)
    criterion = Criterion(saliency=2.0, collaboration=10.0, classification=0.5, iou_reduction="sum")
    terms = criterion(full, maps([1.0, 0.0], [1.0, 0.0]), torch.tensor([0, 2]))
    assert {name: t.item() for name, t in terms.items()} == pytest.approx(
        {"saliency": 4.0, "collaboration": 0.25 * math.log(2), "classification": 1.5 * math.log(2)}
    )
    assert criterion.total(terms).item() == pytest.approx(8 + 3.25 * math.log(2))
    bare = TrainingOutput((m, m, m, m), None, None, m, m)
    assert list(criterion(bare, m, torch.tensor([0, 2]))) == ["saliency"]
    right, wrong = maps([1.0, 0.0], [0.0, 1.0]), maps([0.0, 1.0], [1.0, 0.0])
    logits = torch.tensor([0.0, math.log(3), 0.0, 0.0]).view(2, 1, 1, 2)
    output = TrainingOutput((wrong, wrong, wrong, right), None, None, right, logits)
    weights = {"saliency": 1.0, "collaboration": 0.0, "classification": 0.0}
    criterion = Criterion(**weights, iou_reduction="sum", outputs="finest", bce=60.0)
    terms = criterion(output, right, torch.tensor([0, 2]))
    bce = (3 * math.log(2) + math.log(4)) / 4  # of log 2 thrice, and of a certain 3:1 that is wrong
    assert {n: t.item() for n, t in terms.items()} == pytest.approx({"saliency": 0.0, "bce": bce})
    assert criterion.total(terms).item() == pytest.approx(60 * bce)
