"""Checks where results go before anything is computed, so that no file is lost."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gconet.data.groups import Group, list_groups
from gconet.data.names import name_some, normalise
from gconet.errors import ConfigError, counted, one_line

RECORD = ".gconet"  # lists the results in its folder that gconet wrote, separated by \0
FILE = "presence.csv"  # next to the maps: see gconet.applications.doubts
PREVIEWS = ".previews"  # hidden, so that it does not look like a group of maps
GENERATOR = b'<meta name="generator" content="gconet">'  # marks a page as ours
MAPS = {"map": "{group}/{stem}.png"}  # kind of result → its file in the output of `gconet maps`
RESULTS = {  # the same for the other commands
    "map": "maps/{group}/{stem}.png",
    "mask": "masks/{group}/{stem}.png",
    "cut-out": "cutouts/{group}/{stem}.png",
    "new background": "backgrounds/{group}/{stem}.jpg",
    "thumbnail": "crops/{group}/{stem}.jpg",
}


def check_output(
    output: Path,
    groups: Sequence[Group],
    sources: Mapping[str, Path | Sequence[Path] | None],
    *,
    overwrite: bool = False,
    page: bool = True,
    flat: bool = False,
) -> None:
    """Raise ConfigError if results in folder `output` would mix with inputs or replace files.

    `sources`: the folders and files to read, by the names of their options; --gts must hold only masks of
    the `groups`. With `overwrite`, results may replace files of the same names, but not through links that
    lead out of `output`. With `page`, also checks as `check_page` does. If `flat`, the groups' folders are
    made in `output` itself, and none may have the name of a result file there.
    """
    place = Path(os.path.realpath(output))  # unlike resolve(), not stopped by a loop of links
    if place.exists() and not place.is_dir():
        raise ConfigError(f"--output {output} is a file; give a folder")
    for option, given in sources.items():
        for path in [given] if isinstance(given, Path) else given or ():
            source = path.resolve()
            if path.is_dir() and place.is_relative_to(source):  # a single picture may lie anywhere else
                raise ConfigError(f"--output {output} lies in {option} {path}; choose another folder")
            if source.exists() and source.is_relative_to(place):
                what = f"{option} {path}" if path.is_dir() else path
                raise ConfigError(f"{what} lies in --output {output}; choose another folder")
    if page:
        check_page(place)
    taken = (RECORD, FILE, *(("index.html", PREVIEWS) if page else ()))
    if flat and (clash := [group.name for group in groups if group.name.casefold() in taken]):
        raise ConfigError(f"a group is named {clash[0]}, like a file of the results; rename it")
    for path in place.rglob("*"):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(place):
            raise ConfigError(f"--output {output} holds a link that leads out of it: {path}; remove it")
    if not overwrite and any(path.is_file() and path.name != RECORD for path in place.rglob("*")):
        raise ConfigError(
            f"--output {output} holds files; choose another folder, or pass --overwrite to replace those of "
            "the same names and remove results of pictures you took out and of options you no longer pass"
        )
    if isinstance(gts := sources.get("--gts"), Path):
        masks, images = sum(map(len, list_groups(gts).values())), sum(len(group.items) for group in groups)
        if masks > images:  # some masks would lack maps
            raise ConfigError(f"--gts {gts} holds {masks} masks for {images} images; give only theirs")


def check_page(output: Path) -> None:
    """Raise ConfigError if a page in `output` would replace something that gconet did not write."""
    page, previews = output / "index.html", output / PREVIEWS
    if page.exists() and not is_ours(page):
        raise ConfigError(f"{page} was not written by gconet; refusing to overwrite it, use another folder")
    # an interrupted run leaves previews without a page, and nothing else
    names = [path.name for path in previews.iterdir()] if previews.exists() and not page.exists() else []
    if not all(re.fullmatch(r"\d{6}(|-large|-map)\.(jpg|png)", name) for name in names):
        raise ConfigError(f"{previews} holds files that gconet did not write; choose another folder")


def is_ours(page: Path) -> bool:
    """Whether `page` is a page that gconet wrote."""
    return page.is_file() and GENERATOR in page.read_bytes()


def settle_results(
    output: Path, patterns: Mapping[str, str], groups: Sequence[Group], written: set[Path]
) -> None:
    """Remove results of earlier runs that would look like results of this one; prints what was removed.

    `patterns`, like `MAPS`: what such a run can write for the pictures of `groups`; `written`: what this run
    wrote. If this run made nothing for a picture of the `groups`, all its results are removed; for others,
    and for pictures no longer in their group's folder, only those that `RECORD` lists and this run did not
    write. `RECORD` then lists all that is left.
    """
    record = output / RECORD
    known = set(os.fsdecode(record.read_bytes()).split("\0")) if record.is_file() else set()
    made = {path.relative_to(output).as_posix() for path in written}
    gone, unmade = set[str](), set[str]()
    for group in groups:
        folders = {item.image.parent for item in group.items}
        files = [path for folder in folders for path in folder.iterdir()]
        own = {item.stem for item in group.items}
        there = own.union(*((normalise(path.name), normalise(path.stem)) for path in files))
        named = {Path(name).stem for name in known if Path(name).parent.name == group.name}
        left = named - there if named & there else set()  # else they came from another folder of that name
        for stem in own | left:
            results = {pattern.format(group=group.name, stem=stem) for pattern in patterns.values()}
            failed = stem in own and not results & made  # an interrupted run recorded nothing
            for path in [output / name for name in results - made if failed or name in known]:
                if path.is_file():
                    path.unlink()
                    with suppress(OSError):  # not empty
                        path.parent.rmdir()
                        path.parent.parent.rmdir()
                    if stem in left:
                        gone.add(f"{group.name}/{stem}")
                    else:
                        unmade.add(str(path.parent.relative_to(output)))
    for what, where in (
        (f"the earlier results of {counted(len(gone), 'picture')} no longer there:", gone),
        ("earlier results that this run does not make, in", unmade),
    ):
        if where:
            print(f"note: removed {what} {one_line(name_some(sorted(where)))}", file=sys.stderr)
    if output.is_dir():
        kept = sorted(name for name in known | made if (output / name).is_file())
        record.write_bytes(os.fsencode("\0".join(kept)))
