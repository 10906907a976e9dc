"""Model text → caption fields or ranked diagnoses, strictly, with the reason when text is refused.

The whole text must be one JSON object; white space around it and one ```json fence are tolerated.
The formats are our choice: the paper's prompts are not public.
"""

import json
import re
from typing import Any, NamedTuple

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.ontology import mentions_disease
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.clinical.wording import normalise

MOST_DIAGNOSES = 6
# Longer ones are no answers, and scoring them would take seconds.
MOST_CHARACTERS = 20_000
MOST_CHARACTERS_OF_VALUE = 500
_FENCE = re.compile(r"```json[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)


class ParsedCaption(NamedTuple):
    """Fields in the order written, each as its list of values, or None and the reason."""

    fields: dict[str, list[str]] | None
    reason: str | None


class ParsedDiagnoses(NamedTuple):
    """One to six names, best first, as written, or None and the reason."""

    names: list[str] | None
    reason: str | None


class _Refused(Exception):
    """Carries the reason for refusal from the depths of the parser."""


def parse_caption(text: str, schema: Schema = CLINICAL) -> ParsedCaption:
    """Caption fields of `text`.

    Missing fields and unknown values pass (they score 0); unknown or repeated keys, values that are
    not text or longer than any name, and names of diseases do not.
    """
    try:
        found = {k: _caption_values(k, v, schema) for k, v in _object(text).items()}
        return ParsedCaption(found, None)
    except _Refused as refused:
        return ParsedCaption(None, str(refused))


def parse_diagnoses(text: str) -> ParsedDiagnoses:
    """Ranked diagnoses of `{"diagnoses": ["first", …]}`: one to six texts, none empty."""
    try:
        return ParsedDiagnoses(_diagnosis_names(_object(text)), None)
    except _Refused as refused:
        return ParsedDiagnoses(None, str(refused))


def _object(text: str) -> dict[str, Any]:
    if len(text) > MOST_CHARACTERS:
        raise _Refused(f"longer than {MOST_CHARACTERS:,} characters")
    body = text.strip()
    fenced = _FENCE.fullmatch(body)
    try:
        value = json.loads(fenced[1] if fenced else body, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise _Refused(f"not one JSON object: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise _Refused(f"not a JSON object but a {type(value).__name__}")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Refused("a key occurs twice")
    return found


def _caption_values(key: str, value: Any, schema: Schema) -> list[str]:
    if key not in schema.fields:
        raise _Refused(f"unknown key {key!r}")
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values):
        raise _Refused(f"{key!r} holds something other than text")
    if any(len(item) > MOST_CHARACTERS_OF_VALUE for item in values):
        raise _Refused(f"{key!r} is longer than {MOST_CHARACTERS_OF_VALUE} characters")
    for item in values:
        if disease := mentions_disease(item):
            raise _Refused(f"{key!r} names a disease: {disease}")
    return values


def _diagnosis_names(found: dict[str, Any]) -> list[str]:
    if list(found) != ["diagnoses"]:
        raise _Refused("the one key must be 'diagnoses'")
    names = found["diagnoses"]
    if not isinstance(names, list) or not 1 <= len(names) <= MOST_DIAGNOSES:
        raise _Refused(f"'diagnoses' must be a list of 1 to {MOST_DIAGNOSES} names")
    if any(isinstance(name, str) and len(name) > MOST_CHARACTERS_OF_VALUE for name in names):
        raise _Refused(f"a diagnosis of more than {MOST_CHARACTERS_OF_VALUE} characters")
    if not all(isinstance(name, str) and normalise(name) for name in names):
        raise _Refused("an empty diagnosis, or one that is not text")
    return names
