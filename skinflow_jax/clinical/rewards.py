"""Rewards of the two stages: captions field by field, diagnoses by the first accepted rank.

Both are functions of the text and the reference alone: deterministic, no network, in [0, 1] without
a penalty. The paper's formulas are not public; those here are our choice (docstrings give them in
full).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from skinflow_jax.clinical.caption_schema import CLINICAL
from skinflow_jax.clinical.names import read_name
from skinflow_jax.clinical.ontology import ontology
from skinflow_jax.clinical.parsing import MOST_DIAGNOSES, parse_caption, parse_diagnoses
from skinflow_jax.clinical.relations import Relation, relation
from skinflow_jax.clinical.schema import FieldValue, Schema
from skinflow_jax.clinical.wording import normalise
from skinflow_jax.errors import InputError

Scale = Literal["linear", "reciprocal"]

FALSE_ALARM = 1 / 3
"""What of the penalty an error costs that misses neither a malignancy nor what is urgent.

Our choice: overlooking a cancer is three times as bad as operating on a naevus.
"""


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
        name: schema.score_canonical(name, fields.get(name, ""), reference[name])
        for name in reference
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
    return distinct(parse_diagnoses(text).names or [])


def distinct(names: Sequence[str]) -> list[str]:
    """The names, each disease once, at its best rank."""
    once: dict[tuple[bool, str], str] = {}
    for name in names:
        once.setdefault(disease_key(name), name)
    return list(once.values())


def disease_key(name: str) -> tuple[bool, str]:
    """Equal for two names of one disease of the ontology, and for two unknown ones written alike.

    "melanoma?" names nothing and stands for itself: it takes no place of "melanoma".
    """
    disease = read_name(name, ontology()).disease
    return disease is None, disease.name if disease else normalise(name)


def rank_value(rank: int, scale: Scale) -> float:
    """What the rank is worth: (7 − p)/6, or 1/p when `scale` is "reciprocal"."""
    return 1 / rank if scale == "reciprocal" else (MOST_DIAGNOSES + 1 - rank) / MOST_DIAGNOSES


def credit(found: Relation, sibling_credit: float) -> float:
    """1 for what is accepted, `sibling_credit` for a sibling that is no safety-critical error."""
    if found.accepted:
        return 1.0
    return sibling_credit if found.kind == "sibling" and found.safety == "none" else 0.0


def safety_cost(first: Relation) -> float:
    """The share of the penalty that a first diagnosis pays.

    1 where nothing can be acted on, or undetermined, and where a malignancy or what is urgent is
    missed; `FALSE_ALARM` where the error is critical otherwise, or over-triages; else 0. A name
    that is urgent and of uncertain nature would be safe for nearly every truth if only critical
    errors cost, and a harmless one if both kinds of error cost alike.
    """
    if first.safety == "undetermined" or not first.actionable:
        return 1.0
    if first.malignancy_missed or first.urgent_missed:
        return 1.0
    return FALSE_ALARM if first.safety == "critical" or first.over_triaged else 0.0


def best_of_ranks(
    relations: Sequence[Relation], scale: Scale = "linear", sibling_credit: float = 0.0
) -> float:
    """The best `rank_value` times `credit` of ranked diagnoses; 0 where none is worth anything."""
    ranked = enumerate(relations, start=1)
    worth = (credit(each, sibling_credit) * rank_value(rank, scale) for rank, each in ranked)
    return max(worth, default=0.0)


def diagnosis_reward(
    text: str,
    reference: str,
    *,
    scale: Scale = "linear",
    sibling_credit: float = 0.0,
    safety_penalty: float = 0.0,
) -> float:
    """The best of the ranks: of each its `rank_value` times its `credit`.

    `safety_penalty` times the `safety_cost` of the first diagnosis is taken off, all of it where
    the text is refused: the reward may go below 0, so that a list without the right disease still
    tells a harmless error from a dangerous one. Raises InputError on an empty reference.
    """
    relations = [relation(name, reference) for name in ranked_diagnoses(text)]
    best = best_of_ranks(relations, scale, sibling_credit)
    if not relations and not normalise(reference):
        raise InputError("the reference diagnosis is empty: give a disease name")
    return best - safety_penalty * (safety_cost(relations[0]) if relations else 1.0)
