"""Scores in files: each is written whole or stays as it was."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gconet.errors import ConfigError, DataError
from gconet.evaluation.plots import plot_curves
from gconet.evaluation.records import format_csv, format_json
from gconet.evaluation.scores import Scores
from gconet.evaluation.tables import format_table

FILES = ("json", "csv", "markdown", "latex", "plot")


def check_files(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Raise ConfigError for a file that exists, unless `overwrite`, that is named twice, or that cannot be
    written."""
    if there := [str(path) for path in paths if path.exists() and not overwrite]:
        raise ConfigError(f"{', '.join(there)} exists already; name another file, or --overwrite it")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("two outputs go to one file; give each a name of its own")
    for path in paths:
        place = next(folder for folder in path.absolute().parents if folder.exists())
        if path.is_dir() or not place.is_dir() or not (path.exists() or os.access(place, os.W_OK)):
            raise ConfigError(f"cannot write {path}: choose a file in a folder that can be written to")


def write_files(files: Mapping[str, Path], scores: Sequence[Scores], layout: Mapping[str, Any]) -> None:
    """Write the scores to each of `files`, by their kind, one of `FILES`; `layout`: of `format_table`.

    Raises DataError for a file that cannot be written.
    """
    for kind, path in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink() or (path.exists() and not path.is_file()):  # /dev/stdout, say
                _write(kind, path, scores, layout)
                continue
            with TemporaryDirectory(dir=path.parent, prefix=".") as folder:
                _write(kind, Path(folder) / path.name, scores, layout)
                (Path(folder) / path.name).replace(path)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}; choose another place") from None


def _write(kind: str, path: Path, scores: Sequence[Scores], layout: Mapping[str, Any]) -> None:
    if kind == "plot":
        plot_curves(scores, path)
        return
    if kind in ("json", "csv"):
        text = {"json": format_json, "csv": format_csv}[kind](*scores)
    else:
        text = format_table(*scores, style=kind, **layout) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")  # names may not be valid text
