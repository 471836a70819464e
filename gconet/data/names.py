"""Names of groups, pictures and folders: checks, Unicode normalisation, short lists for messages."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from gconet.errors import ConfigError, DataError


def check_name(name: str, option: str = "") -> None:
    """Raise an error unless `name` names one file or folder, in no other place: a ConfigError if an `option`
    gave it, otherwise a DataError."""
    if name in ("", ".", "..") or {"/", "\\", "\0"} & set(name):
        what = f"{option} {name!r}" if option else f"{name!r}, the name of a group or picture,"
        raise (ConfigError if option else DataError)(f"{what} is not a plain name; use another one")


def normalise(name: str) -> str:
    """`name` in Unicode's composed form (NFC): macOS may use the decomposed form, and the two must match."""
    return unicodedata.normalize("NFC", name)


def name_some(names: list[str]) -> str:
    """The first five of `names`, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else "nothing"


def name_folders(texts: Sequence[str], option: str) -> dict[str, Path]:
    """Name → folder for each NAME=DIR of a repeatable `option`; a plain DIR is named after its folder. Raises
    ConfigError if two share a name, one is not a plain name, or DIR is empty."""
    folders: dict[str, Path] = {}
    for text in texts:
        before, equals, after = text.partition("=")
        name, folder = (before, after) if equals and not Path(text).is_dir() else ("", text)
        name = name or Path(folder).resolve().name
        check_name(name, option)
        if not folder or name in folders:
            raise ConfigError(f"{option} {text!r}: each needs a folder and a name of its own, as NAME=DIR")
        folders[name] = Path(folder)
    return folders
