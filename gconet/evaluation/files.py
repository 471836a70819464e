"""Writes scores to files: JSON with everything, CSV with a line per set, group and image."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from gconet.errors import ConfigError, DataError
from gconet.evaluation.scores import Scores, without_nan


def check_files(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Raise ConfigError for a file that exists (unless `overwrite`), is named twice or cannot be written."""
    if there := [str(path) for path in paths if path.exists() and not overwrite]:
        raise ConfigError(f"{', '.join(there)} already exists; choose another file or pass --overwrite")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("two outputs name the same file; give each a different name")
    for path in paths:
        place = next(folder for folder in path.absolute().parents if folder.exists())
        if path.is_dir() or not place.is_dir() or not (path.exists() or os.access(place, os.W_OK)):
            raise ConfigError(f"cannot write {path}: choose a file in a writable folder")


def write_file(path: Path, content: str | bytes) -> None:
    """Write `path` completely or not at all; raises DataError."""
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")  # names may not be valid text
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or (path.exists() and not path.is_file()):  # /dev/stdout, say
            path.write_bytes(content)
            return
        with TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            whole = Path(folder) / path.name
            whole.write_bytes(content)
            whole.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; choose another place") from None


def format_json(*scores: Scores) -> str:
    """Return `Scores.to_dict` of a single score, or {"results": [a dict each]} of several, as JSON."""
    dicts = [one.to_dict() for one in scores]
    document = dicts[0] if len(dicts) == 1 else {"results": dicts}
    return json.dumps(document, indent=1, allow_nan=False)


def format_csv(*scores: Scores) -> str:
    """Return a header, then per method the set, its groups, their images; an empty name means "all".

    Figures on distractors get columns if any score has them; NaN is left empty.
    """
    columns = list(dict.fromkeys(name for one in scores for name in one.figures))

    def cells(figures: Mapping[str, float]) -> list[float | None]:
        return [without_nan(figures).get(name) for name in columns]

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["method", "set", "convention", "group", "image", "images", "expected_images", *columns])
    for one in scores:
        labels = [one.method, one.dataset, one.convention]
        table.writerow([*labels, "", "", one.images, one.expected_images, *cells(one.figures)])
        for name, group in one.groups.items():
            table.writerow([*labels, name, "", group.images, None, *cells(group.figures)])
            for stem, figures in group.per_image.items():
                table.writerow([*labels, name, stem, 1, None, *cells(figures)])
    return text.getvalue()
