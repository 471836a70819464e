"""Single settings: their text as values of the types that gconet.config uses."""

import re
import types
import typing
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import yaml

from gconet.errors import ConfigError

NUMBER = re.compile(r"-?(0|[1-9]\d*)?(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)


def parse_yaml(text: str | bytes, where: str, loader: Any = yaml.SafeLoader) -> Any:
    """Parse YAML into plain values; raises ConfigError that begins with `where` if it is not valid."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ValueError("aliases (*name) are not allowed: a few lines of them can exhaust memory")
        return yaml.load(text, loader)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def parse_text(kind: Any, text: str, key: str) -> Any:
    """Parse the `text` after `key=` for `check`. Only sections, lists and booleans are YAML, in which 010 is
    8, 1:30 is 90, and " #" starts a comment."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # X | None
        return None if text == "null" else text
    if origin is Literal:
        return {str(arg).lower(): arg for arg in args}.get(text.lower(), text)
    if origin is tuple and text.startswith("["):
        return parse_yaml(text, key, yaml.BaseLoader)  # of strings
    return text if kind in (str, int, float) or origin is tuple else parse_yaml(text, key)


def check(kind: Any, value: Any, key: str) -> Any:
    """Return `value` as type `kind`, one of the few that gconet.config uses; raises ConfigError."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # X | None
        return None if value is None else check(args[0], value, key)
    if origin is tuple:  # a single value is a list of one
        values = value if isinstance(value, list | tuple) else [value]
        if args[-1] is not ... and len(values) != len(args):
            raise ConfigError(f"{key}: expected a list of {len(args)}, got {value!r:.80}")
        return tuple(check(args[0], one, key) for one in values)
    # YAML 1.1 reads 1e-4 as text; `parse_text` leaves all numbers as text
    number = type(value) is str and kind in (int, float) and NUMBER.fullmatch(value)
    if number or (kind is float and type(value) is int):
        with suppress(ValueError, OverflowError):
            value = kind(value)
    if kind is str and isinstance(value, str) and value.startswith("~/"):
        value = str(Path(value).expanduser())
    valid = (type(value), value) in [(type(arg), arg) for arg in args] if args else type(value) is kind
    if not valid or value == "":
        expected = f"one of {', '.join(map(str, args))}" if args else kind.__name__
        raise ConfigError(f"{key}: expected {expected}, got {value!r:.80}")
    return value
