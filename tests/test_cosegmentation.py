"""Masks, cut-outs and new backgrounds from saved maps."""

import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import Image

from gconet.applications.cosegmentation import (
    blend,
    blur_background,
    cover,
    cut_out,
    find_object,
    keep_large,
    segment,
    soften,
    threshold_map,
)


@pytest.fixture(scope="module")
def disc():
    """A red disc before noisy green (H,W,3), a coarse map of it, and its mask."""
    y, x = np.mgrid[:300, :400]
    mask = (y - 140) ** 2 + (x - 210) ** 2 < 80**2
    noise = np.random.RandomState(0).randint(-20, 21, (300, 400, 3))
    picture = np.where(mask[..., None], [200, 60, 60], [60, 160, 70]) + noise
    rough = ((y - 150) ** 2 / 70**2 + (x - 220) ** 2 / 90**2 < 1) * 230.0
    return picture.astype(np.uint8), cv2.GaussianBlur(rough, (0, 0), 12).astype(np.uint8), mask


def jaccard(a, b):
    return (a & b).sum() / (a | b).sum()


def test_the_mask_follows_the_picture_not_the_coarse_map(disc):
    picture, m, truth = disc
    assert jaccard(threshold_map(m), truth) < 0.85
    assert jaccard(find_object(picture, m), truth) > 0.97
    opacity = segment(picture, m)
    assert jaccard(opacity >= 128, truth) > 0.98
    crisp = np.where(m >= 128, 230, 0).astype(np.uint8)  # a map without doubt is taken at its word
    assert jaccard(segment(picture, crisp) >= 128, crisp > 0) > 0.95
    # the border is soft and narrow
    soft = (opacity > 12) & (opacity < 243)
    y, x = np.mgrid[:300, :400]
    distance = np.abs(np.hypot(y - 140, x - 210) - 80)
    assert soft.sum() > 100 and distance[soft].max() < 16
    np.random.seed(5)
    segment(picture[::-1].copy(), m)
    assert (segment(picture, m) == opacity).all()  # whatever ran before
    with pytest.raises(ValueError, match="the map is"):
        segment(picture, m[:-1])


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (300, 2), (60, 80)])
@pytest.mark.parametrize("level", [0, 1, 100, 255])
def test_empty_and_constant_maps(size, level):
    picture = np.random.RandomState(0).randint(0, 256, (*size, 3)).astype(np.uint8)
    opacity = segment(picture, np.full(size, level, np.uint8))
    assert opacity.shape == size and opacity.dtype == np.uint8
    assert (opacity == (255 if level else 0)).all()
    assert blend(picture, opacity, blur_background(picture, opacity)).shape == picture.shape


def test_small_parts_are_dropped_by_their_share_and_a_small_object_stays():
    m = np.zeros((300, 300), np.uint8)
    m[150, 150] = 255
    opacity = segment(np.random.RandomState(0).randint(0, 256, (300, 300, 3), np.uint8), m)
    assert opacity[150, 150] == 255 and (opacity > 0).sum() == 1
    mask = np.zeros((50, 50), bool)
    mask[:20, :20], mask[30:40, 30:40], mask[45, 45] = True, True, True
    assert keep_large(mask, 0.2).sum() == 500 and keep_large(mask, 0.3).sum() == 400
    assert not keep_large(np.zeros((5, 5), bool)).any() and keep_large(np.ones((5, 5), bool)).all()


def test_cut_out_and_blend_by_hand_and_a_soft_border_of_a_flat_picture_is_level():
    picture = np.full((1, 3, 3), 100, np.uint8)
    opacity = np.uint8([[0, 51, 255]])
    rgba = cut_out(picture, opacity)
    assert rgba.tolist() == [[[0, 0, 0, 0], [100, 100, 100, 51], [100, 100, 100, 255]]]
    assert blend(picture, opacity, np.full((1, 1, 3), 200, np.uint8))[0, :, 0].tolist() == [200, 180, 100]

    flat = np.full((100, 100, 3), 90, np.uint8)
    mask = np.zeros((100, 100), bool)
    mask[:, 50:] = True
    opacity = soften(flat, mask)
    assert (opacity[:, :44] == 0).all() and (opacity[:, 56:] == 255).all()
    assert (np.diff(opacity[50].astype(int)) >= 0).all()


