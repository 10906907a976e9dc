"""A row of the ablation: static, both stages."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Stages after the shared warm-up, and what the first of them does to the model."""
    return ConfigDict(
        {
            "description": "static, both stages",
            "stages": ("stage1", "stage2"),
            "against": ("neither",),
        }
    )
