"""The decoded pictures of a run: kept for its next step, and saved small for its page."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gconet.applications.imaging import RGB, Grey, fit
from gconet.applications.outputs import PREVIEWS
from gconet.data.groups import Group, Item
from gconet.data.images import check_size, load_map, load_with_opacity
from gconet.errors import DataError
from gconet.files import save_picture

LARGE, SMALL = 640, 400  # pixels of the longer side: twice what the page gives a picture, and the rest
PICTURE, MAP, MASK = "picture", "map", "mask"  # kinds of small pictures; others are named like results
ROOM = 2**27  # bytes of pictures and maps that one step keeps for the next; the rest is read again


class Desk:
    """Holds decoded files between two steps, and saves small pictures while the full ones are in memory."""

    def __init__(self, output: Path, groups: Sequence[Group], *, keep: bool = True) -> None:
        """`keep`: whether a next step needs the decoded files."""
        images = [item.image for group in groups for item in group.items]
        self._places = {image: place for place, image in enumerate(images)}
        self._folder, self._room = output / PREVIEWS, ROOM if keep else 0
        self._kept, self._lock = dict[Path, tuple[Any, ...]](), threading.Lock()

    def path(self, image: Path, kind: str) -> Path:
        """Where the small version of what was made of `image` lies."""
        return self._folder / f"{self._places[image]:06d}-{kind}.jpg"

    def save(self, image: Path, kind: str, pixels: RGB | Grey) -> None:
        """Save a small version of (H,W,3) or (H,W); raises OSError with the file's name."""
        small = fit(pixels, LARGE if kind == PICTURE else SMALL)
        save_picture(self.path(image, kind), small, quality=75)

    def put(self, path: Path | None, *arrays: Any) -> None:
        """Keep what was read from `path`: arrays or None."""
        size = sum(array.nbytes for array in arrays if array is not None)
        with self._lock:
            if path and size <= self._room and path not in self._kept:
                self._kept[path], self._room = arrays, self._room - size

    def take(self, path: Path) -> tuple[Any, ...] | None:
        """Return what was kept of `path`, and keep it no longer; None if it was not."""
        with self._lock:
            arrays = self._kept.pop(path, None)
            self._room += sum(array.nbytes for array in arrays or () if array is not None)
        return arrays

    def picture(self, path: Path) -> tuple[Any, ...]:
        """Return a picture (H,W,3) and its alpha channel (H,W) or None, as kept or read; raises DataError."""
        found = self.take(path)
        if found is None:
            found = load_with_opacity(path)
            self.save(path, PICTURE, found[0])
        return found

    def load(self, path: Path) -> Image.Image:
        """Read a picture like `load_image`, and keep it."""
        picture, opacity = self.picture(path)
        self.put(path, picture, opacity)
        return Image.fromarray(picture)

    def pair(self, item: Item) -> tuple[RGB, Grey | None, Grey]:
        """Return an item's picture and alpha channel, as `picture` does, and its map (H,W). Raises DataError
        if there is no map, if a file cannot be read, or if their sizes differ."""
        if item.map is None:
            raise DataError(f"{item.image} has no map; make one with test.py, or fix what stopped it")
        picture, opacity = self.picture(item.image)
        m: Grey = (self.take(item.map) or (np.asarray(load_map(item.map)),))[0]
        check_size(item.map, m.shape[::-1], item.image, picture.shape[1::-1])
        return picture, opacity, m
