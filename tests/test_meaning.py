"""Files whose numbers mean something else than they say: read as their owner means them, or refused."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from gconet.data.images import load_image, load_map, load_mask, load_with_opacity
from gconet.data.toy import make_toy_set
from gconet.errors import DataError
from scripts.check_data import check_set
from tests.conftest import NARROW, ROOT

OBJECT = np.zeros((20, 30), bool)
OBJECT[5:15, 8:20] = True
WHITE_ON_BLACK = (255 * OBJECT).astype(np.uint8)
PHOTO = np.asarray(Image.open(ROOT / "data/demo/images/bird/00.jpg").resize((30, 20)))


def save(folder, image, name="a.png", **options):
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(folder / name, **options)
    return folder / name


def coloured(colour, back, opaque=WHITE_ON_BLACK):
    """An object of one colour before another, with an alpha channel."""
    pixels = np.where(OBJECT[..., None], np.uint8(colour), np.uint8(back))
    return Image.fromarray(np.dstack([pixels, opaque]).astype(np.uint8))


def palette(values, *colours):
    image = Image.fromarray(values.astype(np.uint8)).convert("P")
    image.putdata(values.astype(np.uint8).ravel().tolist())
    image.putpalette([number for colour in colours for number in colour])
    return image


MASKS = {
    "grey": WHITE_ON_BLACK,
    "one bit": Image.fromarray(WHITE_ON_BLACK).convert("1"),
    "16 bits up to 255": WHITE_ON_BLACK.astype(np.uint16),
    "16 bits up to 65535": WHITE_ON_BLACK.astype(np.uint16) * 257,
    "12 bits in 16": WHITE_ON_BLACK.astype(np.uint16) * 16,
    "a black object in the alpha channel": coloured((0, 0, 0), (255, 255, 255)),
    "a white object in the alpha channel": coloured((255, 255, 255), (0, 0, 0)),
    "a red object in the alpha channel": coloured((200, 0, 0), (200, 0, 0)),
    "grey with an alpha channel": coloured((0, 0, 0), (0, 0, 0)).convert("LA"),
    "an opaque alpha channel": coloured((255, 255, 255), (0, 0, 0), np.full_like(WHITE_ON_BLACK, 255)),
    "a palette of black and white": palette(OBJECT, (0, 0, 0), (255, 255, 255)),
    "a palette with a transparent entry": palette(OBJECT, (9, 9, 9), (9, 9, 9)),
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_what_its_owner_means(tmp_path, name):
    options = {"transparency": 0} if "transparent" in name else {}
    mask = np.asarray(load_mask(save(tmp_path, MASKS[name], **options)))
    np.testing.assert_array_equal(mask >= 128, OBJECT)
    assert mask[~OBJECT].max() == 0 and mask[OBJECT].min() >= 255


WRONG = {
    "0 and 1": OBJECT.astype(np.uint8),
    "classes": np.where(OBJECT, 15, 0).astype(np.uint8),
    "classes, with a void": np.where(OBJECT, np.where(np.arange(30) < 10, 255, 15), 0).astype(np.uint8),
    "0 and 1 in 16 bits": OBJECT.astype(np.uint16),
    "a palette of dark greys": palette(OBJECT, (0, 0, 0), (1, 1, 1)),
    "dark": np.where(OBJECT, 127, 0).astype(np.uint8),
    "a photograph": PHOTO,
    "red": palette(OBJECT, (0, 0, 0), (128, 0, 0)),
    "red in colours": palette(OBJECT, (0, 0, 0), (128, 0, 0)).convert("RGB"),
    "the border of PASCAL VOC": palette(OBJECT, (0, 0, 0), (224, 224, 192)),
    "brown": Image.new("RGB", (8, 6), (160, 128, 96)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mask_of_other_numbers_is_refused(tmp_path, name):
    path = save(tmp_path, WRONG[name])
    with pytest.raises(DataError, match="a.png"):
        load_mask(path)
    if name in ("0 and 1", "classes", "dark"):
        assert np.asarray(load_map(path)).any()  # a map may be dark


def test_dark_maps_stay_dark_and_masks_of_any_greys_stay_masks(tmp_path):
    dim = np.full((20, 30), 4000, np.uint16)
    assert np.asarray(load_map(save(tmp_path, dim))).max() == 15
    with pytest.raises(DataError, match="a.png.*200"):
        load_map(save(tmp_path, (dim // 20).astype(np.uint16)))
    black = np.zeros((20, 30, 3), np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), black)
    assert np.asarray(load_image(tmp_path / "a.png")).max() == 0
    soft = cv2.GaussianBlur(WHITE_ON_BLACK, (0, 0), 2)
    thin = np.tile(np.uint8([60, 200, 255, 60, 0]), (20, 6))
    for mask in (soft, thin, np.zeros_like(WHITE_ON_BLACK), np.full_like(WHITE_ON_BLACK, 255)):
        np.testing.assert_array_equal(load_mask(save(tmp_path, mask)), mask)
    ringing = np.asarray(load_mask(save(tmp_path, WHITE_ON_BLACK, "a.jpg", quality=30)))
    assert ((ringing >= 128) == OBJECT).mean() > 0.98


def test_every_command_refuses_a_mask_of_0_and_1(run, tmp_path):
    make_toy_set(tmp_path / "data", "toy", classes=2, images_per_class=2, size=48)
    gts = tmp_path / "data/gts/toy"
    for mask in gts.rglob("*.png"):
        save(mask.parent, (np.asarray(Image.open(mask)) // 255).astype(np.uint8), mask.name)
    _, problems = check_set(tmp_path / "data", "toy")
    assert [problem.kind for problem in problems] == ["unusable"] * 4
    given = ["data.train_set=toy", "data.image_size=32", "encoder.weights=none", "data.workers=1", NARROW]
    refused = run("train.py", *given, f"data.root={tmp_path}/data", cwd=tmp_path, status=1).stderr
    [line] = [line for line in refused.splitlines() if "error: " in line]
    assert "gts/toy" in line and "Traceback" not in refused
    for image in (tmp_path / "data/images/toy").rglob("*.jpg"):
        Image.open(image).convert("L").save(image)
    given = ["--maps", tmp_path / "data/images/toy", "--gts", gts]
    assert "gts/toy" in run("scripts/evaluate.py", *given, status=1).stderr


def transparent(kind):
    """PHOTO with junk below its transparent pixels."""
    junk = np.random.RandomState(0).randint(0, 256, PHOTO.shape).astype(np.uint8)
    image = Image.fromarray(np.dstack([np.where(OBJECT[..., None], PHOTO, junk), WHITE_ON_BLACK]))
    if kind == "palette":
        image = Image.fromarray(np.where(OBJECT[..., None], PHOTO, 0).astype(np.uint8)).quantize(200)
        index = np.where(OBJECT, np.asarray(image), 255)
        image.putpalette((image.getpalette() + [0] * 768)[:768])
        image.putdata(index.ravel().tolist())
    return image.convert("LA") if kind == "grey" else image


@pytest.mark.parametrize("kind", ["colours", "grey", "palette"])
def test_transparent_pixels_are_white_and_stay_transparent_in_cut_outs(tmp_path, kind):
    path = save(tmp_path, transparent(kind), **({"transparency": 255} if kind == "palette" else {}))
    picture = np.asarray(load_image(path))
    assert (picture[~OBJECT] == 255).all()
    expected = np.asarray(Image.fromarray(PHOTO).convert("L").convert("RGB")) if kind == "grey" else PHOTO
    assert np.abs(picture[OBJECT].astype(int) - expected[OBJECT]).max() <= (40 if kind == "palette" else 1)
    np.testing.assert_array_equal(load_with_opacity(path)[1], WHITE_ON_BLACK)


def test_a_cut_out_keeps_the_pictures_own_alpha(run, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "maps").mkdir()
    save(tmp_path / "images", transparent("colours"))
    save(tmp_path / "maps", np.full((20, 30), 255, np.uint8))
    run("scripts/cosegment.py", "--images", tmp_path / "images", "--maps", tmp_path / "maps",
        "--output", tmp_path / "out")  # fmt: skip
    cut = np.asarray(Image.open(tmp_path / "out/cutouts/images/a.png"))
    assert (cut[~OBJECT, 3] == 0).all() and (cut[OBJECT, 3] > 200).all()
    assert load_with_opacity(save(tmp_path, PHOTO))[1] is None


def swapped_profile():
    """sRGB with red and blue exchanged, under another name."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    tags = {bytes(profile[at : at + 4]): at + 4 for at in range(132, 132 + 12 * count, 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    profile[red : red + 8], profile[blue : blue + 8] = profile[blue : blue + 8], profile[red : red + 8]
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