def test_a_blurred_background_holds_no_colour_of_the_object(disc):
    picture, _, mask = disc
    blurred = blur_background(picture, 255 * mask.astype(np.uint8)).astype(int)
    assert blurred[..., 0].max() < 75 and abs(blurred[..., 1].mean() - 160) < 5


def test_a_background_picture_covers_without_distortion():
    background = np.zeros((100, 300, 3), np.uint8)
    background[:, 150:] = 200
    covered = cover(background, 50, 50)
    assert covered.shape == (50, 50, 3) and covered[:, :24].max() == 0 and covered[:, 26:].min() == 200
    assert cover(background, 7, 1000).shape == (1000, 7, 3)
    assert (cover(np.full((1, 1, 3), 9, np.uint8), 30, 20) == 9).all()


@pytest.fixture
def hairy():
    """A composite of 1000 pixels: a hairy red star before green (H,W,3), a coarse map of it, its opacity
    (H,W) float, and its own colours."""
    h, w, random = 750, 1000, np.random.RandomState(0)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    reach = 220 * (1 + 0.1 * np.sin(5 * angle))
    rim = np.stack([510 + reach * np.cos(angle), 370 + reach * np.sin(angle)], 1)
    body = cv2.fillPoly(np.zeros((h, w), np.uint8), [rim.astype(np.int32)], 255)
    alpha = body.copy()
    for i in random.randint(0, 400, 1500):
        turn = angle[i] + 0.4 * random.randn()
        tip = rim[i] + random.uniform(4, 9) * np.array([np.cos(turn), np.sin(turn)])
        cv2.line(alpha, *(tuple(map(int, 16 * end)) for end in (rim[i], tip)), 255, 1, cv2.LINE_AA, 4)
    alpha = cv2.GaussianBlur(alpha.astype(np.float32) / 255, (0, 0), 1.0)[..., None]
    own = np.array([190, 70, 50]) + 15 * cv2.GaussianBlur(random.randn(h, w, 1), (0, 0), 3)[..., None]
    behind = np.array([50, 140, 90]) + 40 * cv2.GaussianBlur(random.randn(h, w, 1), (0, 0), 8)[..., None]
    picture = np.clip(alpha * own + (1 - alpha) * behind + 2 * random.randn(h, w, 1), 0, 255)
    m = cv2.GaussianBlur(np.roll(body, (5, -7), (0, 1)), (0, 0), 12)
    return picture.astype(np.uint8), m, alpha[..., 0], own


def test_hair_is_found_at_the_pictures_own_resolution_in_its_own_colours(hairy):
    picture, m, alpha, own = hairy
    opacity, soft = segment(picture, m), ((alpha > 0.02) & (alpha < 0.98)).astype(np.uint8)
    band = cv2.dilate(soft, np.ones((21, 21), np.uint8)) > 0
    error = np.abs(opacity[band] / 255 - alpha[band]).mean()
    assert error < 0.5 * 0.0652  # by a filter that saw 240 pixels only, as it was before
    # and the colours of the background are not in the cut-out
    green = np.full_like(picture, (0, 255, 0))
    for opacity in (opacity, (255 * alpha + 0.5).astype(np.uint8)):  # noqa: B020
        share = opacity[..., None] / 255
        true = alpha[..., None] * own + (1 - alpha[..., None]) * green
        plain = np.abs(share * picture + (1 - share) * green - true)[band].mean()
        clean = np.abs(blend(picture, opacity, green) - true)[band].mean()
        assert clean < 0.9 * plain
    assert clean < 0.5 * plain  # if the opacity is right
    np.testing.assert_array_equal(cut_out(picture, opacity)[opacity == 255, :3], picture[opacity == 255])


