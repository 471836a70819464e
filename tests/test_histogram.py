"""P and J of thresholded maps."""

import numpy as np
import pytest

from gconet.evaluation import score_map
from gconet.evaluation.histogram import adaptive_level, joint_histogram, precision_jaccard


def figures(m, g, level):
    return precision_jaccard(joint_histogram(np.uint8(m), np.uint8(g)), level)


def test_by_hand_and_in_a_maps_score():
    m, g = [[255, 200, 100, 0]], [[255, 0, 255, 0]]
    assert figures(m, g, 128) == (0.5, 1 / 3)  # one hit, one false alarm, one miss
    assert figures(m, g, 201) == (0.75, 0.5)
    assert figures([[0, 0]], [[0, 127]], 128) == (1, 1)  # no object anywhere
    assert figures([[0, 0]], [[0, 128]], 128) == (0.5, 0)
    r = np.random.RandomState(0)
    for _ in range(20):
        m = (r.rand(7, 9) ** 3 * 255).astype(np.uint8)
        g = np.where(r.rand(7, 9) > 0.7, 255, r.randint(0, 256)).astype(np.uint8)
        score, truth = score_map(m, g), g >= 128
        for cut, p, j in (
            (m / 255 >= 0.5, score.figures["p_half"], score.figures["j_half"]),
            (m >= min(2 * m.mean(), m.max()), score.figures["p_adaptive"], score.figures["j_adaptive"]),
        ):
            assert p == pytest.approx((cut == truth).mean())
            assert j == pytest.approx((cut & truth).sum() / (cut | truth).sum())


@pytest.mark.parametrize(("m", "level"), [
    ([0, 0, 0, 0], 1),  # nothing is object
    ([255, 255], 255),  # twice the mean, but at most the maximum
    ([9, 9, 9], 9), ([0, 0, 0, 100], 50),
    ([0, 0, 0, 101], 51),  # 50.5: level 50 lies below
])  # fmt: skip
def test_the_adaptive_level(m, level):
    assert adaptive_level(np.bincount(m, minlength=256)) == level