@pytest.mark.parametrize(("kind", "options"), [("png", {}), ("webp", {"lossless": True}), ("tiff", {})])
def test_colours_are_those_of_the_pictures_profile(tmp_path, kind, options):
    swapped = swapped_profile()
    path = save(tmp_path, PHOTO[..., ::-1].copy(), f"a.{kind}", icc_profile=swapped, **options)
    assert np.abs(np.asarray(load_image(path)).astype(int) - PHOTO).max() <= 3
    alpha = np.dstack([PHOTO[..., ::-1], WHITE_ON_BLACK])
    picture = np.asarray(load_image(save(tmp_path, alpha, icc_profile=swapped)))
    assert np.abs(picture[OBJECT].astype(int) - PHOTO[OBJECT]).max() <= 3
    assert (picture[~OBJECT] == 255).all()
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for harmless in (b"damaged", same):
        np.testing.assert_array_equal(load_image(save(tmp_path, PHOTO, icc_profile=harmless)), PHOTO)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_grey_pictures_of_any_depth_have_the_same_greys(tmp_path, bits, kind):
    grey = np.asarray(Image.fromarray(PHOTO).convert("L")).copy()
    grey[0, 0] = 255
    deep = grey.astype(np.uint16) << (bits - 8)
    np.testing.assert_array_equal(load_image(save(tmp_path, deep, f"a.{kind}")), np.dstack([grey] * 3))


