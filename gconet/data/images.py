"""Reading pictures, masks and maps: whatever the file holds becomes 8-bit RGB or 8-bit grey."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

from gconet.errors import ConfigError, DataError

# What is decoded, whatever a file's suffix: Pillow knows more, some of it by starting other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
TURNS = {  # EXIF's orientation → what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LIMIT = "GCONET_MAX_PIXELS"  # environment variable: most pixels of a picture


def load_image(path: Path) -> Image.Image:
    """The picture at `path` as 8-bit RGB, upright (its EXIF orientation applied, if it can be read).

    Grey, palette, CMYK and 16-bit files are converted; an alpha channel is dropped. Raises DataError
    where the file cannot be decoded or has too many pixels, ConfigError if `LIMIT` is not a number.
    """
    return _decode(path, _as_rgb)


def to_rgb(picture: Image.Image | np.ndarray) -> Image.Image:
    """A picture in memory as `load_image` gives one; an array is (H,W,3) RGB or (H,W) grey, uint8.

    Raises DataError for other arrays and for a picture whose file turns out to be damaged.
    """
    if isinstance(picture, np.ndarray):
        H, W, *channels = picture.shape if picture.ndim > 1 else (0, 0)
        if picture.dtype != np.uint8 or channels not in ([], [3]) or 0 in (H, W):
            raise DataError(
                f"an array of shape {picture.shape} and type {picture.dtype}; give (H,W,3) or (H,W) in uint8"
            )
        picture = Image.fromarray(np.ascontiguousarray(picture))
    try:
        return _as_rgb(picture)
    except Exception as error:  # as below
        raise DataError(f"cannot be read as an image ({error})") from None


def load_mask(path: Path) -> Image.Image:
    """The mask or map at `path` as 8-bit grey, 0 background to 255 object.

    Raises as `load_image`, and DataError for colours: a label map, a photograph or a heat map.
    """
    return _decode(path, _as_grey)


def load_with_mask(image: Path, mask: Path) -> tuple[Image.Image, Image.Image]:
    """A picture and its mask or map, as `load_image` and `load_mask` read them.

    Raises as they do, and DataError if the two differ in size.
    """
    picture, m = load_image(image), load_mask(mask)
    if picture.size != m.size:
        raise DataError(
            f"{mask} is {m.width}x{m.height} but {image} {picture.width}x{picture.height}; give the one "
            "of this very picture; scripts/check_data.py lists all such masks of a data set"
        )
    return picture, m


def _as_rgb(image: Image.Image) -> Image.Image:
    turn = TURNS.get(_orientation(image))
    image = _eight_bit(image)
    if turn is not None:
        image = image.transpose(turn)
    if "transparency" in image.info:  # else Pillow warns; the colour below is kept, as for RGBA
        image = image.convert("RGBA")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation; 1 where there is none, or the block is damaged and the pixels are not."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except MemoryError:
        raise
    except Exception:  # of many types
        return 1


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit, which Pillow's own conversion would clip at 255; others as they are."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))


def _as_grey(image: Image.Image) -> Image.Image:
    image = _eight_bit(image)
    if image.mode not in ("1", "L", "LA"):
        red, green, blue = image.convert("RGB").split()
        pairs = ((red, green), (green, blue), (blue, red))
        tint = 0 if "P" in image.mode else 32  # what differs more is coloured
        if any(any(ImageChops.difference(*pair).histogram()[tint + 1 :]) for pair in pairs):
            raise DataError("is in colour, so it is not a mask or map; save the object as white on black")
    return image.convert("L")


def _decode(path: Path, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    if limit := os.environ.get(LIMIT):
        if not limit.isdecimal() or int(limit) == 0:
            raise ConfigError(f"{LIMIT}={limit}: give the pixels that a picture may have, as a whole number")
        Image.MAX_IMAGE_PIXELS = int(limit) // 2  # Pillow refuses twice as many
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
            raise DataError("is not a regular file")
        image: Image.Image = Image.open(path, formats=FORMATS)
        image.load()
        return convert(image)
    except MemoryError:
        raise
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Image.DecompressionBombError:
        raise DataError(
            f"{path}: has more pixels than are safe to decode; if you trust it, allow more with {LIMIT}=…, "
            "by default 178956970"
        ) from None
    except Exception as error:  # Pillow's decoders raise a dozen unrelated types on damaged files
        raise DataError(f"{path}: cannot be read as an image ({error}); replace or remove it") from None
