"""Dataclasses from nested mappings, such as a config file or JSON holds, checked by their types."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any

from skinflow_jax.errors import ConfigError


def from_dict(cls: type, values: Mapping[str, Any], where: str = "", root: type | None = None):
    """A dataclass from nested mappings, every key known and every value of its type.

    Lists, as JSON has them, become tuples. `where` and `root` are the group that `cls` is and the
    whole it belongs to, for messages. Raises ConfigError naming the key.
    """
    root = root or cls
    hints = typing.get_type_hints(cls)
    fields = {f.name for f in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            raise ConfigError(f"unknown config key {where}{key}: {_hint(key, fields, where, root)}")
    for entry in dataclasses.fields(cls):
        needed = entry.default is entry.default_factory is dataclasses.MISSING
        if needed and entry.name not in values:
            raise ConfigError(f"config {where}{entry.name} is missing: it has no default")
    return cls(
        **{key: typed(hints[key], value, where + key, root) for key, value in values.items()}
    )


def _hint(key: str, fields: set[str], where: str, root: type) -> str:
    """The likely key: one of this group that is spelt alike, or the same name in another group."""
    near = [where + name for name in difflib.get_close_matches(str(key), fields, n=1)]
    near += [name for name in _keys(root) if name.split(".")[-1] == key]
    return f"did you mean {near[0]}?" if near else f"the keys there are {', '.join(sorted(fields))}"


def _keys(cls: type) -> list[str]:
    names = []
    for name, hint in typing.get_type_hints(cls).items():
        hint = _without_none(hint)
        inner = _keys(hint) if dataclasses.is_dataclass(hint) else []
        names += [name, *(f"{name}.{key}" for key in inner)]
    return names


def typed(hint, value, where: str, root: type | None = None):
    """`value` as the type hint wants it. Raises ConfigError naming `where`."""
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"config {where}={value!r} must be a group of keys")
        return from_dict(hint, value, where + ".", root)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else typed(_without_none(hint), value, where, root)
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else (value,)
        return tuple(typed(arguments[0], item, where, root) for item in items)
    if origin is not None:
        expected = origin
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif hint is float and isinstance(value, str):
        # config.json writes the infinities as text.
        try:
            return float(value)
        except ValueError as error:
            raise ConfigError(f"config {where}={value!r} must be a number") from error
    else:
        expected = hint
    if expected is Any or (
        isinstance(value, expected) and not (isinstance(value, bool) and expected is int)
    ):
        return value
    raise ConfigError(f"config {where}={value!r} must be of type {expected.__name__}")


def _without_none(hint):
    """The type that an optional value has when it is there."""
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return hint
    return next(a for a in typing.get_args(hint) if a is not type(None))