@pytest.mark.parametrize("bits", [9, 10, 12])
def test_colours_of_few_bits_in_16_are_refused_and_of_16_are_read(tmp_path, bits):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), PHOTO[..., ::-1].astype(np.uint16) << (bits - 8))
    with pytest.raises(DataError, match="a.png"):
        load_image(path)
    cv2.imwrite(str(path), PHOTO[..., ::-1].astype(np.uint16) << 8)
    np.testing.assert_array_equal(load_image(path), PHOTO)


def test_masks_and_maps_are_turned_as_their_exif_says(tmp_path):
    exif, rotate = Image.Exif(), Image.Transpose
    for exif[0x0112], stored in ((3, rotate.ROTATE_180), (6, rotate.ROTATE_90), (8, rotate.ROTATE_270)):
        path = save(tmp_path, Image.fromarray(WHITE_ON_BLACK).transpose(stored), exif=exif)
        for load in (load_mask, load_map):
            np.testing.assert_array_equal(load(path), WHITE_ON_BLACK)


def test_a_map_on_its_side_is_not_squeezed(run, tmp_path):
    for name, pixels in (("gts", WHITE_ON_BLACK), ("maps", WHITE_ON_BLACK.T.copy())):
        (tmp_path / name / "g").mkdir(parents=True)
        save(tmp_path / name / "g", pixels)
    command = ["scripts/evaluate.py", "--maps", tmp_path / "maps", "--gts", tmp_path / "gts"]
    error = run(*command, status=1).stderr
    assert "a.png" in error and "20x30" in error
    save(tmp_path / "maps/g", Image.fromarray(WHITE_ON_BLACK).resize((224, 224)))  # the network's size
    run(*command)
