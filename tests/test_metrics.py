"""The scores of one map: against the slow loop, against pysodmetrics, by hand and at the edges."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gconet.evaluation import CONVENTIONS, score_map
from gconet.evaluation.histogram import adaptive_level, joint_histogram, precision_jaccard
from gconet.evaluation.metrics import CURVES, thresholds
from gconet.evaluation.scores import area_under_roc, average_precision, summarise
from tests.thresholding_loop import score_by_thresholding

py_sod_metrics = pytest.importorskip("py_sod_metrics")
bounded = settings(max_examples=60, deadline=None, derandomize=True)

sides = st.integers(1, 24)
seeds = st.integers(0, 2**31)


def draw(height, width, seed, levels):
    """A random 8-bit picture (H, W) of that many grey levels, anywhere in 0 to 255."""
    noise = np.random.RandomState(seed)
    palette = noise.choice(256, levels, replace=False).astype(np.uint8)
    return palette[noise.randint(0, levels, (height, width))]


def test_thresholds_and_histogram_are_exact():
    expected = torch.linspace(0, 1 - 1e-10, 255).double().numpy()
    assert thresholds("toolbox").tobytes() == expected.tobytes()
    side = 4097  # side² is odd and above 2^24
    nothing = np.zeros((side, side), np.uint8)
    assert joint_histogram(nothing, nothing)[0, 0] == side**2


@bounded
@given(sides, sides, seeds, st.sampled_from([1, 2, 3, 128, 256]), st.sampled_from([1, 2, 5, 256]))
def test_toolbox_equals_the_thresholding_loop(height, width, seed, map_levels, mask_levels):
    map_u8 = draw(height, width, seed, map_levels)
    gt_u8 = draw(height, width, seed + 1, mask_levels)
    if height * width == 1:  # the loop's E divides by pixels - 1
        return
    ours = score_map(map_u8, gt_u8)
    loop = score_by_thresholding(map_u8, gt_u8)
    for name, curve in zip(CURVES, ours.curves, strict=True):
        np.testing.assert_allclose(curve, loop[name], rtol=0, atol=1e-9, err_msg=name)
    assert ours.figures["mae"] == pytest.approx(loop["mae"], abs=1e-7)
    if np.isfinite(loop["s_measure"]):
        assert ours.figures["s_measure"] == pytest.approx(loop["s_measure"], abs=1e-6)


@pytest.mark.parametrize("span", [1, 2, 127, 254])
@pytest.mark.parametrize("low", [0, 1])
def test_levels_that_coincide_with_thresholds(span, low):
    levels = np.arange(low, low + span + 1, dtype=np.uint8)
    map_u8, gt_u8 = np.stack([levels, levels]), np.stack([255 - levels, levels])
    loop = score_by_thresholding(map_u8, gt_u8)
    recall = score_map(map_u8, gt_u8).curves[CURVES.index("recall")]
    np.testing.assert_allclose(recall, loop["recall"], rtol=0, atol=1e-12)


def score_by_pysodmetrics(map_u8, gt_u8):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = [getattr(py_sod_metrics, name)() for name in ("MAE", "Fmeasure", "Emeasure", "Smeasure")]
        for metric in metrics:
            metric.step(map_u8, gt_u8)
    mae, f, e, s = (metric.get_results() for metric in metrics)
    curves = {"f": f["fm"]["curve"], "e": e["em"]["curve"], "precision": f["pr"]["p"], "recall": f["pr"]["r"]}
    scores = {name: curve[::-1] for name, curve in curves.items()}  # theirs fall from threshold 255 to 0
    return {"mae": mae["mae"], "s_measure": s["sm"], **scores}


@bounded
@given(st.integers(2, 40), st.integers(2, 40), seeds, st.booleans(), st.sampled_from([2, 256]))
def test_pysodmetrics_equals_the_package(height, width, seed, black_and_white, mask_levels):
    # few grey levels would leave quadrants of one grey, whose S hangs on pysodmetrics' rounding noise
    map_u8 = draw(height, width, seed, 256)
    if black_and_white:
        map_u8 = np.where(map_u8 > 128, np.uint8(255), np.uint8(0))
    gt_u8 = draw(height, width, seed + 1, mask_levels)
    ours, theirs = score_map(map_u8, gt_u8, "pysodmetrics"), score_by_pysodmetrics(map_u8, gt_u8)
    for name in ("f", "e", "precision", "recall"):
        np.testing.assert_allclose(ours.curves[CURVES.index(name)], theirs[name], rtol=0, atol=1e-9)
    assert ours.figures["mae"] == pytest.approx(theirs["mae"], abs=1e-9)
    if np.isfinite(theirs["s_measure"]):
        assert ours.figures["s_measure"] == pytest.approx(theirs["s_measure"], abs=1e-9)


def test_perfect_and_constant_maps():
    gt_u8 = np.zeros((20, 30), np.uint8)
    gt_u8[5:12, 8:20] = 255
    for convention in CONVENTIONS:
        whole = summarise([score_map(gt_u8, gt_u8, convention)], convention=convention)
        assert whole.figures["mae"] == 0
        perfect = [whole.figures[name] for name in ("s_measure", "max_f", "ap", "auc")]
        assert perfect == pytest.approx([1, 1, 1, 1])
    map_u8, gt_u8 = np.full((6, 5), 100, np.uint8), draw(6, 5, seed=3, levels=2)
    ours, theirs = score_map(map_u8, gt_u8, "pysodmetrics"), score_by_pysodmetrics(map_u8, gt_u8)
    assert ours.figures["mae"] == pytest.approx(theirs["mae"])
    np.testing.assert_allclose(ours.curves[CURVES.index("f")], theirs["f"], rtol=0, atol=1e-12)
    ours = score_map(map_u8, np.zeros_like(gt_u8), "pysodmetrics")
    assert ours.figures["s_measure"] == pytest.approx(155 / 255)
    ramp, nothing, everything = EDGES["ramp"], EDGES["nothing"], EDGES["everything"]
    assert score_map(ramp, nothing).figures["s_measure"] == pytest.approx(1 - (ramp / 62).mean())
    assert score_map(ramp, everything).figures["s_measure"] == pytest.approx((ramp / 62).mean())


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_map_that_contradicts_its_mask_scores_zero_not_less(convention):
    gt_u8 = np.zeros((20, 30), np.uint8)
    gt_u8[5:12, 8:20] = 255
    assert score_map(255 - gt_u8, gt_u8, convention).figures["s_measure"] == 0


def test_areas_and_maps_by_hand():
    # the envelope of precision is 0.8 up to recall 0.5, 0.6 up to 0.75, then 0
    precision, recall = np.array([0.6, 0.5, 0.8, 0.1]), np.array([0.75, 0.6, 0.5, 0.25])
    assert average_precision(precision, recall) == pytest.approx(0.5 * 0.8 + 0.25 * 0.6)
    # trapezoids from 0 to 0.5 and from 0.5 to 1; at 0 the point of the highest threshold counts
    recall, fpr = np.array([1.0, 0.8, 0.4, 0.2]), np.array([1.0, 0.5, 0.0, 0.0])
    assert area_under_roc(recall, fpr) == pytest.approx(0.5 * (0.2 + 0.8) / 2 + 0.5 * (0.8 + 1) / 2)
    map_u8, gt_u8 = np.array([[255, 128], [0, 0]], np.uint8), np.array([[255, 0], [0, 0]], np.uint8)
    ours = score_map(map_u8, gt_u8)
    f, e, precision, recall, fpr = ours.curves
    assert ours.figures["mae"] == pytest.approx(128 / 255 / 4)
    half = 127  # thresholds 1 … 127 lie in (0, 128 / 255], the rest above
    assert precision[[0, 1, half, half + 1, 254]] == pytest.approx([1 / 4, 1 / 2, 1 / 2, 1, 1])
    assert recall == pytest.approx(np.ones(255))
    assert fpr[[0, half, half + 1]] == pytest.approx([1, 1 / 3, 0])
    assert f[[half, half + 1]] == pytest.approx([1.3 * 0.5 / (0.3 * 0.5 + 1), 1])
    # at threshold 0 the map is constant, so nothing aligns: 4 pixels at 1/4; a perfect one has 4 at 1
    assert e[[0, 254]] == pytest.approx([4 / 4 / 3, 4 / 3])


EDGES = {
    "nothing": np.zeros((9, 7), np.uint8), "everything": np.full((9, 7), 255, np.uint8),
    "grey": np.full((9, 7), 100, np.uint8), "light grey": np.full((9, 7), 200, np.uint8),
    "first pixel": np.pad(np.full((1, 1), 255, np.uint8), ((0, 8), (0, 6))),
    "last pixel": np.pad(np.full((1, 1), 255, np.uint8), ((8, 0), (6, 0))),
    "all but one pixel": np.pad(np.zeros((1, 1), np.uint8), ((4, 4), (3, 3)), constant_values=255),
    "ramp": np.arange(63, dtype=np.uint8).reshape(9, 7),
}  # fmt: skip


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("mask", EDGES)
@pytest.mark.parametrize("map_", EDGES)
def test_edges_are_defined(map_, mask, convention):
    score = score_map(EDGES[map_], EDGES[mask], convention)
    pixels = EDGES[map_].size
    assert np.isfinite(score.curves).all()
    assert score.curves.min() >= 0
    assert score.curves.max() <= pixels / (pixels - 1) + 1e-12
    for figure in summarise([score], convention=convention).figures.values():
        assert 0 <= figure <= pixels / (pixels - 1) + 1e-12


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2)])
def test_tiny_pictures_and_any_memory_layout(shape):
    map_u8, gt_u8 = draw(*shape, seed=1, levels=9), draw(*shape, seed=2, levels=9)
    plain = score_map(map_u8, gt_u8)
    other = score_map(np.asfortranarray(map_u8), np.repeat(gt_u8, 2, axis=1)[:, ::2])
    assert np.isfinite(plain.curves).all()
    assert other.figures == plain.figures
    np.testing.assert_array_equal(other.curves, plain.curves)


@pytest.mark.parametrize(("map_u8", "gt_u8", "convention", "message"), [
    (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), "toolbox", "one .H, W."),
    (np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.uint8), "toolbox", "one .H, W."),
    (np.zeros((2, 3)), np.zeros((2, 3), np.uint8), "toolbox", "8-bit"),
    (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8), "matlab", "toolbox, pysodmetrics"),
])  # fmt: skip
def test_wrong_input_is_refused(map_u8, gt_u8, convention, message):
    with pytest.raises(ValueError, match=message):
        score_map(map_u8, gt_u8, convention)


def p_and_j(m, g, level):
    return precision_jaccard(joint_histogram(np.uint8(m), np.uint8(g)), level)


def test_p_and_j_by_hand_and_in_a_maps_score():
    m, g = [[255, 200, 100, 0]], [[255, 0, 255, 0]]
    assert p_and_j(m, g, 128) == (0.5, 1 / 3)  # one hit, one false alarm, one miss
    assert p_and_j(m, g, 201) == (0.75, 0.5)
    assert p_and_j([[0, 0]], [[0, 127]], 128) == (1, 1)  # no object anywhere
    assert p_and_j([[0, 0]], [[0, 128]], 128) == (0.5, 0)
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
