"""Where results go: each run takes a folder of its own, which is marked until the run is complete."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gconet.data.groups import Group
from gconet.errors import ConfigError
from gconet.files import hold

MARK = ".gconet"  # in every folder of results; its last line is COMPLETE once the run is
COMPLETE = "complete"
FILE = "presence.csv"  # next to the maps: see gconet.applications.doubts
PREVIEWS = ".previews"  # hidden, so that it does not look like a group of maps
RESULTS = {  # kind of result → its file in the output
    "mask": "masks/{group}/{stem}.png",
    "cut-out": "cutouts/{group}/{stem}.png",
    "new background": "backgrounds/{group}/{stem}.jpg",
    "thumbnail": "crops/{group}/{stem}.jpg",
    "attention": "{group}/{stem}.jpg",
}
Inputs = Mapping[str, Path | Sequence[Path] | None]  # by the names of their options


@contextmanager
def new_results(output: Path, inputs: Inputs, groups: Sequence[Group], *, overwrite: bool) -> Iterator[None]:
    """Take `output`, a new or empty folder, for the results of `groups`; mark it as complete at the end.

    With `overwrite`, earlier results are first moved to <output>.old, and back if the run writes nothing.
    Raises ConfigError if the folder holds anything else, is taken by another run, or if an input lies in it
    or it lies in an input.
    """
    place = Path(os.path.realpath(output))  # unlike resolve(), not stopped by a loop of links
    old = place.with_name(place.name + ".old")
    check_places(output, (place, old), inputs)
    try:
        filled = place.exists() and any(place.iterdir())
        moved = filled and move_aside(output, place, old, overwrite=overwrite)
        place.mkdir(parents=True, exist_ok=True)
        (place / MARK).touch(exist_ok=False)  # of two runs at once, one succeeds
    except (FileExistsError, FileNotFoundError):  # the other has made the mark, or moved the folder
        raise ConfigError(f"--output {output} was just taken by another run; choose another folder") from None
    with hold(place / MARK):
        state = ""
        try:
            check_names(place, groups)
            yield
            state = COMPLETE
        finally:
            if [path.name for path in place.iterdir()] == [MARK]:  # nothing was written
                (place / MARK).unlink()
                with suppress(OSError):  # a mount point stays
                    place.rmdir()
                    if moved:
                        old.rename(place)
            else:
                (place / MARK).write_text(state)


def check_places(output: Path, places: Sequence[Path], inputs: Inputs) -> None:
    """Raise ConfigError unless results in `output`, which is `places[0]`, stay apart from the inputs."""
    if places[0].exists() and not places[0].is_dir():
        raise ConfigError(f"--output {output} is a file; give a folder")
    for option, given in inputs.items():
        for path in [given] if isinstance(given, Path) else given or ():
            source = path.resolve()
            if path.is_dir() and places[0].is_relative_to(source):  # a single picture may lie anywhere else
                raise ConfigError(f"--output {output} lies in {option} {path}; choose another folder")
            if source.exists() and any(map(source.is_relative_to, places)):
                raise ConfigError(f"{option} {path} lies in --output {output}; choose another folder")


def move_aside(output: Path, place: Path, old: Path, *, overwrite: bool) -> bool:
    """Move the results in `place` to `old`, whose earlier results go; an unfinished run does not replace any.

    Returns whether they were moved. Raises ConfigError if either folder holds anything else, if that run is
    still going on, and without `overwrite`.
    """
    unfinished = is_unfinished(place)
    if not (place / MARK).is_file():
        raise ConfigError(f"--output {output} holds files that gconet did not write; choose another folder")
    if not overwrite:
        state = "an unfinished run" if unfinished else "earlier results"
        raise ConfigError(f"--output {output} holds {state}; choose another, or move them with --overwrite")
    if old.exists() and not (old / MARK).is_file():
        raise ConfigError(f"{old} was not written by gconet, so --overwrite does not replace it; rename it")
    with hold(place / MARK):
        if old.exists():
            shutil.rmtree(place if unfinished else old)
        if place.exists():
            place.rename(old)
            return True
    return False


def is_unfinished(folder: Path) -> bool:
    """Whether `folder` is, or lies in, the results of a run that was interrupted or is not over yet."""
    path = folder.resolve()
    marks = [place / MARK for place in (path, *path.parents[:2])]
    return any(mark.is_file() and mark.read_text("utf-8", "replace") != COMPLETE for mark in marks)


def check_names(place: Path, groups: Sequence[Group]) -> None:
    """Raise ConfigError if two results in `place`, which holds the `MARK`, would be one file: if a group is
    named like a file beside it, or if the disk ignores case (NTFS, exFAT, APFS, SMB)."""
    names = [MARK, FILE, PREVIEWS, "index.html"]
    names += [name for g in groups for name in (g.name, *(f"{g.name}/{item.stem}" for item in g.items))]
    blind, seen = (place / MARK.upper()).exists(), dict[str, str]()
    for name in names:
        key = name.casefold() if blind else name
        if key in seen:
            raise ConfigError(f"{name} and {seen[key]} would be one file in --output; rename one")
        seen[key] = name
