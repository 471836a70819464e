"""Single settings: their text as values of the types that gconet.config uses."""

import re
import types
import typing
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from gconet.errors import ConfigError

NUMBER = re.compile(r"-?(0|[1-9]\d*)?(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)


def parse_yaml(text: str | bytes, where: str) -> Any:
    """Parse YAML whose values are all text, as in overrides: to YAML, 010 is 8, 1:30 is 90, and 1e-4 is text.
    Raises ConfigError that begins with `where` if it is not valid."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.BaseLoader)):
            raise ValueError("aliases (*name) are not allowed: a few lines of them can exhaust memory")
        return yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def check(kind: Any, value: Any, key: str) -> Any:
    """Return `value`, or what it says if it is text, as type `kind`, one of the few that gconet.config uses;
    raises ConfigError. A single value is a list of one."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # X | None
        return None if value in (None, "null") else check(args[0], value, key)
    if origin is tuple:
        if isinstance(value, str) and value.startswith("["):
            value = parse_yaml(value, key)
        values = value if isinstance(value, list | tuple) else [value]
        if args[-1] is not ... and len(values) != len(args):
            raise ConfigError(f"{key}: expected a list of {len(args)}, got {value!r:.80}")
        return tuple(check(args[0], one, key) for one in values)
    if kind is str and isinstance(value, str) and value:
        return str(Path(value).expanduser()) if value.startswith("~/") else value
    choices = (True, False) if kind is bool else args  # of a Literal
    with suppress(KeyError, ValueError, OverflowError):
        if choices:
            return {str(choice).lower(): choice for choice in choices}[str(value).lower()]
        if kind is not str and NUMBER.fullmatch(str(value)):
            return kind(str(value))
    expected = f"one of {', '.join(map(str, choices))}" if choices else kind.__name__
    raise ConfigError(f"{key}: expected {expected}, got {value!r:.80}")
