"""Nested plain settings: strict YAML, `section.key=value` overrides, and dataclasses made of them."""

import copy
import dataclasses
import difflib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from gconet.errors import ConfigError

T = TypeVar("T")


def apply_overrides(settings: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of the nested `settings` with each `section.key=value` set; values are YAML scalars."""
    if not isinstance(settings, dict):
        raise ConfigError(f"config: expected a section of keys, got {short(settings)}")
    result = copy.deepcopy(settings)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"{override!r} is not an override; write section.key=value")
        try:
            value = parse_yaml(text)
        except ValueError:
            raise ConfigError(f"{key}: {short(text)} is not a YAML value") from None
        *sections, last = key.split(".")
        node = result
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{key}: {section} is not a section")
        node[last] = value
    return result


def parse_yaml(text: str) -> Any:
    """The plain values of a YAML text; raises ValueError if it is not valid YAML, or refers to itself."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ValueError("aliases (*name) are not taken: a few lines of them can fill the memory")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None


def short(value: Any) -> str:
    """`value` for a message, cut if it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def build(cls: type[T], settings: Any, prefix: str = "") -> T:
    """A dataclass of nested plain `settings`, strictly checked; raises ConfigError that names the key."""
    if not isinstance(settings, dict):
        raise ConfigError(
            f"{prefix.rstrip('.') or 'config'}: expected a section of keys, got {short(settings)}"
        )
    hints = typing.get_type_hints(cls)
    for key in settings:
        if key not in hints:
            close = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"did you mean {prefix}{close[0]}? " if close else ""
            raise ConfigError(f"unknown key {prefix}{key}; {hint}known: {', '.join(hints)}")
    return cls(**{key: _check(hints[key], value, prefix + key) for key, value in settings.items()})


def _check(hint: Any, value: Any, key: str) -> Any:
    """`value` as the type `hint`, or ConfigError; the few kinds of hint that this file uses."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, key + ".")
    if origin is types.UnionType:  # X | None
        return None if value is None else _check(args[0], value, key)
    if origin is Literal:
        if not any(value == arg and type(value) is type(arg) for arg in args):
            raise ConfigError(f"{key}: {short(value)} is not one of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple) or len(value) != len(args):
            raise ConfigError(f"{key}: expected a list of {len(args)}, got {short(value)}")
        return tuple(_check(arg, v, key) for arg, v in zip(args, value, strict=True))
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:  # YAML 1.1 reads 1e-4 as text
            return float(value)
        except (ValueError, OverflowError):
            pass
    if hint is str and isinstance(value, str) and value.startswith("~/"):
        return str(Path(value).expanduser())
    if type(value) is not hint:
        raise ConfigError(f"{key}: expected {hint.__name__}, got {short(value)}")
    return value
