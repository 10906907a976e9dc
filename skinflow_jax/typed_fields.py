"""Dataclasses whose fields say what they may hold, checked in one place.

A field is declared as `learning_rate: Annotated[float, Finite(above=0)]`. `check_fields`, first in
`__post_init__`, checks a dataclass made from Python; `from_dict` makes one from nested mappings,
such as a config file or JSON holds, and names the whole key.
"""

import dataclasses
import difflib
import functools
import math
import os
import reprlib
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from skinflow_jax.errors import ConfigError
from skinflow_jax.storage.paths import address_fault

FLOAT32_MAX = float(np.finfo(np.float32).max)
INT32_MAX = 2**31 - 1
MOST_TOKENS = 2**20  # of a prompt or completion: eight times what the published models take
# `jax.random.key` drops the upper half of larger ones: 2^32 would be the seed 0 again.
MOST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Finite:
    """A finite number from `least` to `most`, greater than `above`, smaller than `below`.

    It has to be so in float32, which is what computes with it: 1e-50 is not above 0 there.
    """

    least: float = -FLOAT32_MAX
    most: float = FLOAT32_MAX
    above: float = -math.inf
    below: float = math.inf

    def checked(self, value) -> float:
        """`value` as a float. Raises ValueError with what it must be."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"must be {self}")
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            number = math.inf
        if not self._holds(number):
            raise ValueError(f"must be {self}")
        with np.errstate(over="ignore", under="ignore"):
            if not self._holds(float(np.float32(number))):
                raise ValueError(f"must be {self} in float32")
        return number

    def _holds(self, number: float) -> bool:
        inside = self.least <= number <= self.most and self.above < number < self.below
        return inside and math.isfinite(number)

    def __str__(self) -> str:
        low = self.least if self.least > -FLOAT32_MAX else None
        high = self.most if self.most < FLOAT32_MAX else None
        if low is not None and high is not None:
            return f"a finite number from {low:g} to {high:g}"
        bounds = [] if low is None else [f"of {low:g} or more"]
        bounds += [f"above {self.above:g}"] if self.above > -math.inf else []
        bounds += [] if high is None else [f"at most {high:g}"]
        bounds += [f"below {self.below:g}"] if self.below < math.inf else []
        return f"a finite number {' and '.join(bounds)}".rstrip()


@dataclass(frozen=True)
class Whole:
    """A whole number from `least` to `most`, or the one other value `also`."""

    least: int
    most: int = INT32_MAX
    also: int | None = None

    def checked(self, value) -> int:
        """`value` as an int. Raises ValueError with what it must be."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole and (self.least <= value <= self.most or value == self.also)):
            raise ValueError(f"must be {self}")
        return int(value)

    def __str__(self) -> str:
        other = "" if self.also is None else f", or {self.also}"
        return f"a whole number from {self.least:,} to {self.most:,}{other}"


@dataclass(frozen=True, eq=False)
class OneOf:
    """One of some words; `choices` may be a table that grows."""

    choices: Collection[str]

    def checked(self, value) -> str:
        """`value`. Raises ValueError listing the choices."""
        if not (isinstance(value, str) and value in self.choices):
            raise ValueError(f"is unknown: choose one of {', '.join(self.choices)}")
        return value


@dataclass(frozen=True)
class Text:
    """Text that can name something: not empty, no zero byte."""

    def checked(self, value) -> str:
        """`value`. Raises ValueError with what it must be."""
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise ValueError("must be text that is not empty, in quotes where it is a number")
        return value


@dataclass(frozen=True)
class Place(Text):
    """A file or folder, or what names one; it may lie in a bucket if `bucket` says so."""

    bucket: bool = False

    def checked(self, value) -> str:
        """`value` as text. Raises ValueError with what it must be."""
        text = super().checked(os.fspath(value) if isinstance(value, os.PathLike) else value)
        fault = address_fault(text, bucket=self.bucket)
        if fault:
            raise ValueError(fault)
        return text


@dataclass(frozen=True)
class Several:
    """A tuple of `least` to `most` values, each once (`distinct`) or each larger (`rising`)."""

    least: int = 1
    most: int | None = None
    distinct: bool = True
    rising: bool = False

    def checked(self, value: tuple) -> tuple:
        """`value`. Raises ValueError with what it must be."""
        if len(value) < self.least:
            raise ValueError(f"must be {self.least} or more values")
        if self.most is not None and len(value) > self.most:
            raise ValueError(f"must be at most {self.most} values")
        if self.distinct and len(set(value)) < len(value):
            raise ValueError("names a value twice: leave one")
        if self.rising and list(value) != sorted(value):
            raise ValueError("must rise from value to value")
        return value


