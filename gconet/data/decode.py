"""Decodes picture files with Pillow; failures become one-line errors."""

import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin, features

from gconet.data.ahead import lock
from gconet.errors import DataError

T = TypeVar("T")
# The formats to decode, whatever a file's suffix; for some others, Pillow starts external programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
# suffixes that need more than plain Pillow → the format, and the package that adds it
EXTRAS = {".avif": ("AVIF", "'pillow>=11.3'")} | dict.fromkeys((".heic", ".heif"), ("HEIF", "'gconet[heic]'"))
COMMENT = 2**26  # bytes of one comment in a PNG file that are passed over
_inside, _found = 0, ExitStack()  # threads in `own_switches`, and what restores the settings found there


def decode(path: Path, convert: Callable[[Image.Image], T]) -> T:
    """Return `convert` of the picture at `path`; raises as `load_image` does, also if `convert` fails."""
    return attempt(lambda: convert(_read(path)), f"{path}: ", path.suffix.lower())


def attempt(make: Callable[[], T], prefix: str = "", suffix: str = "") -> T:
    """Return `make()`; any error except MemoryError becomes a DataError worded by `explain`."""
    try:
        with own_switches():
            return make()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen unrelated types on damaged files
        raise DataError(prefix + explain(error, suffix)) from None


@contextmanager
def own_switches() -> Iterator[None]:
    """While any thread is inside, Pillow refuses files that are cut off and does not warn of many pixels or a
    damaged EXIF block, whatever other libraries and -W have set; then their settings are restored."""
    global _inside
    with lock("pillow"):
        _inside += 1
        if _inside == 1:
            _found.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _found.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
            ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        with lock("pillow"):
            _inside -= 1
            if not _inside:
                _found.close()


def explain(error: Exception, suffix: str = "") -> str:
    """Say why a file with this suffix could not be decoded, and what to do."""
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    if isinstance(error, Image.DecompressionBombError):
        return "has more pixels than are safe to decode (178956970); make it smaller"
    unknown = isinstance(error, Image.UnidentifiedImageError)
    kind, package = EXTRAS.get(suffix, ("JPEG", ""))
    if unknown and kind not in decoders():
        return f"{suffix} pictures need pip install {package}"
    return f"cannot be read as an image{'' if unknown else f' ({error})'}; replace or remove it"


def _read(path: Path) -> Image.Image:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would block
        raise DataError("is not a regular file; give picture files, or the folder of one group by itself")
    image: Image.Image = Image.open(path, formats=decoders())
    deep = image.mode in ("RGB", "RGBA") and ";16" in str(getattr(image, "tile", ""))
    image.load()
    if deep and 0 < np.asarray(image.convert("RGB")).max() < 16:  # Pillow keeps the high bytes
        raise DataError("uses at most 12 of its 16 bits per channel; rescale to 16, or save it with 8")
    return image


@lru_cache(1)
def decoders() -> tuple[str, ...]:
    """Those of `FORMATS` that this installation can decode; HEIF needs the extra package pillow-heif."""
    # Pillow refuses comments above 1 MB, or 64 MB together
    PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = COMMENT, 4 * COMMENT
    missing = set() if features.check("avif") else {"AVIF"}
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        missing.add("HEIF")
    else:
        register_heif_opener()
    return tuple(kind for kind in FORMATS if kind not in missing)
