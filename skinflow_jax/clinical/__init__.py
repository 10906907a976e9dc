"""What a dermatologist knows, as data and plain Python; no JAX.

Caption schema, disease ontology, strict parsing, relations between diagnoses, and the two rewards.
"""

from skinflow_jax.clinical.caption_field import Field
from skinflow_jax.clinical.caption_schema import (
    CLINICAL,
    FIELDS,
    canonical,
    canonical_fields,
    score_field,
    to_json,
)
from skinflow_jax.clinical.ontology import ONTOLOGY, Disease, find
from skinflow_jax.clinical.parsing import (
    ParsedCaption,
    ParsedDiagnoses,
    parse_caption,
    parse_diagnoses,
)
from skinflow_jax.clinical.relations import Relation, relation
from skinflow_jax.clinical.rewards import (
    caption_field_scores,
    caption_reward,
    diagnosis_reward,
    first_accepted,
    ranked_diagnoses,
)
from skinflow_jax.clinical.schema import Schema
from skinflow_jax.clinical.schema_file import load_schema

__all__ = [
    "CLINICAL",
    "FIELDS",
    "ONTOLOGY",
    "Disease",
    "Field",
    "ParsedCaption",
    "ParsedDiagnoses",
    "Relation",
    "Schema",
    "canonical",
    "canonical_fields",
    "caption_field_scores",
    "caption_reward",
    "diagnosis_reward",
    "find",
    "first_accepted",
    "load_schema",
    "parse_caption",
    "parse_diagnoses",
    "ranked_diagnoses",
    "relation",
    "score_field",
    "to_json",
]
