"""Output files: none is replaced unless asked, and each is written completely or not at all."""

import os
from collections.abc import Sequence
from pathlib import Path

from gconet.errors import ConfigError


def check_files(paths: Sequence[Path], *, overwrite: bool | None = None) -> None:
    """Raise ConfigError for a file that exists (unless `overwrite`), is named twice or cannot be written.

    `overwrite`: None if the command has no such option.
    """
    if there := [str(path) for path in paths if path.exists() and not overwrite]:
        hint = "" if overwrite is None else " or pass --overwrite"
        raise ConfigError(f"{', '.join(there)} already exists; choose another file{hint}")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("two outputs name the same file; give each a different name")
    for path in paths:
        place = next(folder for folder in path.absolute().parents if folder.exists())
        if path.is_dir() or not place.is_dir() or not (path.exists() or os.access(place, os.W_OK)):
            raise ConfigError(f"cannot write {path}: choose a file in a writable folder")


def write_file(path: Path, content: str | bytes | memoryview) -> None:
    """Write `path` atomically: a reader sees the old file or the complete new one, even after a crash.

    Makes its folder. Raises OSError, always with the file's name.
    """
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")  # names may not be valid text
    place = Path(os.path.realpath(path))  # writes through a link
    partial = place.with_name(f".{place.name}.partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_relative_to("/dev") or (path.exists() and not path.is_file()):  # /dev/stdout, a pipe
            path.write_bytes(content)
            return
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(place)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # a disk-full error has no file name
    if os.name == "posix":  # the rename itself must survive a power cut
        folder = os.open(place.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
