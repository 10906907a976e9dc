"""The caption schema: its fields in order, how a value is recognised, how two values are compared.

A caption maps field names to a value or a list of values. Which fields exist follows third-party
reading notes of the paper; the vocabulary and every number in this file are our choice.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from skinflow_jax.clinical.caption_vocabulary import NEIGHBOURS, REGION_PARENTS, SYNONYMS, VALUES
from skinflow_jax.clinical.measures import number_value, size_value
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import InputError

FieldValue = str | Sequence[str]

PARTIAL = 0.5
"""Credit for a neighbouring value, and the factor for each step in the tree of body regions."""

MOST_VALUES = {"one": 2, "many": 4}
"""A longer list (and longer than the reference's) recites the vocabulary and scores 0."""


@dataclass(frozen=True)
class Field:
    """One caption field.

    `values` are canonical and ordered; `synonyms` maps a normalised wording to its value; `many`
    says that a caption may list several; `optional` that a caption is complete without the field
    (it is scored like any other where the reference knows it); `compare(a, b)` is the likeness in
    [0, 1] of two canonical values.
    """

    name: str
    values: tuple[str, ...]
    synonyms: Mapping[str, str]
    many: bool
    optional: bool
    compare: Callable[[str, str], float]


def _by_neighbours(pairs: Iterable[tuple[str, str]]) -> Callable[[str, str], float]:
    near = {frozenset(pair) for pair in pairs}
    return lambda a, b: 1.0 if a == b else PARTIAL * (frozenset((a, b)) in near)


def _by_rank(values: Sequence[str]) -> Callable[[str, str], float]:
    return _by_neighbours(pairwise(values))


def _by_region(a: str, b: str) -> float:
    """1 for the same region, times `PARTIAL` a step in the tree, 0 beyond two steps (nose, lip)."""
    up_from_a, up_from_b = _ancestry(a), _ancestry(b)
    shared = [region for region in up_from_a if region in up_from_b]
    if not shared:
        return 0.0
    steps = up_from_a.index(shared[0]) + up_from_b.index(shared[0])
    return PARTIAL**steps if steps <= 2 else 0.0


def _ancestry(region: str) -> list[str]:
    chain = [region]
    while chain[-1] in REGION_PARENTS:
        chain.append(REGION_PARENTS[chain[-1]])
    return chain


def _field(name: str, *, many: bool = False, optional: bool = False) -> Field:
    values = VALUES[name]
    synonyms = {normalise(value): value for value in values}
    for value, others in SYNONYMS.get(name, {}).items():
        synonyms |= {normalise(other): value for other in others}
    if name in ("size", "number"):
        compare = _by_rank(values)
    elif name == "location":
        compare = _by_region
    else:
        compare = _by_neighbours(NEIGHBOURS[name])
    return Field(name, values, synonyms, many, optional, compare)


FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        _field("lesion_type", many=True),
        _field("colour", many=True),
        _field("shape"),
        _field("size"),
        _field("border"),
        _field("surface", many=True),
        _field("distribution"),
        _field("location"),
        _field("number", optional=True),
    )
}
"""The fields in schema order."""


def canonical(field: str, value: str | int) -> str | None:
    """The canonical value that `value` stands for in `field`, None when the vocabulary lacks it.

    Case, accents, plural, hyphens and British or American spelling do not matter. `size` also reads
    measurements ("1.2 cm", "12x8 mm"), `number` also whole numbers. Raises InputError on an
    unknown field.
    """
    text = str(value)
    known = _known_field(field).synonyms.get(normalise(text))
    if field == "size":
        # "< 5 mm" and "5 mm" normalise to the same words: the reader of signs goes first.
        return size_value(text) or known
    if field == "number":
        return number_value(text) or known
    return known


def score_field(field: str, predicted: FieldValue, reference: FieldValue) -> float:
    """How well `predicted` agrees with `reference`, in [0, 1]; 1 only for the same values.

    Fields with many values score the F1 of the best one-to-one pairing, where a neighbouring value
    counts `PARTIAL`. A field with one value scores the mean over the values given, so that naming
    two pays no more than guessing one. Empty, unknown and recited values (`MOST_VALUES`) score 0;
    an unknown value in a list counts as a wrong one. Raises InputError when the reference is empty
    or unknown.
    """
    target = _canonical_list(field, reference)
    given = {canonical(field, item) or f"unknown: {normalise(item)}" for item in _items(predicted)}
    most = MOST_VALUES["many" if FIELDS[field].many else "one"]
    if not given or len(given) > max(most, len(target)):
        return 0.0
    known = [value for value in FIELDS[field].values if value in given]
    agreement = _agreement(known, target, FIELDS[field].compare)
    if FIELDS[field].many:
        return 2 * agreement / (len(given) + len(target))
    return sum(FIELDS[field].compare(value, target[0]) for value in known) / len(given)


def _agreement(given: list[str], target: list[str], compare: Callable[[str, str], float]) -> float:
    """Total likeness of the best one-to-one pairing; pairing equals first is never worse."""
    equal = set(given) & set(target)
    left = [value for value in given if value not in equal]
    open_targets = [value for value in target if value not in equal]
    return len(equal) + _best_pairing(left, open_targets, compare)


def _best_pairing(
    given: list[str], target: list[str], compare: Callable[[str, str], float]
) -> float:
    if not given:
        return 0.0
    first, rest = given[0], given[1:]
    best = _best_pairing(rest, target, compare)
    for index, value in enumerate(target):
        likeness = compare(first, value)
        if likeness:
            others = target[:index] + target[index + 1 :]
            best = max(best, likeness + _best_pairing(rest, others, compare))
    return best


def canonical_fields(fields: Mapping[str, FieldValue]) -> dict[str, list[str]]:
    """Known fields of a reference caption, in schema order, each as its canonical values in order.

    Empty values mean "not known" and are left out. Raises InputError, naming field and value, on an
    unknown field or value and on several values where the field has one.
    """
    for name in fields:
        _known_field(name)
    return {
        name: _canonical_list(name, fields[name])
        for name in FIELDS
        if name in fields and _items(fields[name])
    }


def to_json(fields: Mapping[str, FieldValue]) -> str:
    """The caption as models shall write it: canonical, in schema order, one value as a string.

    Raises InputError like `canonical_fields`.
    """
    values = canonical_fields(fields)
    bare = {name: found[0] if len(found) == 1 else found for name, found in values.items()}
    return json.dumps(bare, ensure_ascii=False)


def _items(value: FieldValue) -> list[str]:
    items = [value] if isinstance(value, (str, int)) else list(value)
    return [str(item) for item in items if str(item).strip()]


def _known_field(name: str) -> Field:
    if name not in FIELDS:
        raise InputError(f"unknown caption field {name!r}: use one of {', '.join(FIELDS)}")
    return FIELDS[name]


def _canonical_list(field: str, value: FieldValue) -> list[str]:
    found = {item: canonical(field, item) for item in _items(value)}
    for item, known in found.items():
        if known is None:
            choices = ", ".join(FIELDS[field].values)
            raise InputError(f"caption field {field!r}: unknown value {item!r}, use: {choices}")
    values = [known for known in FIELDS[field].values if known in found.values()]
    if not values or (len(values) > 1 and not FIELDS[field].many):
        wanted = "at least one value" if FIELDS[field].many else "exactly one value"
        raise InputError(f"caption field {field!r}: {value!r} given, {wanted} needed")
    return values
