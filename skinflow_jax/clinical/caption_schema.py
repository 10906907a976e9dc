"""The clinical caption schema (`caption_schema.toml`), which is used where none is named."""

from skinflow_jax.clinical.schema_file import load_schema

CLINICAL = load_schema("clinical")
FIELDS = CLINICAL.fields
"""The fields in schema order."""

canonical = CLINICAL.canonical
score_field = CLINICAL.score_field
canonical_fields = CLINICAL.canonical_fields
to_json = CLINICAL.to_json
