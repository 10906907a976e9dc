"""A row of the ablation: DVE, Stage II alone (the paper has no such row)."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Stages after the shared warm-up, and what the first of them does to the model."""
    return ConfigDict(
        {
            "description": "DVE, Stage II alone (the paper has no such row)",
            "stages": ("stage2",),
            "model": {"dve": {"groups": 64}},
            "against": ("neither",),
        }
    )
