"""Output files: none is replaced unless asked, and each is written completely or not at all."""

import errno
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gconet.data.groups import SUFFIXES
from gconet.errors import ConfigError, note

FIXED = (errno.EBUSY, errno.EROFS, errno.EACCES, errno.EPERM)  # a mount point, a folder that is read-only

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def check_files(
    paths: Sequence[Path],
    *,
    overwrite: bool | None = None,
    plot: Path | None = None,
    inputs: Sequence[Path] = (),
) -> None:
    """Raise ConfigError for a file that exists (unless `overwrite`), is named twice, cannot be written, or is
    named like a picture: only `plot` may be, outside the folders `inputs`.

    `overwrite`: None if the command has no such option.
    """
    if there := [str(path) for path in paths if path.exists() and not overwrite]:
        hint = "" if overwrite is None else " or pass --overwrite"
        raise ConfigError(f"{', '.join(there)} already exists; choose another file{hint}")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("two outputs name the same file; give each a different name")
    for path in paths:
        inside = any(path.resolve().is_relative_to(folder.resolve()) for folder in inputs)
        if path.suffix.lower() in SUFFIXES and (path != plot or inside):
            raise ConfigError(f"{path} could be taken for a picture; choose another name or folder")
        place = next(folder for folder in path.absolute().parents if folder.exists())
        if path.is_dir() or not place.is_dir() or not (path.exists() or os.access(place, os.W_OK)):
            raise ConfigError(f"cannot write {path}: choose a file in a writable folder")


def write_file(path: Path, content: str | bytes | memoryview) -> None:
    """Write `path` atomically: a reader sees the old file or the complete new one, even after a crash.

    A file that cannot be replaced, such as a mount point in a container, is written in place, after a note on
    stderr. Makes the file's folder. Raises OSError, always with the file's name.
    """
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")  # names may not be valid text
    place = Path(os.path.realpath(path))  # writes through a link
    partial = place.with_name(f".{place.name[:60]}.partial")  # a name may have 255 bytes
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_relative_to("/dev") or (path.exists() and not path.is_file()):  # /dev/stdout, a pipe
            path.write_bytes(content)
            return
        try:
            partial.unlink(missing_ok=True)  # of a process that was killed
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(place)
        except OSError as error:
            if error.errno not in FIXED or not place.exists():
                raise
            note(f"{path} cannot be replaced, only written in place")
            place.write_bytes(content)
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # a disk-full error has no file name


def save_picture(path: Path, pixels: npt.NDArray[np.uint8], **options: Any) -> None:
    """Save (H,W), (H,W,3) or (H,W,4) as the PNG or JPEG file `path`, with Pillow's `options`, in a new
    folder if need be. Raises OSError, always with the file's name."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG" if path.suffix == ".png" else "JPEG", **options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getbuffer())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def hold(path: Path) -> IO[str]:
    """Lock the file `path`, made if there is none, against other processes while the result is open. Raises
    ConfigError if another process holds the lock, or has just moved the file. Some systems have no locks."""
    if fcntl is None:
        return Path(os.devnull).open("a")
    file = path.open("a")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
    except (BlockingIOError, PermissionError):
        free = False
    except OSError:  # some network file systems
        free = True
    if not free:
        raise ConfigError(f"{path.parent} is in use by another process; wait for it or stop it")
    return file
