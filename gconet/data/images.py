"""Reads pictures, masks and maps; every file becomes 8-bit RGB or 8-bit grey."""

import io
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageCms

from gconet.data.decode import attempt, decode
from gconet.errors import DataError

UP = Image.Transpose  # what turns pictures of EXIF orientations 2, 3, … upright:
TURNS = (UP.FLIP_LEFT_RIGHT, UP.ROTATE_180, UP.FLIP_TOP_BOTTOM, UP.TRANSPOSE, UP.ROTATE_270, UP.TRANSVERSE,
         UP.ROTATE_90)  # fmt: skip


def load_image(path: Path) -> Image.Image:
    """The picture at `path` as 8-bit sRGB, upright, transparent pixels on white.

    Grey, palette and CMYK files are converted, by their colour profile if they have one. 16-bit grey is read
    as 8, 10, 12 or 16 bits, the fewest that hold its highest value. Raises DataError for an unusable file.
    """
    return decode(path, _as_rgb)


def load_with_opacity(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """What `load_image` returns, (H,W,3) uint8, and the alpha channel (H,W), None if all is opaque."""

    def convert(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
        alpha = _upright(image).convert("RGBA").getchannel("A") if has_alpha(image) else None
        clear = alpha is not None and alpha.getextrema() != (255, 255)
        return np.asarray(_as_rgb(image)), np.asarray(alpha) if clear else None

    return decode(path, convert)


def to_rgb(picture: Image.Image | np.ndarray) -> Image.Image:
    """Convert a picture in memory to what `load_image` returns; an array is (H,W,3) RGB or (H,W) grey, uint8.
    Raises DataError for other arrays and for a picture whose file turns out to be damaged."""
    if isinstance(picture, np.ndarray):
        H, W, *channels = picture.shape if picture.ndim > 1 else (0, 0)
        if picture.dtype != np.uint8 or channels not in ([], [3]) or 0 in (H, W):
            found = f"an array of shape {picture.shape} and type {picture.dtype}"
            raise DataError(f"{found}; give (H,W,3) or (H,W) in uint8")
        picture = Image.fromarray(np.ascontiguousarray(picture))
    if not isinstance(picture, Image.Image):
        raise DataError(f"of type {type(picture).__name__}; give files, PIL pictures or arrays")
    return attempt(partial(_as_rgb, picture))


def load_mask(path: Path) -> Image.Image:
    """The mask at `path` as 8-bit grey, upright, 0 background to 255 object.

    If only the alpha channel shows the object, as in a cut-out of one colour, the mask is that channel;
    otherwise transparent pixels are background. Raises as `load_image` does, and DataError for a file
    with colours, or with values that mean something else, such as 0 and 1 or class numbers.
    """
    return decode(path, _as_mask)


def load_map(path: Path) -> Image.Image:
    """The co-saliency map at `path` as 8-bit grey; like `load_mask`, but any values are valid, and 16 bits
    are scaled from the whole range, because a map may be dark."""
    return decode(path, lambda image: _as_grey(image, whole_range=True))


def load_with_mask(image: Path, mask: Path) -> tuple[Image.Image, Image.Image]:
    """Load a picture and its mask; raises as the loaders do, and DataError if the two differ in size."""
    picture, m = load_image(image), load_mask(mask)
    check_size(mask, m.size, image, picture.size)
    return picture, m


def check_size(mask: Path, its: tuple[int, int], image: Path, size: tuple[int, int]) -> None:
    """Raise DataError if a mask or map does not have its picture's size; both sizes are (width, height)."""
    if its != size:
        sizes = f"{mask} is {its[0]}x{its[1]} but {image} {size[0]}x{size[1]}"
        raise DataError(f"{sizes}; scripts/check_data.py lists all such masks of a data set")


def _as_rgb(image: Image.Image) -> Image.Image:
    upright = _eight_bit(_upright(image))
    profile = image.info.get("icc_profile")
    if not has_alpha(upright):
        return _to_srgb(upright, profile)
    rgba = upright.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(_to_srgb(rgba.convert("RGB"), profile), mask=rgba.getchannel("A"))
    return white


def has_alpha(image: Image.Image) -> bool:
    """Whether any pixel of `image` may be transparent."""
    return "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """`image` as RGB; its colours converted from `profile`, unless it is damaged or already sRGB."""
    mode = image.mode if image.mode in ("L", "CMYK") else "RGB"
    transform = _transform(profile, mode) if profile and image.mode != "1" else None
    if transform is None:
        return image.convert("RGB")
    return ImageCms.applyTransform(image.convert(mode), transform) or image.convert("RGB")


@lru_cache(16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        target = ImageCms.createProfile("sRGB")
        # threads would share the one-pixel cache
        return ImageCms.buildTransform(source, target, mode, "RGB", flags=ImageCms.Flags.NOCACHE)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


def _upright(image: Image.Image) -> Image.Image:
    """`image` turned upright by its EXIF orientation; unchanged if the EXIF block is damaged. (Pillow's
    exif_transpose rewrites the block and fails if any other tag is malformed.)"""
    try:
        number = int(image.getexif().get(ExifTags.Base.Orientation, 1)) - 2
    except MemoryError:
        raise
    except Exception:  # Pillow raises many types
        return image
    return image.transpose(TURNS[number]) if 0 <= number < len(TURNS) else image


def _eight_bit(image: Image.Image, *, whole_range: bool = False) -> Image.Image:
    """Convert 16-bit grey to 8-bit (Pillow would clip it at 255); return other 8-bit images unchanged.
    Cameras and scanners write 10 and 12 bits into 16-bit files. `whole_range`: scale from all 16 bits."""
    if image.mode[0] not in "IF":
        return image
    pixels = np.asarray(image)
    lowest, highest = pixels.min(), pixels.max()
    if image.mode == "F" or lowest < 0 or highest >= 2**16:
        raise DataError(f"has values from {lowest:g} to {highest:g} in 32 bits; rescale to 8 or 16 bits")
    if whole_range and 0 < highest < 256:
        raise DataError(f"is a 16-bit map whose highest value is {highest}; save it with 8 bits")
    bits = 16 if whole_range else next(bits for bits in (8, 10, 12, 16) if highest < 2**bits)
    return Image.fromarray((pixels.astype(np.int64) >> (bits - 8)).astype(np.uint8))


def _as_grey(image: Image.Image, *, whole_range: bool = False) -> Image.Image:
    grey = _eight_bit(_upright(image), whole_range=whole_range)
    if has_alpha(grey):
        rgba = grey.convert("RGBA")
        alpha = rgba.getchannel("A")
        colours = np.asarray(rgba.convert("RGB"))[np.asarray(alpha) > 0]
        if alpha.getextrema() != (255, 255) and len(colours) and np.ptp(colours, 0).max() == 0:
            return alpha  # the object has one colour, so only alpha shows it
        black = Image.new("RGB", rgba.size)
        black.paste(rgba.convert("RGB"), mask=alpha)
        grey = black
    if grey.mode not in ("1", "L"):
        red, green, blue = grey.convert("RGB").split()
        pairs = ((red, green), (green, blue), (blue, red))
        tint = 0 if "P" in image.mode else 32  # a larger difference is a colour
        if any(any(ImageChops.difference(*pair).histogram()[tint + 1 :]) for pair in pairs):
            raise DataError("is in colour, so it is not a mask or map; save the object as white on black")
    return grey.convert("L")


def _as_mask(image: Image.Image) -> Image.Image:
    grey = _as_grey(image)
    counts = np.array(grey.histogram())
    highest, levels = int(counts.nonzero()[0].max()), int((counts[1:] > 0).sum())
    # Soft and compressed edges have many levels, and hardly any area of one of them (2×2 equal pixels):
    # of 1,400 masks at most .004 of the object, .1 once resized. Class numbers, void borders and trimaps do.
    few = levels <= 20
    low, high, share = (1, highest, 0.01) if few else (24, highest - 23, 0.125)
    flat, allowed = 0, 4 + share * counts[128:].sum()
    if counts[low:high].sum() > allowed:
        g = np.asarray(grey)
        g, *others = g[:-1, :-1], g[1:, :-1], g[:-1, 1:], g[1:, 1:]
        same = np.logical_and.reduce([g == one for one in others])
        flat = int((same & (g >= low) & (g < high)).sum())
    if 0 < highest < 128 or flat > allowed:
        what = f"has areas of other values than 0 and 255 (highest {highest}), such as class numbers"
        raise DataError(f"{what} or a void border; save the object as 255 and all else as 0")
    return grey
