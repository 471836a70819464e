"""Where results go: checked before anything is computed, so that no file is lost."""

import csv
import os
import re
import sys
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from gconet.data.groups import Group, list_groups
from gconet.data.names import name_some
from gconet.errors import ConfigError, counted, one_line

FILE = "presence.csv"  # beside maps, as a .json file of that name: see gconet.applications.doubts
PREVIEWS = ".previews"  # hidden, so that a folder of maps stays one
GENERATOR = b'<meta name="generator" content="gconet">'  # marks a page as ours
MAPS = {"map": "{group}/{stem}.png"}  # what it is → its file in the folder of `gconet maps`
RESULTS = {  # the same of the other commands
    "map": "maps/{group}/{stem}.png",
    "mask": "masks/{group}/{stem}.png",
    "cut-out": "cutouts/{group}/{stem}.png",
    "new background": "backgrounds/{group}/{stem}.jpg",
    "thumbnail": "crops/{group}/{stem}.jpg",
    "explained": "explained/{group}/{stem}.jpg",
}


def check_output(
    output: Path,
    groups: Sequence[Group],
    sources: Mapping[str, Path | Sequence[Path] | None],
    *,
    overwrite: bool = False,
    page: bool = True,
    flat: bool = False,
) -> set[tuple[str, str]]:
    """Raise ConfigError if results in folder `output` would mix with inputs or replace files.

    `sources`: the folders and files that are read, by the names of their options; those of --gts must be
    masks of the `groups`. With `overwrite`, results may replace files of their own names, but through no link
    that leads out of it. With `page`, also as `check_page`. If `flat`, the groups' folders will be made
    in `output` itself, and none may have the name of a file of results there.

    Returns (group, stem) of the pictures of which an earlier call left results, if its page or its
    presence.csv names them.
    """
    place = Path(os.path.realpath(output))  # unlike resolve(), not stopped by a loop of links
    if place.exists() and not place.is_dir():
        raise ConfigError(f"--output {output} is a file; name a folder")
    for option, given in sources.items():
        for path in [given] if isinstance(given, Path) else given or ():
            source = path.resolve()
            if path.is_dir() and place.is_relative_to(source):  # a picture by itself may lie anywhere else
                raise ConfigError(f"--output {output} lies in {option} {path}; name another folder")
            if source.exists() and source.is_relative_to(place):
                what = f"{option} {path}" if path.is_dir() else path
                raise ConfigError(f"{what} lies in --output {output}; name another folder")
    if page:
        check_page(place)
    taken = (FILE, Path(FILE).with_suffix(".json").name, *(("index.html", PREVIEWS) if page else ()))
    if flat and (clash := [group.name for group in groups if group.name.casefold() in taken]):
        raise ConfigError(f"a group is named {clash[0]}, as a file of the results is; rename it")
    for path in place.rglob("*"):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(place):
            raise ConfigError(f"--output {output} holds a link that leads out of it: {path}; remove it")
    if not overwrite and any(path.is_file() for path in place.rglob("*")):
        raise ConfigError(
            f"--output {output} holds files; name another folder, or pass --overwrite to replace those of "
            "the same names and remove results of pictures that are no longer in the folder"
        )
    if isinstance(gts := sources.get("--gts"), Path):
        masks, images = sum(map(len, list_groups(gts).values())), sum(len(group.items) for group in groups)
        if masks > images:  # their scores would lack maps
            raise ConfigError(f"--gts {gts} holds {masks} masks for {images} images; give just theirs")
    return find_earlier(place)


def check_page(output: Path) -> None:
    """Raise ConfigError if a page in `output` would replace something that is not a page of ours."""
    page, previews = output / "index.html", output / PREVIEWS
    if page.exists() and not is_ours(page):
        raise ConfigError(f"{page} was not written by gconet; refusing to overwrite it, name another folder")
    # without a page, one that was broken off: it holds nothing but previews
    names = [path.name for path in previews.iterdir()] if previews.exists() and not page.exists() else []
    if not all(re.fullmatch(r"\d{6}(|-large|-map)\.(jpg|png)", name) for name in names):
        raise ConfigError(f"{previews} holds files that gconet did not write; name another folder")


def is_ours(page: Path) -> bool:
    """Whether `page` is a page that gconet wrote."""
    return page.is_file() and GENERATOR in page.read_bytes()


def find_earlier(output: Path) -> set[tuple[str, str]]:
    """(group, stem) of the pictures that an earlier page or presence.csv in `output` names."""
    found = set()
    if is_ours(page := output / "index.html"):
        text = page.read_text(encoding="utf-8", errors="replace")
        for link in re.findall(r'<a href="([^".#][^"]*)"', text):  # none that lead out of the folder
            path = Path(unquote(link, errors="surrogateescape"))
            found.add((path.parent.name, path.stem))
    for table in (output / FILE, output / "maps" / FILE):
        if table.is_file():
            with table.open(encoding="utf-8", errors="replace", newline="") as file:
                found |= {(row.get("group") or "", row.get("image") or "") for row in csv.DictReader(file)}
    return {(group, stem) for group, stem in found if stem and Path(stem).name == stem}


def remove_stale(
    output: Path,
    patterns: Mapping[str, str],
    groups: Sequence[Group],
    done: Container[Path],
    earlier: set[tuple[str, str]],
) -> None:
    """Remove results of earlier calls that would look like results of this one; says what was removed.

    They are those of pictures of the `groups` that are not `done` now, and of the `earlier` ones, as
    `check_output` found them, whose files are no longer in their group's folder. `patterns`: as `MAPS`.
    """
    gone: set[str] = set()
    for group in groups:
        folders = {item.image.parent for item in group.items}
        files = [path for folder in folders for path in folder.iterdir()]
        there = {item.stem for item in group.items}.union(*((path.name, path.stem) for path in files))
        named = {stem for name, stem in earlier if name == group.name}
        left = named - there if named & there else set()  # else they came from another folder of that name
        for stem in left | {item.stem for item in group.items if item.image not in done}:
            for pattern in patterns.values():
                path = output / pattern.format(group=group.name, stem=stem)
                if path.is_file():
                    path.unlink()
                    if stem in left:
                        gone.add(f"{group.name}/{stem}")
    if gone:
        names = one_line(name_some(sorted(gone)))
        what = counted(len(gone), "picture")
        print(f"note: removed the earlier results of {what} no longer there: {names}", file=sys.stderr)
