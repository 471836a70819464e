"""Where results go: checked before anything is computed, so that no file is lost."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from gconet.applications.page import PREVIEWS, check_page
from gconet.data.groups import Group, list_groups
from gconet.errors import ConfigError

FILE = "presence.csv"  # beside maps: see gconet.applications.doubts


def check_output(
    output: Path,
    sources: Mapping[str, Path | Sequence[Path] | None],
    *,
    overwrite: bool = False,
    page: bool = True,
    folders: Sequence[str] = (),
) -> None:
    """Raise ConfigError if results in folder `output` would mix with inputs or replace files.

    `sources`: the folders and files that are read, by the names of their options. With `overwrite`, results
    may replace files of their own names, but through no link that leads out of it. With `page`, also as
    `check_page`. One of the `folders` that will be made in `output` may not have the name of a file of
    results there.
    """
    place = Path(os.path.realpath(output))  # unlike resolve(), not stopped by a loop of links
    if place.exists() and not place.is_dir():
        raise ConfigError(f"--output {output} is a file; name a folder")
    folders_read = [
        (option, folder)
        for option, given in sources.items()
        for folder in ([given] if isinstance(given, Path) else given or ())
        if folder.is_dir()  # a picture by itself may lie anywhere
    ]
    for given in sources.values():
        files = [path for path in ([given] if isinstance(given, Path) else given or ()) if path.is_file()]
        if inside := [path for path in files if path.resolve().is_relative_to(place)]:
            raise ConfigError(f"{inside[0]} lies in --output {output}; name another folder")
    for option, folder in folders_read:
        if place.is_relative_to(folder.resolve()):
            raise ConfigError(f"--output {output} lies in {option} {folder}; name another folder")
        if folder.resolve().is_relative_to(place):
            raise ConfigError(f"{option} {folder} lies in --output {output}; name another folder")
    if page:
        check_page(place)
    taken = (FILE, *(("index.html", PREVIEWS) if page else ()))
    if clash := [name for name in folders if name.casefold() in taken]:
        raise ConfigError(f"a group is named {clash[0]}, as a file of the results is; rename it")
    for path in place.rglob("*"):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(place):
            raise ConfigError(f"--output {output} holds a link that leads out of it: {path}; remove it")
    if not overwrite and any(path.is_file() for path in place.rglob("*")):
        raise ConfigError(
            f"--output {output} holds files; name another folder, or pass --overwrite to replace those of "
            "the same names"
        )


def check_masks(gts: Path, groups: Sequence[Group]) -> None:
    """Raise ConfigError if `gts` holds masks of other images: their scores would lack maps."""
    masks, images = sum(map(len, list_groups(gts).values())), sum(len(group.items) for group in groups)
    if masks > images:
        raise ConfigError(f"--gts {gts} holds {masks} masks for {images} images; give just theirs")
