"""Model text → caption fields or ranked diagnoses, strictly, with the reason when text is refused.

The whole text must be one JSON object; white space around it and one ```json fence are tolerated.
The formats are our choice: the paper's prompts are not public. Every check is linear in the text,
and lengths are checked before all else.
"""

import json
from typing import Any, NamedTuple

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.limits import (
    MOST_CHARACTERS,
    MOST_CHARACTERS_OF_VALUE,
    Refusal,
    bad_character,
)
from skinflow_jax.clinical.mentions import mentions_disease
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import shortened

MOST_DIAGNOSES = 6
_SPACE = " \t\r\n"
"""White space of JSON."""


class ParsedCaption(NamedTuple):
    """Fields in the order written, each as its list of values, or None, the reason and its code."""

    fields: dict[str, list[str]] | None
    reason: str | None = None
    code: Refusal | None = None


class ParsedDiagnoses(NamedTuple):
    """One to six names, best first, as written, or None, the reason and its code."""

    names: list[str] | None
    reason: str | None = None
    code: Refusal | None = None


class _Refused(Exception):
    """Carries code and reason of a refusal from the depths of the parser."""


def parse_caption(text: str, schema: Schema = CLINICAL) -> ParsedCaption:
    """Caption fields of `text`.

    Missing fields and unknown values pass (they score 0); unknown or repeated keys, values that are
    not text or longer than any name, names of diseases and characters that no word has do not.
    """
    try:
        return ParsedCaption({k: _caption_values(k, v, schema) for k, v in _object(text).items()})
    except _Refused as refused:
        code, reason = refused.args
        return ParsedCaption(None, reason, code)


def parse_diagnoses(text: str) -> ParsedDiagnoses:
    """Ranked diagnoses of `{"diagnoses": ["first", …]}`: one to six texts, none empty."""
    try:
        return ParsedDiagnoses(_diagnosis_names(_object(text)))
    except _Refused as refused:
        code, reason = refused.args
        return ParsedDiagnoses(None, reason, code)


def _object(text: str) -> dict[str, Any]:
    if len(text) > MOST_CHARACTERS:
        raise _Refused(Refusal.TOO_LONG, f"longer than {MOST_CHARACTERS:,} characters")
    _check_characters(text, "the text")
    body = text.strip(_SPACE)
    if not body:
        raise _Refused(Refusal.EMPTY, "not one JSON object: empty")
    try:
        value = json.loads(unfenced(body), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        name = type(error).__name__
        raise _Refused(Refusal.NOT_JSON, f"not one JSON object: {name}") from None
    if not isinstance(value, dict):
        raise _Refused(Refusal.NOT_OBJECT, f"not a JSON object but a {type(value).__name__}")
    return value


def unfenced(body: str) -> str:
    """What stands between ```json and ```, each on a line of its own; `body` without them."""
    first, _, rest = body.partition("\n")
    inside, end, last = rest.rpartition("\n")
    fenced = end and first.rstrip(" \t") == "```json" and last.lstrip(" \t") == "```"
    return inside if fenced else body


def _check_characters(text: str, where: str) -> None:
    if bad := bad_character(text):
        raise _Refused(Refusal.BAD_CHARACTER, f"{where} holds {bad}, which no answer may")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Refused(Refusal.REPEATED_KEY, "a key occurs twice")
    return found


def _caption_values(key: str, value: Any, schema: Schema) -> list[str]:
    if key not in schema.fields:
        raise _Refused(Refusal.UNKNOWN_KEY, f"unknown key {shortened(repr(key), 60)}")
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values):
        raise _Refused(Refusal.NOT_TEXT, f"{key!r} holds something other than text")
    if any(len(item) > MOST_CHARACTERS_OF_VALUE for item in values):
        said = f"{key!r} is longer than {MOST_CHARACTERS_OF_VALUE} characters"
        raise _Refused(Refusal.LONG_VALUE, said)
    for item in values:
        _check_characters(item, repr(key))
        if disease := mentions_disease(item):
            raise _Refused(Refusal.NAMES_DISEASE, f"{key!r} names a disease: {disease}")
    return values


def _diagnosis_names(found: dict[str, Any]) -> list[str]:
    if list(found) != ["diagnoses"]:
        code = Refusal.UNKNOWN_KEY if "diagnoses" in found else Refusal.MISSING_KEY
        raise _Refused(code, "the one key must be 'diagnoses'")
    names, wanted = found["diagnoses"], f"'diagnoses' must be a list of 1 to {MOST_DIAGNOSES} names"
    if not isinstance(names, list):
        raise _Refused(Refusal.NOT_LIST, wanted)
    if not 1 <= len(names) <= MOST_DIAGNOSES:
        raise _Refused(Refusal.TOO_MANY if names else Refusal.EMPTY, wanted)
    if not all(isinstance(name, str) for name in names):
        raise _Refused(Refusal.NOT_TEXT, "a diagnosis that is not text")
    if any(len(name) > MOST_CHARACTERS_OF_VALUE for name in names):
        said = f"a diagnosis of more than {MOST_CHARACTERS_OF_VALUE} characters"
        raise _Refused(Refusal.LONG_VALUE, said)
    for name in names:
        _check_characters(name, "a diagnosis")
        if not normalise(name):
            raise _Refused(Refusal.EMPTY, "an empty diagnosis")
    return names
