"""References: what an object looks like to a network, made from pictures that show it clearly."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gconet.data.groups import SUFFIXES, Group, find_pictures, list_groups
from gconet.data.names import name_some
from gconet.errors import ConfigError, DataError
from gconet.files import write_file

Floats = npt.NDArray[np.float32]
PRESENT = 0.6  # a picture of a lower presence lacks the object; docs/references.md
OBJECTS = Path(__file__).parents[1] / "weights" / "objects.npz"  # by scripts/tools/build_objects.py
FIELDS = ("vectors", "appearances", "names", "weights")


@dataclass(frozen=True, eq=False)
class Reference:
    """What some pictures have in common, as one network sees it; `Predictor.remember` makes it."""

    vector: Floats  # (C,), E of the pictures (section 3.2)
    appearance: Floats  # (C,), of length 1: the sum of their stage-5 features, each averaged under its map
    name: str  # what it was made from
    weights: str  # `Predictor.digest` of the network

    def of(self, weights: str) -> "Reference":
        """Return this reference if it was made with `weights`; raises ConfigError."""
        if self.weights != weights:
            what = f"the reference {self.name!r} was made with other weights or another input size"
            raise ConfigError(f"{what}; use those weights, or make it again from its pictures")
        return self

    def save(self, path: str | Path) -> None:
        """Write a file of a few KB, atomically; raises OSError."""
        write_references(Path(path), [self])

    @classmethod
    def load(cls, path: str | Path) -> "Reference":
        """Read a file of `save`, which cannot run code; raises DataError for any other file."""
        found = read_references(Path(path))
        if len(found) != 1:
            raise DataError(f"{path} holds {len(found)} references; give the file of one")
        return found[0]

    @classmethod
    def named(cls, word: str) -> "Reference":
        """The shipped reference of an object, or the mean of those that `find_objects` finds."""
        return cls.mean(find_objects(word), word)

    @classmethod
    def mean(cls, references: Sequence["Reference"], name: str) -> "Reference":
        """The mean of references of one network."""
        vector, look = (np.mean([getattr(r, key) for r in references], 0) for key in ("vector", "appearance"))
        return cls(vector, look / np.linalg.norm(look).clip(1e-12), name, references[0].weights)


References: TypeAlias = Mapping[str, Reference | tuple[Path, ...]]  # by group: saved, or its pictures


def write_references(path: Path, references: Sequence[Reference], kind: type = np.float32) -> None:
    """Write references of one network as an .npz file with numbers of `kind`; raises OSError."""
    buffer = io.BytesIO()
    vectors, appearances = ([getattr(r, key) for r in references] for key in ("vector", "appearance"))
    np.savez_compressed(
        buffer, vectors=np.asarray(vectors, kind), appearances=np.asarray(appearances, kind),
        names=np.array([r.name for r in references]), weights=np.array(references[0].weights),
    )  # fmt: skip
    write_file(path, buffer.getbuffer())


def read_references(path: Path) -> list[Reference]:
    """Read the references in a file of `write_references`; raises DataError if it is not one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            vectors, appearances, names, weights = (file[key] for key in FIELDS)
        numbers = np.stack([vectors, appearances]).astype(np.float32)
        if not np.isfinite(numbers).all():
            raise ValueError
        pairs = zip(*numbers, names, strict=True)
        return [Reference(vector, look, str(name), str(weights)) for vector, look, name in pairs]
    except Exception:  # of many unrelated types
        what = "is not a reference: gconet remember writes them" if path.exists() else "does not exist"
        hint = (
            "reinstall gconet" if path == OBJECTS else "give a folder of pictures, a picture, or such a file"
        )
        raise DataError(f"{path} {what}; {hint}") from None


def is_saved(source: Path) -> bool:
    """Whether `source` is a file that is not a picture."""
    return source.is_file() and source.suffix.lower() not in SUFFIXES


def find_objects(word: str = "") -> list[Reference]:
    """The shipped references called `word`, or else all that contain it as a whole word. Raises ConfigError
    with the nearest names if there are none."""
    text = word.lower().replace("_", " ").replace("-", " ").strip()
    known = {one.name.lower().replace("-", " "): one for one in read_references(OBJECTS)}
    if text in known:
        return [known[text]]
    if found := [one for name, one in known.items() if f" {text} " in f" {name} " or not text]:
        return found
    near = get_close_matches(text, {part for name in known for part in (name, *name.split())}, 5)
    hint = f"nearest: {', '.join(near)}; " if near else ""
    raise ConfigError(f"no object is called {word!r}; {hint}gconet objects lists all {len(known)}")


def pair_references(source: Path, groups: Sequence[Group]) -> References:
    """Return each group's reference by the group's name: what the file `source` holds; the pictures that
    `source` is or contains; or, in a folder of folders, those in the folder of that name. Raises DataError if
    a group has none, or if one of its own pictures is among them."""
    names = [group.name for group in groups]
    if is_saved(source):
        return dict.fromkeys(names, Reference.load(source))
    found: dict[str, tuple[Path, ...]] = dict.fromkeys(names, (source,))
    if source.is_dir():
        found = {name: tuple(files.values()) for name, files in list_groups(source, twins=True).items()}
        if find_pictures(source):
            found = dict.fromkeys(names, *found.values())
        if missing := [name for name in names if name not in found]:
            there = name_some([*found])
            raise DataError(f"no reference for {name_some(missing)} in {source} (there: {there})")
    for group in groups:
        own = {item.image.resolve() for item in group.items}
        if same := [str(path) for path in found[group.name] if path.resolve() in own]:
            raise DataError(f"reference {name_some(same)} is also one of the photographs; give others")
    return {name: found[name] for name in names}
