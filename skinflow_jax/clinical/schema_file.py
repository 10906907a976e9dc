"""A caption schema from its TOML file; `caption_schema.toml` beside this one explains the keys."""

import functools
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from skinflow_jax.clinical.caption_field import Field, Limit
from skinflow_jax.clinical.mentions import mentions_disease
from skinflow_jax.clinical.ontology import Ontology, ontology, using
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import ConfigError, InputError, printable
from skinflow_jax.typed_fields import OneOf, Several, Text, from_dict, shown

SHIPPED = {
    "clinical": Path(__file__).with_name("caption_schema.toml"),
    "dermoscopy": Path(__file__).with_name("dermoscopy_schema.toml"),
}
"""Schemas that come with the program, by name."""

_LIMIT = re.compile(r"(<=?) *([0-9]+(?:\.[0-9]+)?)")
_WORD = Annotated[str, Text()]
_WORDS = Mapping[_WORD, tuple[_WORD, ...]]


@dataclass(frozen=True)
class _Stated:
    """A `[[field]]` as it stands in a file."""

    name: _WORD
    values: _WORDS
    many: bool = False
    optional: bool = False
    ordinal: bool = False
    neighbours: tuple[Annotated[tuple[_WORD, ...], Several(2, 2)], ...] = ()
    children: _WORDS = field(default_factory=dict)
    measure: Annotated[str, OneOf(("mm", "count"))] | None = None
    limits: tuple[str, ...] = ()


def load_schema(name: str | Path) -> Schema:
    """The schema of a TOML file, or a shipped one by its name ("clinical", "dermoscopy").

    Raises InputError in one line that names file, field and value.
    """
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"caption schema {shown(name)}: give a file or {' or '.join(SHIPPED)}")
    return _read(SHIPPED.get(str(name), Path(name)))


def parse_schema(text: str, name: str) -> Schema:
    """The schema of the text of such a file; `name` says where it is, for messages.

    Raises as `load_schema`.
    """
    return _parsed(text, name, ontology())


@functools.lru_cache(maxsize=8)
def _parsed(text: str, name: str, known: Ontology) -> Schema:
    # What is refused depends on which diseases are known.
    with using(known):
        return _schema(text, name)


@functools.lru_cache(maxsize=8)
def _shipped(name: str) -> Schema:
    return _read(SHIPPED[name])


def _read(path: Path) -> Schema:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        shipped = ", ".join(SHIPPED)
        raise InputError(
            f"caption schema {path}: {error.strerror}; give a file, or one of {shipped}"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: is no TOML in UTF-8: {error}; correct it") from error
    return _schema(text, str(path))


def _schema(text: str, path: str) -> Schema:
    content = _content(text, path)
    base = content.pop("extends", None)
    if base is not None and (not isinstance(base, str) or base not in SHIPPED):
        raise InputError(f"{path}: extends={shown(base)}: choose one of {', '.join(SHIPPED)}")
    fields = dict(_shipped(base).fields) if base else {}
    entries = content.pop("field", None)
    if content:
        key = printable(next(iter(content)))
        raise InputError(f"{path}: unknown key {key!r}: a schema has extends and [[field]]")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: has no [[field]]; write one for each key of a caption")
    own: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        found = _field(entry, path, number)
        if found.name in own:
            raise InputError(f"{path}: field {found.name!r} is there twice; leave one")
        own.add(found.name)
        fields[found.name] = found
    return Schema(fields, text)


def _content(text: str, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: is no TOML in UTF-8: {reason}; correct it") from error


def _field(entry: Any, path: str, number: int) -> Field:
    """A field of the file; `number` counts from 1 where it has no name yet."""
    name = entry.get("name") if isinstance(entry, Mapping) else None
    where = f"{path}: field {name!r}" if isinstance(name, str) else f"{path}: field {number}"
    try:
        stated = from_dict(_Stated, entry) if isinstance(entry, Mapping) else None
    except ConfigError as error:
        problem = printable(str(error)).replace("config ", "", 1)
        raise InputError(f"{where}: {problem}") from error
    problem = "is no table" if stated is None else next(_problems(stated), None)
    if problem:
        raise InputError(f"{where}: {printable(problem)}; correct it")
    values = tuple(stated.values)
    found = _made(stated, values)
    for word, value in found.words():
        if found.canonical(word) != value:
            raise InputError(
                f"{where}: {word!r} of {value!r} reads as {found.canonical(word)!r} by its measure "
                "and limits; correct one of them"
            )
    return found


def _made(stated: _Stated, values: tuple[str, ...]) -> Field:
    near = [*stated.neighbours, *(pairwise(values) if stated.ordinal else ())]
    return Field(
        name=stated.name,
        values=values,
        wordings=stated.values,
        many=stated.many,
        optional=stated.optional,
        near=frozenset(map(frozenset, near)),
        parents={child: p for p, children in stated.children.items() for child in children},
        measure=stated.measure,
        limits=tuple(_limit(text) for text in stated.limits),
    )


def _problems(stated: _Stated) -> Iterator[str]:
    """What is wrong with a field, one after the other."""
    if not re.fullmatch("[a-z][a-z0-9_]*", stated.name):
        yield f"name={stated.name!r} must be lower-case letters, digits and _"
    if len(stated.values) < 2:
        yield "values must be two or more: a field with one says nothing"
    yield from _wrong_words(stated)
    yield from _wrong_relations(stated)
    if len(stated.limits) != (len(stated.values) - 1 if stated.measure else 0):
        yield "limits go with measure, and are one fewer than the values"
    limits = [_limit(text) for text in stated.limits]
    if None in limits:
        yield f"limits={stated.limits[limits.index(None)]!r} must be like '< 5' or '<= 20'"
    elif not all(0 < limit < math.inf for _, limit in limits):
        yield "limits must be finite and above 0"
    elif any(a[1] >= b[1] for a, b in pairwise(limits)):
        yield "limits must rise from value to value"


def _wrong_words(stated: _Stated) -> Iterator[str]:
    seen: dict[str, str] = {}
    for value, wordings in stated.values.items():
        for word in (value, *wordings):
            plain = normalise(word)
            if not plain or not word.isprintable() or len(word) > 100:
                yield f"value {shown(word)} must be a word or phrase of at most 100 characters"
            if seen.setdefault(plain, value) != value:
                yield f"{word!r} stands for {seen[plain]!r} and for {value!r}"
            if disease := mentions_disease(word):
                yield f"value {word!r} names a disease ({disease}), which no caption may"


def _wrong_relations(stated: _Stated) -> Iterator[str]:
    for pair in stated.neighbours:
        yield from (
            f"neighbours: {v!r} is none of the values" for v in pair if v not in stated.values
        )
    parents: dict[str, str] = {}
    for parent, children in stated.children.items():
        for child in children:
            for value in (parent, child):
                if value not in stated.values:
                    yield f"children: {value!r} is none of the values"
            if parents.setdefault(child, parent) != parent:
                yield f"children: {child!r} lies in {parents[child]!r} and in {parent!r}"
    for child in parents:
        above, steps = child, 0
        while above in parents and steps <= len(parents):
            above, steps = parents[above], steps + 1
        if steps > len(parents):
            yield f"children: {child!r} lies within itself"


def _limit(text: str) -> Limit | None:
    match = _LIMIT.fullmatch(text.strip())
    return (match[1], float(match[2])) if match else None
