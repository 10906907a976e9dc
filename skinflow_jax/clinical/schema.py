"""A caption schema: its fields in order, and what is done with captions that follow it.

A caption maps field names to a value or a list of values.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skinflow_jax.clinical.caption_field import Field
from skinflow_jax.clinical.limits import MOST_CHARACTERS_OF_VALUE
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import InputError

FieldValue = str | Sequence[str]


@dataclass(frozen=True)
class Schema:
    """The fields of captions, by name, in the order in which they are written.

    `text` is the file that says so, for those who keep it.
    """

    fields: Mapping[str, Field]
    text: str = field(default="", repr=False, compare=False)

    @property
    def digest(self) -> str:
        """sha256 of all that the schema says; another one makes other captions and rewards."""
        stated = [
            [
                *(f.name, f.many, f.optional, list(f.words()), f.measure, f.limits),
                *(sorted(map(sorted, f.near)), sorted(f.parents.items())),
            ]
            for f in self.fields.values()
        ]
        return hashlib.sha256(json.dumps(stated).encode()).hexdigest()

    def canonical(self, field: str, value: str | int) -> str | None:
        """The canonical value that `value` stands for in `field`, None when it has none.

        Case, accents, plural, hyphens and British or American spelling do not matter. A field with
        a measure also reads numbers ("1.2 cm", "12x8 mm"; 3). Raises InputError on an unknown
        field.
        """
        return self._known_field(field).canonical(str(value))

    def known(self, caption: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
        """What of a caption this schema has words for: fields, and values of them, as given."""
        found: dict[str, FieldValue] = {}
        for name, value in caption.items():
            if name in self.fields:
                kept = [item for item in _items(value) if self.canonical(name, item) is not None]
                if kept:
                    found[name] = value if len(kept) == len(_items(value)) else kept
        return found

    def score_field(self, field: str, predicted: FieldValue, reference: FieldValue) -> float:
        """How well `predicted` agrees with `reference`, in [0, 1]; 1 only for the same values.

        Fields with many values score the F1 of the best one-to-one pairing, where a neighbouring
        value counts `PARTIAL`. A field with one value scores the mean over the values given, so
        that naming two pays no more than guessing one. Empty, unknown and recited values
        (`MOST_VALUES`) score 0; an unknown value in a list counts as a wrong one. Raises InputError
        when the reference is empty or unknown.
        """
        return self.score_canonical(field, predicted, self._canonical_list(field, reference))

    def score_canonical(self, field: str, predicted: FieldValue, target: Sequence[str]) -> float:
        """`score_field` for a reference that `canonical_fields` gave."""
        known = self.fields[field]
        given = {
            known.canonical(item) or f"unknown: {normalise(item[:MOST_CHARACTERS_OF_VALUE])}"
            for item in _items(predicted)
        }
        return known.score(given, target)

    def canonical_fields(self, fields: Mapping[str, FieldValue]) -> dict[str, list[str]]:
        """Known fields of a caption, in schema order, each as its canonical values in order.

        Empty values mean "not known" and are left out. Raises InputError, naming field and value,
        on an unknown field or value and on several values where the field has one.
        """
        for name in fields:
            self._known_field(name)
        return {
            name: self._canonical_list(name, fields[name])
            for name in self.fields
            if name in fields and _items(fields[name])
        }

    def to_json(self, fields: Mapping[str, FieldValue]) -> str:
        """The caption as models shall write it: canonical, in order, one value as a string.

        Raises InputError like `canonical_fields`.
        """
        values = self.canonical_fields(fields)
        bare = {name: found[0] if len(found) == 1 else found for name, found in values.items()}
        return json.dumps(bare, ensure_ascii=False)

    def _known_field(self, name: str) -> Field:
        if name not in self.fields:
            raise InputError(f"unknown caption field {name!r}: use one of {', '.join(self.fields)}")
        return self.fields[name]

    def _canonical_list(self, field: str, value: FieldValue) -> list[str]:
        known = self._known_field(field)
        found = {item: known.canonical(item) for item in _items(value)}
        for item, stands_for in found.items():
            if stands_for is None:
                choices = ", ".join(known.values)
                raise InputError(f"caption field {field!r}: unknown value {item!r}, use: {choices}")
        values = [v for v in known.values if v in found.values()]
        if not values or (len(values) > 1 and not known.many):
            wanted = "at least one value" if known.many else "exactly one value"
            raise InputError(f"caption field {field!r}: {value!r} given, {wanted} needed")
        return values


def _items(value: FieldValue) -> list[str]:
    items = list(value) if isinstance(value, list | tuple) else [value]
    for item in items:
        if not isinstance(item, str | int) or isinstance(item, bool):
            raise InputError(f"{item!r} is no value of a caption: give text, a number or a list")
    return [str(item) for item in items if str(item).strip()]
