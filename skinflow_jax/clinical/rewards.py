"""Rewards of the two stages: captions field by field, diagnoses by the first accepted rank.

Both are functions of the text and the reference alone: deterministic, in [0, 1], no network. The
paper's formulas are not public; those here are our choice (docstrings give them in full).
"""

from collections.abc import Mapping
from typing import Literal

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.ontology import find
from skinflow_jax.clinical.parsing import MOST_DIAGNOSES, parse_caption, parse_diagnoses
from skinflow_jax.clinical.relations import relation
from skinflow_jax.clinical.schema import FieldValue, Schema
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import InputError


def caption_field_scores(
    text: str, reference_fields: Mapping[str, FieldValue], schema: Schema = CLINICAL
) -> dict[str, float]:
    """Score in [0, 1] of every field that the reference knows; all 0 when `text` is refused.

    Raises InputError when the reference has an unknown field or value, or knows no field.
    """
    reference = schema.canonical_fields(reference_fields)
    if not reference:
        raise InputError(
            "the reference caption knows no field: leave such cases out of the captions"
        )
    fields = parse_caption(text, schema).fields or {}
    return {
        name: schema.score_field(name, fields.get(name, ""), reference[name]) for name in reference
    }


def caption_reward(
    text: str, reference_fields: Mapping[str, FieldValue], schema: Schema = CLINICAL
) -> float:
    """Mean of `caption_field_scores`: 0 for a refused text, 1 for a perfect caption."""
    scores = caption_field_scores(text, reference_fields, schema)
    return sum(scores.values()) / len(scores)


def first_accepted(text: str, reference: str) -> int | None:
    """Rank, from 1, of the first accepted diagnosis, counted after repeats of a disease collapse.

    None when the text is refused or nothing in it is accepted. Raises InputError on an empty
    reference.
    """
    for rank, name in enumerate(ranked_diagnoses(text), start=1):
        if relation(name, reference).accepted:
            return rank
    return None


def ranked_diagnoses(text: str) -> list[str]:
    """The diagnoses of `text` as written, best first, each disease once; empty when refused."""
    once: dict[str, str] = {}
    for name in parse_diagnoses(text).names or []:
        disease = find(name)
        once.setdefault(disease.name if disease else normalise(name), name)
    return list(once.values())


def diagnosis_reward(
    text: str,
    reference: str,
    *,
    scale: Literal["linear", "reciprocal"] = "linear",
    safety_penalty: float = 0.0,
) -> float:
    """(7 − p)/6 for the first accepted rank p, or 1/p when `scale` is "reciprocal"; 0 without one.

    `safety_penalty` is taken off, down to 0, when the first diagnosis is a safety-critical error.
    Raises InputError on an empty reference.
    """
    rank = first_accepted(text, reference)
    if rank is None:
        return 0.0
    reward = 1 / rank if scale == "reciprocal" else (MOST_DIAGNOSES + 1 - rank) / MOST_DIAGNOSES
    if safety_penalty and relation(ranked_diagnoses(text)[0], reference).safety_critical:
        reward = max(0.0, reward - safety_penalty)
    return reward