def test_a_large_picture_needs_little_memory_beside_its_opacity():
    picture = np.full((2400, 3200, 3), 90, np.uint8)
    picture[600:1800, 800:2400] = 200
    mask = picture[..., 0] > 100
    tracemalloc.start()
    opacity = soften(picture, mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ((opacity >= 128) == mask).mean() > 0.999
    assert peak < 8 * mask.size  # bytes; a mask of floats takes 4, the opacity 1


@pytest.fixture
def folders(tmp_path, disc):
    picture, m, mask = disc
    for name, folder in (("a", "g<1>"), ("b", "g<1>"), ("c c", "h")):
        for kind, pixels in (("images", picture), ("maps", m), ("gts", 255 * mask.astype(np.uint8))):
            (tmp_path / kind / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / kind / folder / f"{name}.png")
    return tmp_path


def arguments(folders, **changes):
    options = {kind: folders / kind for kind in ("images", "maps")} | {"output": folders / "out"} | changes
    return ["scripts/cosegment.py", *(text for k, v in options.items() for text in (f"--{k}", v))]


def test_the_command_writes_masks_cutouts_backgrounds_and_a_page(run, folders):
    for background in ("blur", folders / "images/h/c c.png"):
        done = run(*arguments(folders, gts=folders / "gts", background=background), "--overwrite")
    assert "3 cut-outs in" in done.stdout and not done.stderr
    maps, own = (line.split()[-4:] for line in done.stdout.splitlines() if line.startswith(("maps", "cut-")))
    assert float(maps[3]) < 0.85 and float(own[1]) > 0.94  # J at twice the mean, J at 0.5
    files = {str(p.relative_to(folders / "out")) for p in (folders / "out").rglob("*.*") if p.is_file()}
    for stem in ("g<1>/a", "g<1>/b", "h/c c"):
        assert {f"masks/{stem}.png", f"cutouts/{stem}.png", f"backgrounds/{stem}.jpg"} <= files
    assert len(files) == 9 + 3 * 5 + 2  # small pictures of five kinds, index.html and the mark
    cutout, mask = (Image.open(folders / f"out/{k}/h/c c.png") for k in ("cutouts", "masks"))
    assert cutout.mode == "RGBA" and ((np.asarray(cutout)[..., 3] >= 128) == (np.asarray(mask) == 255)).all()
    page = (folders / "out/index.html").read_text()
    assert "cutouts/h/c%20c.png" in page and "new background" in page and "g<1>" not in page


def test_wrong_arguments_are_named_and_nothing_written(run, folders):
    def refused(status, text, **changes):
        before = sorted(folders.rglob("*"))
        assert text in run(*arguments(folders, **changes), status=status).stderr
        assert sorted(folders.rglob("*")) == before

    refused(2, "nocolour", background="nocolour")
    refused(2, "--maps", output=folders / "maps/out")
    refused(2, "--output", output=folders)
    for path in (folders / "maps").rglob("*.png"):
        path.rename(path.with_name(f"other {path.name}"))
    refused(1, "no map", maps=folders / "maps")


def test_pictures_without_a_map_or_with_one_of_another_size_are_left_out(run, folders):
    options = arguments(folders, gts=folders / "gts")
    run(*options)
    before = (folders / "out/masks/h/c c.png", folders / "out/cutouts/h/c c.png")
    (folders / "maps/h/c c.png").unlink()
    done = run(*options, "--overwrite", status=1)
    assert "2 cut-outs in" in done.stdout and "c c.png has no map; make one" in done.stderr
    assert not any(path.exists() for path in before)  # that would be of another map
    Image.new("L", (40, 30), 255).save(folders / "maps/h/c c.png")
    error = run(*options, "--overwrite", status=1).stderr
    assert "c c.png" in error and "40x30" in error and "400x300" in error