Seed = Annotated[int, Whole(0, MOST_SEED)]


def check_fields(config, where: str = "") -> None:
    """Check every field of a dataclass by its declaration; sets what was converted.

    To be called first in `__post_init__`. `where` is the group of the config that the dataclass
    is, with a dot, for messages. Raises ConfigError naming the field, its value and its range.
    """
    for name, hint in declarations(type(config)).items():
        object.__setattr__(config, name, typed(hint, getattr(config, name), where + name))


@functools.cache
def declarations(cls: type) -> dict[str, Any]:
    """The declared type of each field, with its range."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(cls)}


def fields_of(cls: type, where: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, declared type) of every value of a dataclass and of the groups in it."""
    for name, hint in declarations(cls).items():
        inner = _without_none(hint)
        if dataclasses.is_dataclass(inner):
            yield from fields_of(inner, f"{where}{name}.")
        else:
            yield where + name, hint


def from_dict(cls: type, values: Mapping[str, Any], where: str = "", root: type | None = None):
    """A dataclass from nested mappings, every key known and every value as its field declares.

    Lists, as JSON has them, become tuples. `where` and `root` are the group that `cls` is and the
    whole it belongs to, for messages. Raises ConfigError naming the key.
    """
    root, hints = root or cls, declarations(cls)
    for key in values:
        if key not in hints:
            raise ConfigError(f"unknown config key {where}{key}: {_hint(key, hints, where, root)}")
    for entry in dataclasses.fields(cls):
        needed = entry.default is entry.default_factory is dataclasses.MISSING
        if needed and entry.name not in values:
            raise ConfigError(f"config {where}{entry.name} is missing: it has no default")
    return cls(
        **{key: typed(hints[key], value, where + key, root) for key, value in values.items()}
    )


def _hint(key: str, hints: Mapping[str, Any], where: str, root: type) -> str:
    """The likely key: one of this group that is spelt alike, or the same name in another group."""
    near = [where + name for name in difflib.get_close_matches(str(key), hints, n=1)]
    near += [name for name in _keys(root) if name.split(".")[-1] == key]
    return f"did you mean {near[0]}?" if near else f"the keys there are {', '.join(sorted(hints))}"


def _keys(cls: type) -> list[str]:
    names = []
    for name, hint in declarations(cls).items():
        hint = _without_none(hint)
        inner = _keys(hint) if dataclasses.is_dataclass(hint) else []
        names += [name, *(f"{name}.{key}" for key in inner)]
    return names


def typed(hint, value, where: str, root: type | None = None):
    """`value` as the type hint and its range want it. Raises ConfigError naming `where`."""
    if isinstance(value, np.generic):
        value = value.item()
    if dataclasses.is_dataclass(hint):
        return _group(hint, value, where, root)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else typed(_without_none(hint), value, where, root)
    if origin is Annotated:
        return _in_range(*arguments, value, where, root)
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else (value,)
        if Ellipsis not in arguments and len(items) != len(arguments):
            raise ConfigError(f"config {where}={shown(value)} must be {len(arguments)} values")
        return tuple(typed(arguments[0], item, where, root) for item in items)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(arguments, value, where, root)
    if hint is Any or (isinstance(value, hint) and (hint is bool or not isinstance(value, bool))):
        return value
    wanted = "True or False" if hint is bool else f"of type {hint.__name__}"
    raise ConfigError(f"config {where}={shown(value)} must be {wanted}")


def _group(cls: type, value, where: str, root):
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(f"config {where}={shown(value)} must be a group of keys")
    return from_dict(cls, value, where + ".", root)


def _in_range(base, bounds, value, where: str, root):
    if typing.get_origin(base) is tuple:
        value = typed(base, value, where, root)
    try:
        return bounds.checked(value)
    except ValueError as error:
        raise ConfigError(f"config {where}={shown(value)} {error}") from None


def _mapping(arguments, value, where: str, root) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"config {where}={shown(value)} must be a group of keys")
    key_hint, value_hint = arguments
    return {
        typed(key_hint, key, f"{where} key", root): typed(value_hint, item, f"{where}.{key}", root)
        for key, item in value.items()
    }


def _without_none(hint):
    """The type that an optional value has when it is there."""
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return hint
    return next(a for a in typing.get_args(hint) if a is not type(None))


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 120
_REPR.maxtuple = _REPR.maxlist = _REPR.maxdict = 16
_REPR.maxlevel = 3


def shown(value) -> str:
    """`value` for a message: one line of bounded length, whatever it is."""
    try:
        text = _REPR.repr(value)
    except Exception:  # a whole number of more digits than Python prints, someone's broken repr
        text = f"<{type(value).__name__}>"
    return " ".join(text.split())
