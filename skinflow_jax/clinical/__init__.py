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
from skinflow_jax.clinical.constant_answers import best_constant_caption, best_constant_diagnoses
from skinflow_jax.clinical.limits import Refusal
from skinflow_jax.clinical.names import find, read_name
from skinflow_jax.clinical.ontology import Ontology, load_ontology, ontology, use, using
from skinflow_jax.clinical.ontology_disease import Disease
from skinflow_jax.clinical.outcomes import Outcome, outcome
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
    "Disease",
    "Field",
    "Ontology",
    "Outcome",
    "ParsedCaption",
    "ParsedDiagnoses",
    "Refusal",
    "Relation",
    "Schema",
    "best_constant_caption",
    "best_constant_diagnoses",
    "canonical",
    "canonical_fields",
    "caption_field_scores",
    "caption_reward",
    "diagnosis_reward",
    "find",
    "first_accepted",
    "load_ontology",
    "load_schema",
    "ontology",
    "outcome",
    "parse_caption",
    "parse_diagnoses",
    "ranked_diagnoses",
    "read_name",
    "relation",
    "score_field",
    "to_json",
    "use",
    "using",
]
